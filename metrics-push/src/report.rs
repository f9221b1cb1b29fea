//! Tells the operator once when metrics stop arriving, and once when they arrive
//! again. The SDK would say it twice at every export.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use crate::otlp::Destination;

/// An exporter that reports when it begins and when it ends to fail.
pub(crate) struct Reporting<E> {
    exporter: E,
    destination: Destination,
    failing: AtomicBool,
}

impl<E: PushMetricExporter> Reporting<E> {
    pub(crate) fn new(exporter: E, destination: Destination) -> Self {
        Self {
            exporter,
            destination,
            failing: AtomicBool::new(false),
        }
    }

    fn report(&self, result: &OTelSdkResult) {
        let failed = result.is_err();
        let failed_before = self.failing.swap(failed, Relaxed);
        match result {
            Err(error) if !failed_before => log::warn!(
                "metrics do not arrive at {}: {error}; {}. {}",
                self.destination,
                self.destination.likely_mistake(),
                match self.temporality() {
                    Temporality::Delta => "What was counted in the meantime is lost.",
                    _ => "Nothing is lost yet: totals are pushed, and they go on counting.",
                }
            ),
            Ok(()) if failed_before => log::info!("metrics arrive again at {}", self.destination),
            _ => {}
        }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Reporting<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.report(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
