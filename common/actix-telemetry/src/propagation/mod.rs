//! How the context of a request comes in and goes out: the headers of W3C Trace
//! Context and W3C Baggage, as `OTEL_PROPAGATORS` says.
//!
//! Headers come from a client. The propagators of the SDK take more than the
//! specifications allow, drop some of what they allow, and put decoded bytes into the
//! next request's header. Those here are strict, and keep what is valid as it came.

mod baggage;
mod trace_context;

use std::borrow::Cow;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator},
};

pub(crate) use self::trace_context::ids;
use self::{
    baggage::BAGGAGE,
    trace_context::{TRACEPARENT, TRACESTATE},
};
pub use self::{baggage::BaggagePropagator, trace_context::TraceContextPropagator};
use crate::env::Env;

/// Makes the propagators that `OTEL_PROPAGATORS` lists those of the process:
/// `tracecontext` and `baggage`, which are the default, or `none`. A name that is not
/// known is logged, and the others are used.
pub fn install_propagators() {
    let chosen = Chosen::read(Env::process());
    let mut propagators: Vec<Box<dyn TextMapPropagator + Send + Sync>> = Vec::new();
    if chosen.trace_context {
        propagators.push(Box::new(TraceContextPropagator::default()));
    }
    if chosen.baggage {
        propagators.push(Box::new(BaggagePropagator::default()));
    }
    global::set_text_map_propagator(TextMapCompositePropagator::new(propagators));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    trace_context: bool,
    baggage: bool,
}

impl Chosen {
    pub(crate) fn read(env: Env<'_>) -> Self {
        let mut chosen = Self {
            trace_context: false,
            baggage: false,
        };
        let default = Self {
            trace_context: true,
            baggage: true,
        };
        let Some(variable) = env.variable("OTEL_PROPAGATORS") else {
            return default;
        };
        let mut names_one = false;
        for name in variable.value.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "tracecontext" => chosen.trace_context = true,
                "baggage" => chosen.baggage = true,
                "none" | "" => {}
                _ => {
                    variable.reject(
                        "expected a list of tracecontext and baggage, or none",
                        "the others, or both if there is none",
                    );
                    continue;
                }
            }
            names_one = true;
        }
        if names_one { chosen } else { default }
    }
}

/// The context that the caller sent along. A header that is malformed counts as absent.
///
/// It is not on top of the current context: between two requests of a thread that is
/// empty, and a request must not belong to another one.
pub fn extract(headers: &HeaderMap) -> Context {
    // A tracestate without a traceparent means nothing.
    if ![&NAMES[0], &NAMES[2]]
        .iter()
        .any(|name| headers.contains_key(*name))
    {
        return Context::new();
    }
    let headers = Incoming::read(headers);
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &headers)
    })
}

/// Sends a context along with a request, in the headers of `http` 1, which `reqwest`
/// and `hyper` use.
///
/// ```
/// use opentelemetry::Context;
///
/// let mut headers = http::HeaderMap::new();
/// actix_telemetry::propagation::inject(&Context::current(), &mut headers);
/// ```
pub fn inject(context: &Context, headers: &mut http::HeaderMap) {
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(context, &mut Outgoing(headers));
    });
}

/// The headers that propagators read.
static NAMES: [HeaderName; 3] = [
    HeaderName::from_static(TRACEPARENT),
    HeaderName::from_static(TRACESTATE),
    HeaderName::from_static(BAGGAGE),
];

/// Those of a request. A repeated one is a list, as RFC 9110 has it; where no list is
/// allowed, that is no valid value.
#[derive(Debug)]
struct Incoming<'a>([Option<Cow<'a, str>>; NAMES.len()]);

impl<'a> Incoming<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        Self(NAMES.each_ref().map(|name| joined(headers, name)))
    }

    fn with_names(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let names = NAMES.iter().map(HeaderName::as_str);
        names.zip(self.0.iter().map(Option::as_deref))
    }
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).map(HeaderValue::to_str);
    let mut joined = Cow::from(values.next()?.ok()?);
    for value in values {
        let joined = joined.to_mut();
        joined.push(',');
        joined.push_str(value.ok()?);
    }
    Some(joined)
}

impl Extractor for Incoming<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.with_names().find(|(known, _)| *known == name)?.1
    }

    fn keys(&self) -> Vec<&str> {
        let found = self.with_names().filter(|(_, value)| value.is_some());
        found.map(|(name, _)| name).collect()
    }
}

struct Outgoing<'a>(&'a mut http::HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, name: &str, value: String) {
        // No context is worth a request that fails.
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::try_from(name),
            http::HeaderValue::try_from(value),
        ) {
            self.0.insert(name, value);
        }
    }
}
