//! How the context of a request comes in and goes out: the headers of W3C Trace
//! Context and W3C Baggage, as `OTEL_PROPAGATORS` says, which the SDK does not read.
//!
//! Headers come from a client. The SDK's propagators take more than the
//! specifications allow and put a decoded byte into a header as it is, so what comes
//! in is checked here first, and cut to the sizes that the specifications name.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator},
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// What W3C Trace Context wants to be passed on at least, and what is passed on at
/// most, in bytes: each span that waits for its export holds it.
const TRACESTATE_LIMIT: usize = 512;

/// Members that are longer go first where the limit is exceeded.
///
/// <https://www.w3.org/TR/trace-context-2/#tracestate-limits>
const LONG_MEMBER: usize = 128;

/// Which headers carry the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Propagators {
    trace_context: bool,
    baggage: bool,
}

impl Propagators {
    /// Reads a list of names; both of them if there is no list.
    ///
    /// # Errors
    ///
    /// One line that names the variable, its value and what is allowed.
    pub(crate) fn parse(list: Option<&str>) -> Result<Self, String> {
        let list = list.unwrap_or("tracecontext,baggage");
        let mut found = Self {
            trace_context: false,
            baggage: false,
        };
        let names: Vec<_> = list.split(',').map(str::trim).collect();
        for name in &names {
            match *name {
                "tracecontext" => found.trace_context = true,
                "baggage" => found.baggage = true,
                "none" if names.len() == 1 => {}
                _ => {
                    return Err(format!(
                        "OTEL_PROPAGATORS is {list:?}, and tracecontext and baggage, separated \
                         by a comma, or none alone is allowed"
                    ));
                }
            }
        }
        Ok(found)
    }

    /// Makes them those of the process.
    pub(crate) fn install(self) {
        let mut chosen: Vec<Box<dyn TextMapPropagator + Send + Sync>> = Vec::new();
        if self.trace_context {
            chosen.push(Box::new(TraceContextPropagator::new()));
        }
        if self.baggage {
            chosen.push(Box::new(BaggagePropagator::new()));
        }
        global::set_text_map_propagator(TextMapCompositePropagator::new(chosen));
    }
}

/// The context that the caller sent along. What is malformed counts as absent.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    let headers = Incoming::read(headers);
    // Not on top of what is current: between two requests of a thread that is
    // nothing, and a request must not belong to another one.
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &headers)
    })
}

/// Sends the context along.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(context, &mut Outgoing(headers));
    });
}

/// The headers of a request, as far as they are well-formed.
#[derive(Debug, Default)]
struct Incoming {
    traceparent: Option<String>,
    tracestate: Option<String>,
    baggage: Option<String>,
}

impl Incoming {
    fn read(headers: &HeaderMap) -> Self {
        let traceparent = joined(headers, TRACEPARENT).filter(|value| is_traceparent(value));
        // Without its traceparent a tracestate means nothing.
        let tracestate = traceparent.as_ref().and(joined(headers, TRACESTATE));
        Self {
            traceparent,
            tracestate: tracestate.map(bounded_tracestate),
            baggage: joined(headers, BAGGAGE).map(|list| without_encoded_properties(&list)),
        }
    }
}

impl Extractor for Incoming {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            TRACEPARENT => self.traceparent.as_deref(),
            TRACESTATE => self.tracestate.as_deref(),
            BAGGAGE => self.baggage.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        let all = [TRACEPARENT, TRACESTATE, BAGGAGE];
        all.into_iter()
            .filter(|name| self.get(name).is_some())
            .collect()
    }
}

/// The value of a header; those of a repeated one as a list, which is what they mean
/// where a list is allowed, and no valid value elsewhere.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Result<Vec<_>, _> = headers.get_all(name).map(HeaderValue::to_str).collect();
    let values = values.ok().filter(|values| !values.is_empty())?;
    Some(values.join(","))
}

/// Whether the value has the form that [Trace Context] demands, of this version or a
/// later one.
///
/// [Trace Context]: https://www.w3.org/TR/trace-context-2/#traceparent-header-field-values
fn is_traceparent(value: &str) -> bool {
    /// Bytes of version, trace id, parent id and flags, and the dashes.
    const LENGTH: usize = 55;
    let bytes = value.as_bytes();
    let Some((fields, rest)) = bytes.split_at_checked(LENGTH) else {
        return false;
    };
    let has_form = fields.iter().enumerate().all(|(index, byte)| match index {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let end = match &fields[..2] {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    has_form && end
}

/// The list in at most 512 bytes: long members go first, then those at the end.
fn bounded_tracestate(list: String) -> String {
    if list.len() <= TRACESTATE_LIMIT {
        return list;
    }
    let mut bounded = String::new();
    for member in list.split(',').filter(|member| member.len() <= LONG_MEMBER) {
        if bounded.len() + 1 + member.len() > TRACESTATE_LIMIT {
            break;
        }
        if !bounded.is_empty() {
            bounded.push(',');
        }
        bounded.push_str(member);
    }
    bounded
}

/// The baggage without properties that are percent-encoded: the SDK decodes them and
/// sends them on as they are, so that a client could write into the next request's
/// header what it likes.
fn without_encoded_properties(list: &str) -> String {
    let member = |member: &str| {
        let mut parts = member.split(';');
        let pair = parts.next().unwrap_or_default();
        let properties = parts.filter(|property| !property.contains('%'));
        let kept: Vec<_> = [pair].into_iter().chain(properties).collect();
        kept.join(";")
    };
    let members: Vec<_> = list.split(',').map(member).collect();
    members.join(",")
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, name: &str, value: String) {
        // A tracestate that is empty need not be sent, and no context is worth a
        // request that fails.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use opentelemetry::{baggage::BaggageExt as _, trace::TraceContextExt as _};

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn request(headers: &[(&str, &[u8])]) -> HeaderMap {
        let mut request = TestRequest::get();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value).unwrap();
            request = request.append_header((*name, value));
        }
        request.to_srv_request().headers().clone()
    }

    /// What comes out where this came in.
    fn passed_on(headers: &[(&str, &[u8])]) -> HeaderMap {
        Propagators::parse(None).unwrap().install();
        let mut out = HeaderMap::new();
        inject(&extract(&request(headers)), &mut out);
        out
    }

    #[test]
    fn names_make_the_propagators_and_a_mistake_is_told() {
        let both = Propagators::parse(Some(" baggage, tracecontext,baggage"));
        assert_eq!(both, Propagators::parse(None));
        let none = Propagators::parse(Some("none")).unwrap();
        assert!(!none.trace_context && !none.baggage);
        for bad in ["b3", "tracecontext,none", "tracecontext,", "TraceContext"] {
            let error = Propagators::parse(Some(bad)).unwrap_err();
            assert!(error.contains("OTEL_PROPAGATORS") && error.contains(bad));
        }
    }

    #[test]
    fn a_malformed_or_doubled_traceparent_counts_as_none() {
        for bad in [
            "",
            "00",
            "00-0-0-0",
            // The SDK's own parser would take these for numbers.
            "00-1-2-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            let out = passed_on(&[("traceparent", bad.as_bytes())]);
            assert_eq!(out.get(TRACEPARENT), None, "{bad}");
        }
        let twice = ("traceparent", GOOD.as_bytes());
        assert!(passed_on(&[twice, twice]).is_empty());
        assert!(passed_on(&[("traceparent", b"\xff\xfe")]).is_empty());
        assert!(passed_on(&[("tracestate", b"a=b")]).is_empty());
    }

    #[test]
    fn a_traceparent_of_a_later_version_is_taken_as_far_as_it_is_known() {
        Propagators::parse(None).unwrap().install();
        for later in ["01", "01-more", "cc-0-0-0"] {
            let (version, rest) = later.split_at(2);
            let header = format!("{version}{}{rest}", &GOOD[2..]);
            let context = extract(&request(&[("traceparent", header.as_bytes())]));
            let id = context.span().span_context().trace_id().to_string();
            assert_eq!(id, TRACE, "{header}");
        }
    }

    #[test]
    fn tracestate_and_baggage_are_passed_on_also_from_several_headers() {
        let out = passed_on(&[
            ("traceparent", GOOD.as_bytes()),
            ("tracestate", b"a=1"),
            ("tracestate", b"b=2"),
            ("baggage", b"user=jo%20an;secret"),
            ("baggage", b"cart=7"),
        ]);
        assert_eq!(out.get(TRACESTATE).unwrap(), "a=1,b=2");
        let baggage = out.get(BAGGAGE).unwrap().to_str().unwrap();
        let mut members: Vec<_> = baggage.split(',').collect();
        members.sort();
        assert_eq!(members, ["cart=7", "user=jo%20an;secret"]);
    }

    #[test]
    fn a_long_tracestate_loses_its_long_members_and_then_the_last_ones() {
        let short = |name: &str| format!("{name}={}", "x".repeat(100));
        let long = format!("long={}", "x".repeat(200));
        let list = [
            short("a"),
            long,
            short("b"),
            short("c"),
            short("d"),
            short("e"),
        ];
        let bounded = bounded_tracestate(list.join(","));
        let names: Vec<_> = bounded.split(',').map(|member| &member[..1]).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(bounded.len() <= TRACESTATE_LIMIT);
    }

    #[test]
    fn a_client_cannot_write_into_the_next_requests_header() {
        let out = passed_on(&[("baggage", b"a=b;p=%0d%0aX-Evil: 1;q,c=d;r=%2cforged=1")]);
        let baggage = out.get(BAGGAGE).unwrap().to_str().unwrap();
        let mut members: Vec<_> = baggage.split(',').collect();
        members.sort();
        assert_eq!(members, ["a=b;q", "c=d"]);
    }

    #[test]
    fn baggage_of_any_size_stays_within_the_limits_of_its_specification() {
        Propagators::parse(None).unwrap().install();
        let many: Vec<_> = (0..500).map(|n| format!("k{n}=v")).collect();
        let context = extract(&request(&[("baggage", many.join(",").as_bytes())]));
        assert_eq!(context.baggage().len(), 64);
        let long = format!("a={}", "v".repeat(10_000));
        let context = extract(&request(&[("baggage", long.as_bytes())]));
        assert!(context.baggage().is_empty());
    }
}
