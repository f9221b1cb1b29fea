//! Who sends the telemetry: one process of the service.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector};
use opentelemetry_semantic_conventions::attribute::{
    HOST_NAME, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION,
};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::{
    env::Env,
    process,
    warn::{is_worker, warn},
};

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// One for the process, so that all its signals have one identity.
static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().to_string());

/// The [resource] of this process. All signals of a process get the same.
///
/// - `service.name` is `OTEL_SERVICE_NAME`, else that of `OTEL_RESOURCE_ATTRIBUTES`,
///   else `name`.
/// - `service.version` is that of `OTEL_RESOURCE_ATTRIBUTES`, else `version`.
/// - `service.instance.id` is that of `OTEL_RESOURCE_ATTRIBUTES`, else a new UUID. The
///   worker processes of one service share the variable, so each adds its process id:
///   two senders of one identity would overwrite each other's numbers.
/// - `process.pid`, `process.creation.time` (Linux) and `process.command`, the zeroth
///   argument.
/// - `host.name` is that of `OTEL_RESOURCE_ATTRIBUTES`, else what the system says; in a
///   pod of Kubernetes that is the name of the pod.
///
/// ```
/// let resource = actix_telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
/// assert_eq!(resource.get(&"service.name".into()), Some("actix-telemetry".into()));
/// ```
///
/// [resource]: https://opentelemetry.io/docs/specs/semconv/resource/service/
pub fn resource(name: &str, version: &str) -> Resource {
    let attributes = attributes(Env::process(), name, version, is_worker());
    // The SDK would read the variables too, but does not decode them.
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes)
        .build()
}

/// Hands the workers of this process no variable that it has reported.
#[cfg(all(
    feature = "prefork",
    any(feature = "metrics", feature = "multiprocess")
))]
pub(crate) fn hand_on(environment: &mut std::collections::BTreeMap<String, String>) {
    let text = Env::process().get(ATTRIBUTES);
    if text.is_some_and(|text| parse(&text).is_err()) {
        environment.insert(ATTRIBUTES.to_owned(), String::new());
    }
}

/// Of two attributes with one name the later one counts.
pub(crate) fn attributes(
    env: Env<'_>,
    name: &str,
    version: &str,
    is_worker: bool,
) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new(SERVICE_NAME, name.to_owned()),
        KeyValue::new(SERVICE_VERSION, version.to_owned()),
        KeyValue::new(SERVICE_INSTANCE_ID, INSTANCE.as_str()),
    ];
    attributes.extend(host_name().map(|name| KeyValue::new(HOST_NAME, name)));
    if let Some(text) = env.get(ATTRIBUTES) {
        match parse(&text) {
            Ok(found) => attributes.extend(found),
            Err(pair) => warn(
                ATTRIBUTES,
                &pair,
                "expected name=value pairs with percent-encoded UTF-8",
                "none of its attributes",
            ),
        }
    }
    if let Some(name) = env.get("OTEL_SERVICE_NAME") {
        attributes.push(KeyValue::new(SERVICE_NAME, name));
    }
    let instance = attributes
        .iter()
        .rfind(|attribute| attribute.key.as_str() == SERVICE_INSTANCE_ID)
        .map(|attribute| attribute.value.to_string())
        .filter(|instance| is_worker && *instance != *INSTANCE);
    if let Some(instance) = instance {
        let instance = format!("{instance}-{}", std::process::id());
        attributes.push(KeyValue::new(SERVICE_INSTANCE_ID, instance));
    }
    attributes.extend(process::attributes());
    attributes
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

#[cfg(not(unix))]
fn host_name() -> Option<String> {
    None
}

/// Parses `name=value,name=value` as the [specification] says; on an error returns
/// the pair that is wrong.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], is_worker: bool, wanted: &str) -> String {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        let attributes = attributes(Env(&lookup), "shop", "1.2.3", is_worker);
        let last = attributes
            .iter()
            .rfind(|found| found.key.as_str() == wanted);
        last.map(|found| found.value.to_string())
            .unwrap_or_default()
    }

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

    #[test]
    fn the_name_of_the_service_is_the_most_specific_one() {
        let attribute = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a");
        let name = ("OTEL_SERVICE_NAME", "b");
        assert_eq!(found(&[], false, SERVICE_NAME), "shop");
        assert_eq!(found(&[attribute], false, SERVICE_NAME), "a");
        assert_eq!(found(&[attribute, name], false, SERVICE_NAME), "b");
        assert_eq!(
            found(&[("OTEL_SERVICE_NAME", " ")], false, SERVICE_NAME),
            "shop"
        );
        assert_eq!(found(&[], false, SERVICE_VERSION), "1.2.3");
        let host = ("OTEL_RESOURCE_ATTRIBUTES", "host.name=h");
        assert_eq!(found(&[host], false, HOST_NAME), "h");
        assert_eq!(found(&[], false, HOST_NAME), host_name().unwrap());
    }

    #[test]
    fn an_instance_id_of_the_user_is_kept_and_made_unique_in_a_worker() {
        let attribute = ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=me");
        assert_eq!(found(&[attribute], false, SERVICE_INSTANCE_ID), "me");
        let expected = format!("me-{}", std::process::id());
        assert_eq!(found(&[attribute], true, SERVICE_INSTANCE_ID), expected);
        assert_eq!(found(&[], true, SERVICE_INSTANCE_ID), *INSTANCE);
    }
}
