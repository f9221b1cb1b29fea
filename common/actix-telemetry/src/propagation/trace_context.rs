//! W3C Trace Context, level 2: <https://www.w3.org/TR/trace-context-2/>.

use std::sync::LazyLock;

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt as _, TraceState},
};

pub(super) const TRACEPARENT: &str = "traceparent";
pub(super) const TRACESTATE: &str = "tracestate";

/// The flag of level 2 that says that the trace id is random.
const RANDOM: u8 = 0b10;

/// What is passed on at least, as specified, and at most, in bytes: each span that
/// waits for its export holds it.
const TRACESTATE_LIMIT: usize = 512;

/// Members that are longer go first where the limit is exceeded.
///
/// <https://www.w3.org/TR/trace-context-2/#tracestate-limits>
const LONG_MEMBER: usize = 128;

/// More members invalidate the whole list.
const MEMBERS: usize = 32;

/// The headers `traceparent` and `tracestate`.
///
/// The SDK's propagator takes `00-1-2-01`, drops the random flag, cuts a list of 33
/// members instead of dropping it, and alters values
/// (opentelemetry-rust 0.33, `sdk/src/propagation/trace_context.rs`).
#[derive(Debug, Default)]
pub struct TraceContextPropagator(());

/// What the SDK's [`SpanContext`] has no place for, in the [`Context`] beside it: it
/// refuses keys that level 2 allows, and a new span loses the random flag.
#[derive(Clone, Debug)]
struct Remote {
    trace_id: TraceId,
    random: bool,
    tracestate: Option<String>,
}

impl Remote {
    /// What came in with the trace of a span.
    fn of<'a>(context: &'a Context, span: &SpanContext) -> Option<&'a Self> {
        let remote = context.get::<Self>();
        remote.filter(|remote| remote.trace_id == span.trace_id())
    }
}

/// `00-{trace id}-{span id}-{flags}`. A trace that began here has the random flag, since
/// the SDK makes random ids.
pub(crate) fn ids(context: &Context, span: &SpanContext) -> String {
    let random = match Remote::of(context, span).is_none_or(|remote| remote.random) {
        true => RANDOM,
        false => 0,
    };
    let flags = u8::from(span.is_sampled()) | random;
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}

impl TextMapPropagator for TraceContextPropagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return;
        }
        injector.set(TRACEPARENT, ids(context, span));
        let tracestate = match Remote::of(context, span) {
            Some(remote) => remote.tracestate.clone().unwrap_or_default(),
            None => span.trace_state().header(),
        };
        if !tracestate.is_empty() {
            injector.set(TRACESTATE, tracestate);
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let traceparent = extractor.get(TRACEPARENT).map(str::trim);
        let Some((trace_id, span_id, flags)) = traceparent.and_then(parse) else {
            // Without its traceparent a tracestate means nothing.
            return context.clone();
        };
        let tracestate = extractor.get(TRACESTATE).and_then(valid_tracestate);
        let state: Option<TraceState> = tracestate.as_ref().and_then(|list| list.parse().ok());
        let sampled = TraceFlags::new(flags) & TraceFlags::SAMPLED;
        let span = SpanContext::new(trace_id, span_id, sampled, true, state.unwrap_or_default());
        let remote = Remote {
            trace_id,
            random: flags & RANDOM != 0,
            tracestate,
        };
        context.with_remote_span_context(span).with_value(remote)
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: LazyLock<[String; 2]> =
            LazyLock::new(|| [TRACEPARENT, TRACESTATE].map(str::to_owned));
        FieldIter::new(&*FIELDS)
    }
}

/// Trace id, parent id and flags, if the value has the form of this version or of a
/// later one.
fn parse(value: &str) -> Option<(TraceId, SpanId, u8)> {
    /// Bytes of version, trace id, parent id and flags, and the dashes.
    const LENGTH: usize = 55;
    let (fields, rest) = value.as_bytes().split_at_checked(LENGTH)?;
    let has_dashes = [2, 35, 52].iter().all(|&index| fields[index] == b'-');
    let ends_well = match number(&fields[..2])? {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let trace_id = TraceId::from(number(&fields[3..35])?);
    let span_id = SpanId::from(number(&fields[36..52])? as u64);
    let flags = number(&fields[53..])? as u8;
    let is_valid = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    (has_dashes && ends_well && is_valid).then_some((trace_id, span_id, flags))
}

/// The number that these hexadecimal digits are. Capital letters are not allowed.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// The list as it came, without blanks around its members and in at most 512 bytes;
/// nothing if a member is malformed or there are too many.
fn valid_tracestate(list: &str) -> Option<String> {
    let members = list
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<_> = members.filter(|member| !member.is_empty()).collect();
    let is_valid = members.len() <= MEMBERS && members.iter().all(|member| is_member(member));
    if !is_valid || members.is_empty() {
        return None;
    }
    let all = members.join(",");
    if all.len() <= TRACESTATE_LIMIT {
        return Some(all);
    }
    let mut bounded = String::new();
    for member in members.iter().filter(|member| member.len() <= LONG_MEMBER) {
        if bounded.len() + 1 + member.len() > TRACESTATE_LIMIT {
            break;
        }
        if !bounded.is_empty() {
            bounded.push(',');
        }
        bounded.push_str(member);
    }
    Some(bounded)
}

/// Whether it is `key=value` of level 2.
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    let is_key_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let begins_well =
        key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let is_key = begins_well && key.len() <= 256 && key.bytes().all(is_key_byte);
    let is_value_byte = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    let is_value = (1..=256).contains(&value.len())
        && value.bytes().all(is_value_byte)
        && !value.ends_with(' ');
    is_key && is_value
}
