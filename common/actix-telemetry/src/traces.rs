//! Spans: batch processors that count every loss, and the sampler.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, Span, SpanData, SpanLimits, SpanProcessor as SdkSpanProcessor},
};

use crate::{
    batch::BatchProcessor,
    encode,
    env::Env,
    json::spans::JsonLines,
    otlp::{Batch, Exporter, Signal},
};

/// A processor for each exporter that `OTEL_TRACES_EXPORTER` lists: `otlp` (the
/// default), `console` (JSON lines on stdout) or `none`.
///
/// Each is a batch processor, configured by `OTEL_BSP_*`, that counts what it loses.
/// [`shutdown`](crate::shutdown) logs the counts. It is not that of the SDK, which costs
/// several times as much.
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

/// A batch processor that encodes a span when it ends, and counts what it loses.
#[derive(Debug)]
pub struct SpanProcessor {
    batch: BatchProcessor,
    /// For the exporter `console`.
    json: Option<JsonLines>,
}

impl SpanProcessor {
    fn new(exporter: Exporter, batch: Batch) -> Option<Self> {
        let batch = BatchProcessor::start(exporter, batch, "spans")?;
        Some(Self { batch, json: None })
    }
}

impl SdkSpanProcessor for SpanProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {
        self.batch.tally().started();
    }

    fn on_end(&self, span: SpanData) {
        self.batch.tally().ended();
        // A sampler may want a span to be recorded for this process alone.
        if !span.span_context.is_sampled() {
            return;
        }
        self.batch.push(|item| match &self.json {
            Some(json) => json.write(&mut item.bytes, &span),
            None => {
                encode::scope(&mut item.scope, &span.instrumentation_scope, None);
                encode::span(&mut item.bytes, &span);
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
