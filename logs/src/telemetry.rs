//! The part to take into your own service: a logger provider behind the `log` crate.
//!
//! Each worker process builds its own, after it was started: a provider has
//! threads, and threads do not survive a fork.

use std::{mem, sync::Arc, time::Duration};

use log::{Log, Metadata, Record};
use opentelemetry::Context;
use opentelemetry_appender_log::OpenTelemetryLogBridge;
use opentelemetry_otlp::LogExporter as OtlpExporter;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogExporter, SdkLogger, SdkLoggerProvider,
};
use tokio::runtime::{self, Runtime};

use crate::{
    delivery::{Delivery, Queue, Tally},
    enrich::Enrich,
    json::JsonLines,
    logger::Logger,
    otlp::{Exporter, Protocol, Signal},
    resource,
    settings::Settings,
};

/// What the last export may take. The master gives a worker 5 seconds for it, and
/// what was lost has to be told before they are over.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(4);

/// The provider, and what keeps it going.
///
/// Dropping it exports what has not been exported yet, for at most 4 seconds, also
/// while a panic leaves `main`.
pub(crate) struct Telemetry {
    provider: SdkLoggerProvider,
    tally: Arc<Tally>,
    /// Where the gRPC exporter lives. It needs a runtime that goes on turning while
    /// the thread that serves, or shuts down, waits for it.
    runtime: Option<Runtime>,
}

impl Telemetry {
    /// Builds the provider of this process and connects it to the logger.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be built from its variables.
    pub(crate) fn init(settings: &Settings, logger: &Logger) -> anyhow::Result<Self> {
        let tally = Tally::new(settings.queue);
        let mut runtime = None;
        // The variables are read again: the master may have pointed its workers at
        // a collector of its own.
        let queue = match Exporter::from_env(Signal::Logs).map_err(anyhow::Error::msg)? {
            Exporter::Otlp(destination) => {
                if destination.protocol == Protocol::Grpc {
                    runtime = Some(runtime_without_telemetry()?);
                }
                let _inside = runtime.as_ref().map(Runtime::enter);
                // Protocol, endpoint, headers, timeout and compression come from the
                // variables of the specification.
                let exporter = OtlpExporter::builder().build()?;
                let (to, advice) = (destination.to_string(), destination.likely_mistake());
                let exporter = Delivery::new(exporter, tally.clone(), to, advice);
                Some(queue(exporter, &tally, settings))
            }
            Exporter::Console => {
                let advice = "is there still a reader?".to_owned();
                let to = "stdout".to_owned();
                let exporter = Delivery::new(JsonLines::default(), tally.clone(), to, advice);
                Some(queue(exporter, &tally, settings))
            }
            Exporter::None => None,
        };
        let mut provider = SdkLoggerProvider::builder()
            .with_resource(resource::of_this_process(env!("CARGO_PKG_NAME")));
        let exports = queue.is_some();
        if let Some(queue) = queue {
            provider = provider
                .with_log_processor(Enrich)
                .with_log_processor(queue);
        }
        let provider = provider.build();
        if exports {
            logger.connect(Bridge::new(&provider), &settings.otel);
        }
        Ok(Self {
            provider,
            tally,
            runtime,
        })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // What goes wrong here is a loss, and the tally knows it better.
        let _ = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        self.tally.report_end();
        if let Some(runtime) = self.runtime.take() {
            // An async context must not wait for the end of another runtime.
            runtime.shutdown_background();
        }
    }
}

/// The SDK's own batch processor, with a queue whose overflow is counted.
fn queue(
    exporter: impl LogExporter + 'static,
    tally: &Arc<Tally>,
    settings: &Settings,
) -> Queue<BatchLogProcessor> {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(settings.queue)
        .with_max_export_batch_size(settings.batch)
        .with_scheduled_delay(settings.delay)
        .build();
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(config);
    Queue::new(processor.build(), tally.clone())
}

/// A runtime of one thread on which nothing is recorded: what the gRPC exporter
/// logs there while it exports would be exported next.
fn runtime_without_telemetry() -> anyhow::Result<Runtime> {
    Ok(runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("telemetry")
        // The scope is never left, since the thread has no other purpose.
        .on_thread_start(|| mem::forget(Context::enter_telemetry_suppressed_scope()))
        .enable_all()
        .build()?)
}

/// The bridge, with a `flush` that flushes: its own does nothing.
struct Bridge {
    bridge: OpenTelemetryLogBridge<SdkLoggerProvider, SdkLogger>,
    provider: SdkLoggerProvider,
}

impl Bridge {
    fn new(provider: &SdkLoggerProvider) -> Self {
        Self {
            bridge: OpenTelemetryLogBridge::new(provider),
            provider: provider.clone(),
        }
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.bridge.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.bridge.log(record);
    }

    fn flush(&self) {
        // Whatever could not be exported is counted.
        let _ = self.provider.force_flush();
    }
}
