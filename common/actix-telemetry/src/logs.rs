//! Log records: batch processors that count every loss, and the request's attributes
//! on each record.

use std::{sync::Arc, time::Duration, time::SystemTime};

use opentelemetry::{
    Context, InstrumentationScope,
    logs::{LogRecord as _, Severity},
};
use opentelemetry_otlp::LogExporter as OtlpExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{
        BatchConfigBuilder, BatchLogProcessor, LogBatch, LogExporter,
        LogProcessor as SdkLogProcessor, SdkLogRecord,
    },
};

use crate::{
    delivery::{Counted, Kind, Tally},
    env::Env,
    json::logs::JsonLines,
    observe::RequestAttributes,
    otlp::{Batch, Destination, Exporter, Signal},
};

/// A processor for each exporter that `OTEL_LOGS_EXPORTER` lists: `otlp` (the
/// default), `console` (JSON lines on stdout) or `none`.
///
/// Each is the SDK's batch processor, configured by `OTEL_BLRP_*`, with a queue and
/// an exporter that count what they lose. [`shutdown`](crate::shutdown) logs the counts.
///
/// ```
/// use opentelemetry_sdk::logs::SdkLoggerProvider;
///
/// let mut provider = SdkLoggerProvider::builder()
///     .with_log_processor(actix_telemetry::RequestContext);
/// for processor in actix_telemetry::log_processors() {
///     provider = provider.with_log_processor(processor);
/// }
/// let provider = provider.build();
/// # let _ = provider;
/// ```
pub fn log_processors() -> Vec<LogProcessor> {
    let env = Env::process();
    let exporters = Exporter::all(env, Signal::Logs);
    let batch = Batch::read(env, "OTEL_BLRP");
    exporters
        .into_iter()
        .filter_map(|exporter| LogProcessor::new(exporter, batch))
        .collect()
}

/// The SDK's batch processor, with a queue whose overflow is counted.
#[derive(Debug)]
pub struct LogProcessor {
    processor: BatchLogProcessor,
    tally: Arc<Tally>,
}

impl LogProcessor {
    fn new(exporter: Exporter, batch: Batch) -> Option<Self> {
        let tally = Tally::new("log records", batch.queue);
        let exporter = Counted::new(exporter, &tally, Destination::log_exporter)?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(batch.queue)
            .with_max_export_batch_size(batch.size)
            .with_scheduled_delay(batch.delay)
            .build();
        let processor = BatchLogProcessor::builder(exporter).with_batch_config(config);
        let processor = processor.build();
        Some(Self { processor, tally })
    }
}

impl SdkLogProcessor for LogProcessor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.tally.enter() {
            self.processor.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.tally.close();
        self.processor.shutdown_with_timeout(timeout)
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.processor.event_enabled(level, target, name)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

impl LogExporter for Counted<OtlpExporter, JsonLines> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let export = async {
            match &self.exporter {
                Kind::Otlp(exporter) => exporter.export(batch).await,
                Kind::Console(exporter) => exporter.export(batch).await,
            }
        };
        self.delivery.count(count, export).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match &self.exporter {
            Kind::Otlp(exporter) => exporter.shutdown_with_timeout(timeout),
            Kind::Console(exporter) => exporter.shutdown_with_timeout(timeout),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        match &mut self.exporter {
            Kind::Otlp(exporter) => exporter.set_resource(resource),
            Kind::Console(exporter) => exporter.set_resource(resource),
        }
    }
}

/// Adds to each record the time of the event, which bridges leave out, and method,
/// path and route of the request in whose [`Context`] it was logged. Register it before
/// the processors that export.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext;

impl SdkLogProcessor for RequestContext {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        // This runs on the thread that logs, so the event happens now.
        let time = record.observed_timestamp().unwrap_or_else(SystemTime::now);
        record.set_timestamp(time);
        let attributes =
            Context::map_current(|context| Some(context.get::<RequestAttributes>()?.named()));
        if let Some(attributes) = attributes {
            record.add_attributes(attributes);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
