//! What identifies a series.

use opentelemetry_proto::tonic::{common::v1::InstrumentationScope, metrics::v1::Metric};

use crate::{
    attribute,
    instance::Instance,
    points::{Kind, Point},
};

/// What identifies a series, after the data model
/// (<https://opentelemetry.io/docs/specs/otel/metrics/data-model/#timeseries-model>).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    namespace: String,
    pub(crate) service: String,
    pub(crate) scope: Scope,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) kind: Kind,
    pub(crate) attributes: Vec<(String, String)>,
    types: String,
}

/// An instrumentation scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) name: String,
    version: String,
    attributes: Vec<(String, String)>,
}

impl Scope {
    pub(crate) fn of(scope: Option<&InstrumentationScope>) -> Self {
        let Some(scope) = scope else {
            return Self::default();
        };
        Self {
            name: scope.name.clone(),
            version: scope.version.clone(),
            attributes: attribute::sorted(&scope.attributes),
        }
    }

    fn len(&self) -> usize {
        self.name.len() + self.version.len() + length(&self.attributes)
    }
}

fn length(attributes: &[(String, String)]) -> usize {
    let lengths = attributes
        .iter()
        .map(|(key, value)| key.len() + value.len());
    lengths.sum()
}

impl Key {
    pub(crate) fn new(instance: &Instance, scope: &Scope, metric: &Metric, point: &Point) -> Self {
        Self {
            namespace: instance.namespace().to_owned(),
            service: instance.service().to_owned(),
            scope: scope.clone(),
            metric: metric.name.clone(),
            unit: metric.unit.clone(),
            kind: point.kind,
            attributes: point.attributes.clone(),
            types: point.types.clone(),
        }
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        let names = [&self.namespace, &self.service, &self.metric, &self.unit];
        let names = names.into_iter().map(|name| name.len());
        names.sum::<usize>() + self.scope.len() + length(&self.attributes) + self.types.len()
    }
}
