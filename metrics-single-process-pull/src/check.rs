//! Whether the metrics of a registry can be shown in the text format.
//!
//! A registry checks what is registered by its description. The OpenTelemetry
//! exporter has none, because instruments come later, and so the registry merges
//! an instrument and a metric of one name into a family with the type and the help
//! of whichever comes first. A scraper cannot read what comes of it, or misreads it.

use std::collections::{HashMap, HashSet};

use anyhow::{anyhow, bail, ensure};
use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::{MetricFamily, MetricType},
};

/// What every OpenTelemetry exporter shows besides the instruments.
const TARGET_INFO: (&str, MetricType) = ("target_info", MetricType::GAUGE);

/// Checks that OpenTelemetry shows exactly the expected instruments, each one with
/// its type. A histogram may be missing: it is shown after its first measurement.
///
/// # Errors
///
/// Names the family that is missing, that nobody expects or that has another type.
pub(crate) fn instruments(
    shown: &[MetricFamily],
    expected: &[(&str, MetricType)],
) -> anyhow::Result<()> {
    let mut names = HashSet::from([TARGET_INFO.0]);
    for (name, wanted) in expected {
        ensure!(
            names.insert(name),
            "two OpenTelemetry instruments are both called {name} on /metrics: rename one"
        );
        let family = shown.iter().find(|family| family.name() == *name);
        let found = match family.map(MetricFamily::get_field_type) {
            Some(found) => found,
            None if *wanted == MetricType::HISTOGRAM => continue,
            None => bail!(
                "no OpenTelemetry instrument is called {name} on /metrics: the SDK refused its \
                 name, nothing was added to it yet, or it has another name there"
            ),
        };
        ensure!(
            found == *wanted,
            "{name} should be a {} and OpenTelemetry shows a {}: two instruments have that name, \
             or the list of the expected ones is wrong",
            word(*wanted),
            word(found),
        );
    }
    for family in shown {
        let name = family.name();
        ensure!(
            names.contains(name),
            "OpenTelemetry shows {name}, which is not among the expected instruments: add it to \
             the list, so that it is checked"
        );
    }
    Ok(())
}

/// Takes the names of the instruments in the registry, so that no other metric can
/// have one of them, now or later.
///
/// # Errors
///
/// Names the one that something else has registered already.
pub(crate) fn reserve_names(
    instruments: &[(&str, MetricType)],
    registry: &Registry,
) -> anyhow::Result<()> {
    for (name, kind) in instruments.iter().chain([&TARGET_INFO]) {
        for name in series_names(name, *kind) {
            let taken = registry.register(Box::new(Reserved::new(&name)?));
            taken.map_err(|error| {
                anyhow!(
                    "{name} is the name of an OpenTelemetry instrument and of a metric that was \
                     registered directly, perhaps with another type, help or labels: rename one \
                     ({error})"
                )
            })?;
        }
    }
    Ok(())
}

/// Checks every family.
///
/// # Errors
///
/// Names the first one that cannot be shown, and why.
pub(crate) fn families(families: &[MetricFamily]) -> anyhow::Result<()> {
    let names = Names::of(families);
    for family in families {
        if let Some(fault) = names.fault(family) {
            bail!("{} cannot be shown on /metrics: {fault}", family.name());
        }
    }
    Ok(())
}

/// The names of all series, and the families that have them.
pub(crate) struct Names(HashMap<String, usize>);

impl Names {
    pub(crate) fn of(families: &[MetricFamily]) -> Self {
        let mut names = HashMap::new();
        for family in families {
            for name in series_names(family.name(), family.get_field_type()) {
                *names.entry(name).or_default() += 1;
            }
        }
        Self(names)
    }

    /// Why a family cannot be shown, if it cannot.
    pub(crate) fn fault(&self, family: &MetricFamily) -> Option<String> {
        let kind = family.get_field_type();
        if kind == MetricType::UNTYPED {
            return Some("it has no type".to_owned());
        }
        if !is_name(family.name(), true) {
            return Some("that is no name of a metric".to_owned());
        }
        let shared = |name: &String| self.0.get(name).is_some_and(|families| *families > 1);
        if let Some(name) = series_names(family.name(), kind).find(shared) {
            return Some(format!("another metric has a series {name} too"));
        }
        let mut seen = HashSet::new();
        for metric in family.get_metric() {
            let pairs = metric.get_label().iter();
            let mut labels: Vec<_> = pairs.map(|pair| (pair.name(), pair.value())).collect();
            labels.sort_unstable();
            if let Some(fault) = label_fault(&labels, kind) {
                return Some(fault);
            }
            if !seen.insert(labels) {
                let pairs = metric.get_label().iter();
                let labels: Vec<_> = pairs
                    .map(|pair| format!("{}={:?}", pair.name(), pair.value()))
                    .collect();
                return Some(format!(
                    "it has two series with the labels {{{}}}, as of two instruments with one \
                     name and another description or number type",
                    labels.join(",")
                ));
            }
        }
        None
    }
}

/// Why these labels, sorted by name, are none.
fn label_fault(labels: &[(&str, &str)], kind: MetricType) -> Option<String> {
    let own = match kind {
        MetricType::HISTOGRAM => Some("le"),
        MetricType::SUMMARY => Some("quantile"),
        _ => None,
    };
    for (name, _) in labels {
        if !is_name(name, false) {
            return Some(format!(
                "{name:?} is no name of a label (attributes of the resource, such as those in \
                 OTEL_RESOURCE_ATTRIBUTES, become labels of target_info)"
            ));
        }
        if own == Some(*name) {
            return Some(format!(
                "its label {name:?} is the one that a {} makes",
                word(kind)
            ));
        }
    }
    let twice = labels.windows(2).find(|pair| pair[0].0 == pair[1].0);
    twice.map(|pair| format!("it has the label {:?} twice", pair[0].0))
}

/// Whether it is a [name] of a metric, which may have colons, or else of a label.
///
/// [name]: https://prometheus.io/docs/concepts/data_model/
fn is_name(text: &str, colons: bool) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    text.bytes().all(allowed)
        && text
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

/// The name of a family, and what its lines begin with.
fn series_names(name: &str, kind: MetricType) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match kind {
        MetricType::HISTOGRAM => &["", "_bucket", "_sum", "_count"],
        MetricType::SUMMARY => &["", "_sum", "_count"],
        _ => &[""],
    };
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

fn word(kind: MetricType) -> String {
    format!("{kind:?}").to_lowercase()
}

/// A description without a metric.
struct Reserved(Desc);

impl Reserved {
    fn new(name: &str) -> prometheus::Result<Self> {
        // No real metric has this label, and a registry refuses a second
        // description of one name unless the labels are the same.
        let labels = vec!["reserved_for_opentelemetry".to_owned()];
        let help = "Reserved".to_owned();
        Desc::new(name.to_owned(), help, labels, HashMap::new()).map(Self)
    }
}

impl Collector for Reserved {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
