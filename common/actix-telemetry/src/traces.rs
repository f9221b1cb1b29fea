//! Spans: batch processors that count every loss, and the sampler.

use std::{sync::Arc, time::Duration};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, Span, SpanData, SpanExporter, SpanLimits,
        SpanProcessor as SdkSpanProcessor,
    },
};

use crate::{
    delivery::{Counted, Kind, Tally},
    env::Env,
    json::spans::JsonLines,
    otlp::{Batch, Destination, Exporter, Signal},
};

/// A processor for each exporter that `OTEL_TRACES_EXPORTER` lists: `otlp` (the
/// default), `console` (JSON lines on stdout) or `none`.
///
/// Each is the SDK's batch processor, configured by `OTEL_BSP_*`, with a queue and an
/// exporter that count what they lose. [`shutdown`](crate::shutdown) logs the counts.
///
/// ```
/// use opentelemetry_sdk::trace::SdkTracerProvider;
///
/// let mut provider = SdkTracerProvider::builder().with_sampler(actix_telemetry::sampler());
/// for processor in actix_telemetry::span_processors() {
///     provider = provider.with_span_processor(processor);
/// }
/// let provider = provider.build();
/// # let _ = provider;
/// ```
pub fn span_processors() -> Vec<SpanProcessor> {
    let env = Env::process();
    let exporters = Exporter::all(env, Signal::Traces);
    let batch = Batch::read(env, "OTEL_BSP");
    exporters
        .into_iter()
        .filter_map(|exporter| SpanProcessor::new(exporter, batch))
        .collect()
}

/// Which traces are recorded, as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`
/// say; `parentbased_always_on` if they say nothing. If the SDK is disabled
/// (`OTEL_SDK_DISABLED`), none is.
pub fn sampler() -> Sampler {
    read_sampler(Env::process())
}

pub(crate) fn read_sampler(env: Env<'_>) -> Sampler {
    if env.flag("OTEL_SDK_DISABLED") {
        return Sampler::AlwaysOff;
    }
    let parent_based = |root| Sampler::ParentBased(Box::new(root));
    let ratio =
        || Sampler::TraceIdRatioBased(env.number("OTEL_TRACES_SAMPLER_ARG", 0.0..=1.0, 1.0));
    let Some(variable) = env.variable("OTEL_TRACES_SAMPLER") else {
        return parent_based(Sampler::AlwaysOn);
    };
    match variable.value.to_ascii_lowercase().as_str() {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => ratio(),
        "parentbased_always_on" => parent_based(Sampler::AlwaysOn),
        "parentbased_always_off" => parent_based(Sampler::AlwaysOff),
        "parentbased_traceidratio" => parent_based(ratio()),
        _ => {
            variable.reject(
                "expected always_on, always_off or traceidratio, or one of them after \
                 parentbased_",
                "parentbased_always_on",
            );
            parent_based(Sampler::AlwaysOn)
        }
    }
}

/// How many attributes, events and links a span may have, as `OTEL_SPAN_*_COUNT_LIMIT`,
/// `OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT`, `OTEL_LINK_ATTRIBUTE_COUNT_LIMIT` and
/// `OTEL_ATTRIBUTE_COUNT_LIMIT` say; 128 of each by default.
pub fn span_limits() -> SpanLimits {
    read_span_limits(Env::process())
}

pub(crate) fn read_span_limits(env: Env<'_>) -> SpanLimits {
    let limit = |name: &str, default| {
        env.number(&format!("OTEL_{name}_COUNT_LIMIT"), 0..=u32::MAX, default)
    };
    let attributes = limit("ATTRIBUTE", 128);
    SpanLimits {
        max_attributes_per_span: limit("SPAN_ATTRIBUTE", attributes),
        max_events_per_span: limit("SPAN_EVENT", 128),
        max_links_per_span: limit("SPAN_LINK", 128),
        max_attributes_per_event: limit("EVENT_ATTRIBUTE", attributes),
        max_attributes_per_link: limit("LINK_ATTRIBUTE", attributes),
    }
}

/// The SDK's batch processor, with a queue whose overflow is counted.
#[derive(Debug)]
pub struct SpanProcessor {
    processor: BatchSpanProcessor,
    tally: Arc<Tally>,
}

impl SpanProcessor {
    fn new(exporter: Exporter, batch: Batch) -> Option<Self> {
        let tally = Tally::new("spans", batch.queue);
        let exporter = Counted::new(exporter, &tally, Destination::span_exporter)?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(batch.queue)
            .with_max_export_batch_size(batch.size)
            .with_scheduled_delay(batch.delay)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config);
        let processor = processor.build();
        Some(Self { processor, tally })
    }
}

impl SdkSpanProcessor for SpanProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.tally.started();
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.tally.ended();
        // A sampler may want a span to be recorded for this process alone.
        if span.span_context.is_sampled() && self.tally.enter() {
            self.processor.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.tally.close();
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

impl SpanExporter for Counted<OtlpExporter, JsonLines> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
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
