//! The registry, and what follows it. `registry.json` names its source: types of attributes,
//! and the metrics and spans that this workspace emits.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Registry {
    attributes: BTreeMap<String, Type>,
    spans: BTreeMap<String, BTreeMap<String, Level>>,
    metrics: BTreeMap<String, Metric>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type {
    Named(String),
    Enum { r#enum: Vec<Value> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Required,
    ConditionallyRequired,
    Recommended,
    OptIn,
}

#[derive(Deserialize)]
struct Metric {
    instrument: String,
    unit: String,
    attributes: BTreeMap<String, Level>,
}

/// The values of an attribute are open unless they are of these.
const CLOSED: [&str; 1] = ["http.request.method"];

/// Attributes outside of the registry that are in one of its namespaces: what
/// `tracing-opentelemetry` 0.34 adds.
const OTHERS: [&str; 1] = ["code.module.name"];

impl Registry {
    pub(super) fn read() -> Result<Self> {
        Ok(serde_json::from_str(include_str!("registry.json"))?)
    }

    /// Checks names, types and values of the attributes of a resource, span or record.
    pub(super) fn check_attributes(&self, object: &Value) -> Result<()> {
        for (name, value) in attributes(object) {
            let Some(known) = self.attributes.get(name) else {
                let namespace = name.split('.').next().unwrap_or_default();
                let taken = self
                    .attributes
                    .keys()
                    .any(|known| known.split('.').next() == Some(namespace));
                ensure!(
                    !taken || OTHERS.contains(&name),
                    "{name} is not in the registry"
                );
                continue;
            };
            let (kind, value) = value
                .as_object()
                .and_then(|value| value.iter().next())
                .context("no value")?;
            let expected = match known {
                Type::Named(name) => name.as_str(),
                Type::Enum { r#enum } if r#enum.iter().all(Value::is_i64) => "int",
                Type::Enum { .. } => "string",
            };
            let actual = match kind.as_str() {
                "stringValue" => "string",
                "intValue" => "int",
                "doubleValue" => "double",
                "boolValue" => "boolean",
                "arrayValue" => "string[]",
                other => other,
            };
            ensure!(actual == expected, "{name} is {actual}, not {expected}");
            if let Type::Enum { r#enum } = known
                && CLOSED.contains(&name)
            {
                ensure!(r#enum.contains(value), "{name} is {value}");
            }
        }
        Ok(())
    }

    /// Checks the attributes of an HTTP span. Returns its kind if it is one.
    pub(super) fn check_span(&self, span: &Value) -> Result<Option<&'static str>> {
        let kind = match span["kind"].as_i64() {
            Some(2) => "server",
            Some(3) => "client",
            _ => return Ok(None),
        };
        let text = span.to_string();
        check_levels(&self.spans[kind], span).with_context(|| text.clone())?;
        let value = |name| attribute(span, name);
        let status =
            value("http.response.status_code").and_then(|code| code.as_str()?.parse::<u16>().ok());
        let failed = match kind {
            "server" => 500,
            _ => 400,
        };
        let is_error = span["status"]["code"] == 2;
        ensure!(
            is_error == value("error.type").is_some(),
            "error.type goes with the status: {text}"
        );
        ensure!(
            is_error || status.is_some_and(|status| status < failed),
            "no error: {text}"
        );
        let is_other = value("http.request.method") == Some(&Value::from("_OTHER"));
        ensure!(
            is_other == value("http.request.method_original").is_some(),
            "{text}"
        );
        if kind == "server" {
            let path = value("url.path")
                .and_then(Value::as_str)
                .context("no path")?;
            let is_routed = value("http.route").is_some();
            ensure!(is_routed == (path != "/nowhere"), "{text}");
            let method = if is_other {
                "HTTP"
            } else {
                value("http.request.method")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let route = value("http.route")
                .and_then(Value::as_str)
                .map(|route| format!(" {route}"));
            ensure!(
                span["name"] == format!("{method}{}", route.unwrap_or_default()),
                "{text}"
            );
        }
        Ok(Some(kind))
    }

    /// Checks a metric of the registry. Returns whether it is one.
    pub(super) fn check_metric(&self, metric: &Value) -> Result<bool> {
        let name = metric["name"].as_str().context("no name")?;
        let Some(known) = self.metrics.get(name) else {
            ensure!(
                !name.starts_with("http.server."),
                "{name} is not in the registry"
            );
            return Ok(false);
        };
        ensure!(metric["unit"] == known.unit, "{metric}");
        let data = match known.instrument.as_str() {
            "histogram" => &metric["histogram"],
            _ => &metric["sum"],
        };
        let is_monotonic = data["isMonotonic"] == true;
        ensure!(is_monotonic == (known.instrument == "counter"), "{metric}");
        let points = data["dataPoints"].as_array().context(name.to_owned())?;
        for point in points {
            self.check_attributes(point)?;
            check_levels(&known.attributes, point).with_context(|| metric.to_string())?;
            let status = attribute(point, "http.response.status_code")
                .and_then(|code| code.as_str()?.parse().ok());
            if name.ends_with("duration") && status.is_none_or(|status: u16| status >= 500) {
                ensure!(
                    attribute(point, "error.type").is_some(),
                    "no error.type: {point}"
                );
            }
        }
        Ok(true)
    }
}

/// Required attributes are there, and no others than those of the convention.
fn check_levels(levels: &BTreeMap<String, Level>, object: &Value) -> Result<()> {
    for (name, level) in levels {
        ensure!(
            *level != Level::Required || attribute(object, name).is_some(),
            "no {name}"
        );
        ensure!(
            *level != Level::OptIn || attribute(object, name).is_none(),
            "{name} is opt-in"
        );
    }
    for (name, _) in attributes(object) {
        ensure!(
            levels.contains_key(name),
            "{name} is not of this convention"
        );
    }
    Ok(())
}

fn attributes(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = object["attributes"].as_array().into_iter().flatten();
    all.filter_map(|attribute| Some((attribute["key"].as_str()?, &attribute["value"])))
}

/// The value of an attribute; 64-bit integers are strings.
pub(super) fn attribute<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, value) = attributes(object).find(|(key, _)| *key == name)?;
    value.as_object()?.values().next()
}
