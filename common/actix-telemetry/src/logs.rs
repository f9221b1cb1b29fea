//! Log records: batch processors that count every loss, and the request's attributes
//! on each record.

use std::time::{Duration, SystemTime};

use opentelemetry::{Context, InstrumentationScope, logs::LogRecord as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogProcessor as SdkLogProcessor, SdkLogRecord},
};

use crate::{
    batch::BatchProcessor,
    encode,
    env::Env,
    json::logs::JsonLines,
    observe::RequestAttributes,
    otlp::{Batch, Exporter, Signal},
};

/// A processor for each exporter that `OTEL_LOGS_EXPORTER` lists: `otlp` (the
/// default), `console` (JSON lines on stdout) or `none`.
///
/// Each is a batch processor, configured by `OTEL_BLRP_*`, that counts what it loses.
/// [`shutdown`](crate::shutdown) logs the counts. It is not that of the SDK, which costs
/// several times as much.
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

/// A batch processor that encodes a record when it is emitted, and counts what it loses.
#[derive(Debug)]
pub struct LogProcessor {
    batch: BatchProcessor,
    /// For the exporter `console`.
    json: Option<JsonLines>,
}

impl LogProcessor {
    fn new(exporter: Exporter, batch: Batch) -> Option<Self> {
        let batch = BatchProcessor::start(exporter, batch, "log records")?;
        Some(Self { batch, json: None })
    }
}

impl SdkLogProcessor for LogProcessor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.batch.push(|item| match &self.json {
            Some(json) => json.write(&mut item.bytes, record),
            None => {
                let target = record.target().map(|target| &**target);
                encode::scope(&mut item.scope, scope, target);
                encode::log_record(&mut item.bytes, record);
            }
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batch.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batch.shutdown(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batch.set_resource(resource);
        let is_console = self.batch.is_console();
        self.json = is_console.then(|| JsonLines::new(resource));
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
