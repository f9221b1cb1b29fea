//! Head sampling: the sampler decides before a span is created, so that an unsampled request
//! costs two ids and no attributes.

use std::cell::Cell;

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, TraceContextExt as _},
};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};

thread_local! {
    /// The trace id that the sampler decided on, until [`IdGenerator`] takes it.
    static DECIDED: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Random ids, except that a trace keeps the id that [`Observe::sampler`] decided on.
///
/// [`Observe::sampler`]: crate::Observe::sampler
#[derive(Clone, Debug, Default)]
pub struct IdGenerator(RandomIdGenerator);

impl opentelemetry_sdk::trace::IdGenerator for IdGenerator {
    fn new_trace_id(&self) -> TraceId {
        DECIDED.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// The decision on the span of a request.
pub(super) enum Head {
    /// The span is not recorded and has these ids.
    Dropped(SpanContext),
    /// The span is sampled and starts the trace with this id.
    Root(TraceId),
    /// The span is sampled and belongs to the trace of its caller.
    Child,
}

impl Head {
    pub(super) fn ask(sampler: &Sampler, name: &str, caller: &Context) -> Self {
        let ids = RandomIdGenerator::default();
        let parent = caller.span();
        let parent = parent.span_context();
        // The SDK ignores an invalid parent, too.
        let is_root = !parent.is_valid();
        let trace_id = match is_root {
            true => ids.new_trace_id(),
            false => parent.trace_id(),
        };
        let kind = SpanKind::Server;
        let result = sampler.should_sample(Some(caller), trace_id, name, &kind, &[], &[]);
        match result.decision {
            SamplingDecision::Drop => {
                let (span_id, flags) = (ids.new_span_id(), TraceFlags::NOT_SAMPLED);
                let state = result.trace_state;
                Self::Dropped(SpanContext::new(trace_id, span_id, flags, false, state))
            }
            _ if is_root => Self::Root(trace_id),
            _ => Self::Child,
        }
    }
}

/// Starts a span that starts the trace with this id. Returns whether the provider took the id,
/// which only [`IdGenerator`] does.
pub(super) fn begin<T>(trace_id: TraceId, start: impl FnOnce() -> T) -> (T, bool) {
    DECIDED.set(Some(trace_id));
    let span = start();
    (span, DECIDED.take().is_none())
}

#[cfg(test)]
mod tests {
    use std::{
        mem,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use opentelemetry::{
        KeyValue,
        global::BoxedTracer,
        trace::{TraceState, TracerProvider as _},
    };
    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
    };

    use super::{super::span::Spans, *};

    #[derive(Clone, Debug, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    struct Service {
        spans: Spans,
        ended: Ended,
    }

    impl Service {
        fn new(sampler: &Sampler, is_asked_first: bool, has_id_generator: bool) -> Self {
            let ended = Ended::default();
            let mut provider = SdkTracerProvider::builder()
                .with_sampler(sampler.clone())
                .with_span_processor(ended.clone());
            if has_id_generator {
                provider = provider.with_id_generator(IdGenerator::default());
            }
            let tracer = BoxedTracer::new(Box::new(provider.build().tracer("test")));
            let spans = Spans::of(tracer, is_asked_first.then(|| sampler.clone()));
            Self { spans, ended }
        }

        /// What became of one request: the ids of its span, the span if it was recorded, and
        /// whether attributes were collected.
        fn request(&self, caller: &Context) -> (SpanContext, Option<SpanData>, bool) {
            let is_collected = Cell::new(false);
            let attributes = || {
                is_collected.set(true);
                vec![KeyValue::new("url.path", "/")]
            };
            let (context, is_recorded) = self.spans.start("GET /", attributes, caller);
            let ids = context.span().span_context().clone();
            context.span().end();
            let recorded = mem::take(&mut *self.ended.0.lock().unwrap()).pop();
            assert_eq!(recorded.is_some(), is_recorded);
            (ids, recorded, is_collected.get())
        }
    }

    fn called_with(flags: TraceFlags) -> Context {
        let (trace, span) = (TraceId::from(0xabc), SpanId::from(0xdef));
        let state = TraceState::from_key_value([("vendor", "1")]).unwrap();
        let ids = SpanContext::new(trace, span, flags, true, state);
        Context::new().with_remote_span_context(ids)
    }

    #[test]
    fn a_sampler_that_is_asked_first_decides_as_the_provider_does() {
        let callers = [TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED].map(called_with);
        let none = Context::new();
        let invalid = none.with_remote_span_context(SpanContext::empty_context());
        let callers = callers.into_iter().chain([none, invalid]);
        let all = || Sampler::TraceIdRatioBased(1.0);
        for sampler in [
            Sampler::AlwaysOn,
            Sampler::AlwaysOff,
            all(),
            Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
            Sampler::ParentBased(Box::new(all())),
        ] {
            let [asked_later, asked_first] =
                [false, true].map(|first| Service::new(&sampler, first, true));
            for caller in callers.clone() {
                let (expected, expected_span, _) = asked_later.request(&caller);
                let (ids, span, is_collected) = asked_first.request(&caller);
                assert_eq!(is_collected, span.is_some(), "{sampler:?}");
                assert!(ids.is_valid() && !ids.is_remote());
                assert_eq!(ids.trace_flags(), expected.trace_flags(), "{sampler:?}");
                assert_eq!(ids.trace_state(), expected.trace_state());
                if caller.span().span_context().is_valid() {
                    assert_eq!(ids.trace_id(), expected.trace_id());
                }
                let parts = |span: SpanData| {
                    let parent = (span.parent_span_id, span.parent_span_is_remote);
                    (parent, span.span_kind, span.attributes)
                };
                assert_eq!(span.map(parts), expected_span.map(parts), "{sampler:?}");
            }
        }
    }

    #[test]
    fn a_ratio_records_exactly_the_traces_whose_ids_are_below_it() {
        let ratio = Sampler::TraceIdRatioBased(0.25);
        let is_below = |trace_id| {
            let kind = SpanKind::Server;
            let result = ratio.should_sample(None, trace_id, "", &kind, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        let parent_based = Sampler::ParentBased(Box::new(ratio.clone()));
        for (sampler, has_id_generator) in [(&ratio, true), (&parent_based, true), (&ratio, false)]
        {
            let service = Service::new(sampler, true, has_id_generator);
            let requests = (0..400).map(|_| service.request(&Context::new()));
            let recorded = requests.filter(|(ids, span, _)| {
                assert_eq!(span.is_some(), is_below(ids.trace_id()));
                span.is_some()
            });
            let recorded = recorded.count();
            // 100 are expected. A count outside of this range is less likely than one in a million.
            assert!((55..=145).contains(&recorded), "{recorded}");
        }
    }
}
