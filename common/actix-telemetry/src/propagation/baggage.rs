//! W3C Baggage: <https://www.w3.org/TR/baggage/>.

use std::sync::LazyLock;

use opentelemetry::{
    Context,
    baggage::{BaggageExt as _, KeyValueMetadata},
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

pub(super) const BAGGAGE: &str = "baggage";

/// Members that are passed on at least, as specified, and at most.
const MEMBERS: usize = 64;

/// Bytes that are passed on at least, as specified, and at most.
const BYTES: usize = 8_192;

/// What is no `baggage-octet`, and the sign that begins an encoded one.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'\\')
    .add(b'%');

/// The header `baggage`.
///
/// The SDK's propagator cuts a value at its second `=`, decodes `%25` twice, and puts
/// decoded properties into the next header, where a client could forge members with
/// them (opentelemetry-rust 0.33, `sdk/src/propagation/baggage.rs`).
#[derive(Debug, Default)]
pub struct BaggagePropagator(());

impl TextMapPropagator for BaggagePropagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let mut header = String::new();
        for (name, (value, properties)) in context.baggage() {
            let mut member = format!("{name}={}", utf8_percent_encode(value.as_str(), ENCODED));
            if !properties.as_str().is_empty() {
                member.push(';');
                member.push_str(properties.as_str());
            }
            let is_safe = member
                .bytes()
                .all(|byte| (0x20..=0x7e).contains(&byte) && byte != b',');
            let comma = if header.is_empty() { "" } else { "," };
            if is_safe && header.len() + comma.len() + member.len() <= BYTES {
                header.push_str(comma);
                header.push_str(&member);
            }
        }
        if !header.is_empty() {
            injector.set(BAGGAGE, header);
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let Some(header) = extractor.get(BAGGAGE) else {
            return context.clone();
        };
        let mut bytes = 0;
        let fit = header.split(',').take_while(|member| {
            bytes += member.len() + 1;
            bytes <= BYTES + 1
        });
        let members: Vec<_> = fit.filter_map(parse).take(MEMBERS).collect();
        match members.is_empty() {
            true => context.clone(),
            false => context.with_baggage(members),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: LazyLock<[String; 1]> = LazyLock::new(|| [BAGGAGE.to_owned()]);
        FieldIter::new(&*FIELDS)
    }
}

/// Parses `name=value;property;property=value`. The value is decoded, once. The
/// properties only lose the blanks around them and their `=`, which is safe in a header.
fn parse(member: &str) -> Option<KeyValueMetadata> {
    let (pair, properties) = member.split_once(';').unwrap_or((member, ""));
    // Only the first `=` separates; base64 has more of them.
    let (name, value) = pair.split_once('=')?;
    let name = name.trim();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    let value = percent_decode_str(value.trim()).decode_utf8_lossy();
    let properties = properties
        .split(';')
        .map(|property| match property.split_once('=') {
            Some((name, value)) => format!("{}={}", name.trim(), value.trim()),
            None => property.trim().to_owned(),
        });
    let properties: Vec<_> = properties.collect();
    Some(KeyValueMetadata::new(
        name.to_owned(),
        value.into_owned(),
        properties.join(";").as_str(),
    ))
}
