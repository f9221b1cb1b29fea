//! Who sends the telemetry: one worker process of the service.

use std::{env, process};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_semantic_conventions::attribute::{
    PROCESS_PID, SERVICE_INSTANCE_ID, SERVICE_NAME,
};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

/// The resource of this process.
///
/// The name of the service is `OTEL_SERVICE_NAME`, else `service.name` in
/// `OTEL_RESOURCE_ATTRIBUTES`, else `default_name`. The instance is a new one in
/// each process, whatever the variable says: all workers share the variable, and
/// two senders of one identity would overwrite each other's numbers.
pub(crate) fn of_this_process(default_name: &'static str) -> Resource {
    let mut attributes = vec![KeyValue::new(SERVICE_NAME, default_name)];
    match variable("OTEL_RESOURCE_ATTRIBUTES").map(|text| parse(&text)) {
        Some(Ok(found)) => attributes.extend(found),
        Some(Err(bad)) => log::warn!(
            "OTEL_RESOURCE_ATTRIBUTES is ignored: {bad:?} is not a name=value pair with \
             percent-encoded UTF-8"
        ),
        None => {}
    }
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        attributes.push(KeyValue::new(SERVICE_NAME, name));
    }
    attributes.push(KeyValue::new(
        SERVICE_INSTANCE_ID,
        Uuid::new_v4().to_string(),
    ));
    attributes.push(KeyValue::new(PROCESS_PID, i64::from(process::id())));
    // Of two attributes with one name the later one counts. The SDK would read
    // the variables too, but does not decode them.
    Resource::builder_empty()
        .with_detector(Box::new(
            opentelemetry_sdk::resource::TelemetryResourceDetector,
        ))
        .with_attributes(attributes)
        .build()
}

/// Parses `name=value,name=value` as the [specification] says; on an error
/// returns the pair that is wrong.
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
fn parse(text: &str) -> Result<Vec<KeyValue>, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| parse_pair(pair).ok_or_else(|| pair.to_owned()))
        .collect()
}

fn parse_pair(pair: &str) -> Option<KeyValue> {
    let (name, value) = pair.split_once('=')?;
    let decode = |text: &str| {
        let decoded = percent_decode_str(text.trim()).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    let name = decode(name).filter(|name| !name.is_empty())?;
    Some(KeyValue::new(name, decode(value)?))
}

/// The variable, if it is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_decoded_and_a_bad_pair_is_named() {
        let found = parse("a=1, b.c=x%20y%2C ,").unwrap();
        assert_eq!(
            found,
            [KeyValue::new("a", "1"), KeyValue::new("b.c", "x y,")]
        );
        assert_eq!(parse("a=1,b"), Err("b".to_owned()));
        assert_eq!(parse("a=%ff"), Err("a=%ff".to_owned()));
    }
}
