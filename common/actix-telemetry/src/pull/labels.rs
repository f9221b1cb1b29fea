//! The attributes of a resource as labels of `target_info`.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// The resource with names that are valid as labels of Prometheus, for exporters that
/// use them as they are: one invalid label costs the whole scrape.
pub fn with_label_names(resource: &Resource) -> Resource {
    let attributes = labels(resource).into_iter();
    let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
    Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

/// The attributes of a resource as labels. Of attributes whose names become one label
/// the values are joined, as the [specification] demands.
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-attributes
pub(super) fn labels(resource: &Resource) -> BTreeMap<String, String> {
    let attributes = resource.iter();
    let attributes: BTreeMap<_, _> = attributes
        .filter(|(name, _)| !name.as_str().starts_with("telemetry.sdk."))
        .map(|(name, value)| (name.as_str(), value.to_string()))
        .collect();
    let mut labels = BTreeMap::<_, String>::new();
    for (name, value) in attributes {
        let joined = labels.entry(label_name(name)).or_default();
        if !joined.is_empty() {
            joined.push(';');
        }
        joined.push_str(&value);
    }
    labels
}

/// An attribute's name as a label: what a label may not contain becomes `_`.
fn label_name(name: &str) -> String {
    let mut label = String::new();
    for character in name.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => label.push(character),
            // Several in a row become one.
            _ if label.ends_with('_') => {}
            _ => label.push('_'),
        }
    }
    // A label may not begin with a digit, and names with two underscores at the
    // beginning are Prometheus' own.
    match label.trim_start_matches('_') {
        rest if rest.starts_with(|first: char| first.is_ascii_digit()) => format!("key_{rest}"),
        "" => "key".to_owned(),
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_labels_and_values_of_one_label_are_joined() {
        let attributes = [("a.b", "1"), ("a_b", "2"), ("1st", "x"), ("__n--é", "y")];
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
        let resource = Resource::builder_empty()
            .with_attributes(attributes)
            .build();
        let expected = [("a_b", "1;2"), ("key_1st", "x"), ("n_", "y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels(&resource), BTreeMap::from(expected));
    }
}
