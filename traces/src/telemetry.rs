//! The part to take into your own service: a tracer provider that pushes over OTLP.
//!
//! Each worker process builds its own, after it was started: a provider has
//! threads, and threads do not survive a fork.

use std::{mem, sync::Arc, time::Duration};

use opentelemetry::{
    Context,
    global::{self, BoxedTracer},
};
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanExporter,
};
use tokio::runtime::{self, Runtime};

use crate::{
    delivery::{Delivery, Queue, Tally},
    json::JsonLines,
    otlp::{Destination, Exporter, Protocol, Signal},
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
    provider: SdkTracerProvider,
    tally: Arc<Tally>,
    /// Where the gRPC exporter lives. It needs a runtime that goes on turning while
    /// the thread that serves, or shuts down, waits for it.
    runtime: Option<Runtime>,
}

impl Telemetry {
    /// Builds the provider of this process, and makes it and the propagators those
    /// of the process.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be built from its variables.
    pub(crate) fn init(settings: &Settings) -> anyhow::Result<Self> {
        let tally = Tally::new(settings.queue);
        let mut runtime = None;
        let mut provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampler.clone())
            .with_resource(resource::of_this_process(env!("CARGO_PKG_NAME")));
        // The variables are read again: the master may have pointed its workers at
        // a collector of its own.
        match Exporter::from_env(Signal::Traces).map_err(anyhow::Error::msg)? {
            Exporter::Otlp(destination) => {
                let exporter = otlp_exporter(&destination, &mut runtime)?;
                let (to, advice) = (destination.to_string(), destination.likely_mistake());
                let exporter = Delivery::new(exporter, tally.clone(), to, advice);
                provider = provider.with_span_processor(queue(exporter, &tally, settings));
            }
            Exporter::Console => {
                let advice = "is there still a reader?".to_owned();
                let to = "stdout".to_owned();
                let exporter = Delivery::new(JsonLines::default(), tally.clone(), to, advice);
                provider = provider.with_span_processor(queue(exporter, &tally, settings));
            }
            Exporter::None => {}
        }
        let provider = provider.build();
        settings.propagators.install();
        if !settings.disabled {
            // Otherwise it stays the one that makes no spans and hands on the
            // caller's context as it came.
            global::set_tracer_provider(provider.clone());
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

/// The tracer of this service. Ask for it once on each thread, after
/// [`Telemetry::init`]: before, it makes no spans.
pub(crate) fn tracer() -> BoxedTracer {
    global::tracer(env!("CARGO_PKG_NAME"))
}

/// The SDK's own batch processor, with a queue whose overflow is counted.
fn queue(
    exporter: impl SpanExporter + 'static,
    tally: &Arc<Tally>,
    settings: &Settings,
) -> Queue<BatchSpanProcessor> {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(settings.queue)
        .with_max_export_batch_size(settings.batch)
        .with_scheduled_delay(settings.delay)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config);
    Queue::new(processor.build(), tally.clone())
}

fn otlp_exporter(
    destination: &Destination,
    runtime: &mut Option<Runtime>,
) -> anyhow::Result<OtlpExporter> {
    if destination.protocol == Protocol::Grpc {
        *runtime = Some(runtime_without_telemetry()?);
    }
    let _inside = runtime.as_ref().map(Runtime::enter);
    // Protocol, endpoint, headers, timeout and compression come from the variables
    // of the specification.
    let builder = OtlpExporter::builder();
    #[cfg(feature = "tls")]
    if destination.protocol == Protocol::Grpc && destination.endpoint.starts_with("https:") {
        use opentelemetry_otlp::{WithTonicConfig as _, tonic_types::transport::ClientTlsConfig};

        // Unlike the exporter over HTTP this one trusts nobody until it is told.
        let tls = ClientTlsConfig::new().with_enabled_roots();
        return Ok(builder.with_tonic().with_tls_config(tls).build()?);
    }
    Ok(builder.build()?)
}

/// A runtime of one thread on which nothing is recorded: what instrumented code
/// below the gRPC exporter does there would be exported next.
fn runtime_without_telemetry() -> anyhow::Result<Runtime> {
    Ok(runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("telemetry")
        // The scope is never left, since the thread has no other purpose.
        .on_thread_start(|| mem::forget(Context::enter_telemetry_suppressed_scope()))
        .enable_all()
        .build()?)
}
