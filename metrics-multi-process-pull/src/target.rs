//! `target_info`: who is scraped. There is one for the whole server, which is one
//! target, and it carries the identity of the master.

use std::{collections::BTreeMap, env, process};

use common::multiprocess::{GaugeMode, GaugeOpts, Store};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

/// Adds `target_info`, whose labels are the attributes of the resource as the
/// OpenTelemetry specification maps them to Prometheus.
///
/// # Errors
///
/// If the metric cannot be written.
pub(crate) fn store_info(store: &Store) -> Result<(), prometheus::Error> {
    let attributes = attributes();
    let names: Vec<&str> = attributes.keys().map(String::as_str).collect();
    let values: Vec<&str> = attributes.values().map(String::as_str).collect();
    let opts = GaugeOpts::new("target_info", "Target metadata").mode(GaugeMode::LiveMax);
    let info = store.gauge_vec(opts, &names)?;
    info.get_metric_with_label_values(&values)?.set(1.0);
    Ok(())
}

/// The attributes of the resource under their names as labels.
///
/// The name of the service is `OTEL_SERVICE_NAME`, else `service.name` in
/// `OTEL_RESOURCE_ATTRIBUTES`, else that of this program. The instance is that of
/// the variable too, else a new one for each run.
fn attributes() -> BTreeMap<String, String> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let own = [
        ("service_name", env!("CARGO_PKG_NAME").to_owned()),
        ("service_instance_id", Uuid::new_v4().to_string()),
    ];
    let mut attributes = BTreeMap::from(own.map(|(name, value)| (name.to_owned(), value)));
    match variable("OTEL_RESOURCE_ATTRIBUTES").map(|text| parse(&text)) {
        Some(Ok(found)) => attributes.extend(found),
        Some(Err(bad)) => log::warn!(
            "OTEL_RESOURCE_ATTRIBUTES is ignored: {bad:?} is not a name=value pair with \
             percent-encoded UTF-8"
        ),
        None => {}
    }
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        attributes.insert("service_name".to_owned(), name);
    }
    attributes.insert("process_pid".to_owned(), process::id().to_string());
    attributes
}

/// Parses `name=value,name=value` as the [specification] says; on an error returns
/// the pair that is wrong.
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| parse_pair(pair).ok_or_else(|| pair.to_owned()))
        .collect()
}

fn parse_pair(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let decode = |text: &str| {
        let decoded = percent_decode_str(text.trim()).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    let name = decode(name).filter(|name| !name.is_empty())?;
    Some((label_name(&name), decode(value)?))
}

/// An attribute's name as a label: what a label may not contain becomes `_`.
fn label_name(name: &str) -> String {
    let allowed = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => character,
        _ => '_',
    };
    let label: String = name.chars().map(allowed).collect();
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
    fn attributes_are_decoded_and_named_as_labels() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse("a.b-c=1, 2x=x%20y%2C, __n=%C3%A9,").unwrap(),
            [pair("a_b_c", "1"), pair("key_2x", "x y,"), pair("n", "é")]
        );
        assert_eq!(parse("a=1,b"), Err("b".to_owned()));
        assert_eq!(parse("a=%ff"), Err("a=%ff".to_owned()));
    }
}
