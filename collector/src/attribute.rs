//! Attribute values as text, for keys, comparisons and output.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

/// Whether it is an attribute that each record of a request repeats, that its message says or that
/// its trace shows.
pub(crate) fn is_repeated(name: &str) -> bool {
    const REPEATED: [&str; 5] = [
        "exception.stacktrace",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "url.path",
    ];
    REPEATED.contains(&name)
}

/// The value of an attribute that is text already.
pub(crate) fn find_text<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(key, _)| key == name)?;
    Some(&found.1)
}

/// Whether a request with these attributes failed, by the conventions for HTTP servers.
pub(crate) fn is_error(attributes: &[(String, String)]) -> bool {
    attributes.iter().any(|(key, value)| match key.as_str() {
        "error.type" => true,
        "http.response.status_code" => value.starts_with('5'),
        _ => false,
    })
}

/// Attributes sorted by key, so that equal sets give equal map keys.
pub(crate) fn sorted(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), to_text(attribute.value.as_ref())))
        .collect();
    sorted.sort();
    sorted
}

/// The types of attributes, in the order of [`sorted`]: `1` and `"1"` are different values.
pub(crate) fn types(attributes: &[KeyValue]) -> String {
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|attribute| {
            let value = attribute.value.as_ref();
            (&attribute.key, to_text(value), type_of(value))
        })
        .collect();
    sorted.sort();
    sorted.into_iter().map(|(.., kind)| kind).collect()
}

fn type_of(value: Option<&AnyValue>) -> String {
    let items = |items: Vec<String>| format!("({})", items.concat());
    match value.and_then(|value| value.value.as_ref()) {
        None => "n".to_owned(),
        Some(Value::StringValue(_) | Value::StringValueStrindex(_)) => "s".to_owned(),
        Some(Value::BoolValue(_)) => "b".to_owned(),
        Some(Value::IntValue(_)) => "i".to_owned(),
        Some(Value::DoubleValue(_)) => "d".to_owned(),
        Some(Value::BytesValue(_)) => "x".to_owned(),
        Some(Value::ArrayValue(array)) => items(
            array
                .values
                .iter()
                .map(|item| type_of(Some(item)))
                .collect(),
        ),
        Some(Value::KvlistValue(list)) => {
            let values = list.values.iter().map(|item| type_of(item.value.as_ref()));
            items(values.collect())
        }
    }
}

/// The typed value of an attribute.
pub(crate) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.as_ref()?.value.as_ref()
}

/// The value of an attribute as text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(to_text(attribute.value.as_ref()))
}

/// Strings unchanged, other values in a JSON-like form. Does not escape control characters.
pub(crate) fn to_text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::BytesValue(bytes)) => hex(bytes),
        Some(Value::StringValueStrindex(index)) => format!("string #{index}"),
        Some(Value::ArrayValue(array)) => {
            let items: Vec<_> = array
                .values
                .iter()
                .map(|item| to_text(Some(item)))
                .collect();
            format!("[{}]", items.join(", "))
        }
        Some(Value::KvlistValue(list)) => {
            let items: Vec<_> = list
                .values
                .iter()
                .map(|item| format!("{}: {}", item.key, to_text(item.value.as_ref())))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// Lower-case hexadecimal, as trace and span ids are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .collect()
}

/// Truncates the text to at most `max` bytes, at a character boundary.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
