//! Two metrics of one name would make `/metrics` invalid for Prometheus, which then
//! refuses all of it. Neither the exporter of OpenTelemetry nor the registry notices.

use std::collections::HashSet;

use anyhow::bail;
use prometheus::proto::{MetricFamily, MetricType};

/// Checks that no two series have the same name and labels.
///
/// # Errors
///
/// Names the metric that occurs twice.
pub(crate) fn no_name_twice(families: &[MetricFamily]) -> anyhow::Result<()> {
    let mut names = HashSet::new();
    for family in families {
        for name in series_names(family) {
            if !names.insert(name.clone()) {
                bail!("two metrics have the series {name}: rename one of them");
            }
        }
        let mut seen = HashSet::new();
        for metric in family.get_metric() {
            let labels = metric.get_label().iter();
            let mut labels: Vec<_> = labels.map(|label| (label.name(), label.value())).collect();
            labels.sort_unstable();
            if !seen.insert(labels) {
                bail!(
                    "two metrics are called {}, perhaps with another description or number \
                     type: rename one of them",
                    family.name()
                );
            }
        }
    }
    Ok(())
}

/// What the lines of a family begin with.
fn series_names(family: &MetricFamily) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match family.get_field_type() {
        MetricType::HISTOGRAM => &["", "_bucket", "_sum", "_count"],
        MetricType::SUMMARY => &["", "_sum", "_count"],
        _ => &[""],
    };
    let name = family.name();
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};

    use super::*;

    /// What a registry shows with a counter `jobs` of OpenTelemetry.
    fn registry() -> (Registry, SdkMeterProvider) {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter();
        let exporter = exporter
            .with_registry(registry.clone())
            .scope_info_enabled(false);
        let exporter = exporter.build().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        provider
            .meter("test")
            .u64_counter("jobs")
            .build()
            .add(0, &[]);
        (registry, provider)
    }

    #[test]
    fn a_registry_without_collisions_passes() {
        let (registry, _provider) = registry();
        assert!(no_name_twice(&registry.gather()).is_ok());
    }

    #[test]
    fn a_metric_that_has_the_name_of_an_instrument_is_named() {
        let (registry, _provider) = registry();
        let direct = IntCounter::new("jobs_total", "Jobs").unwrap();
        registry.register(Box::new(direct)).unwrap();
        let error = no_name_twice(&registry.gather()).unwrap_err().to_string();
        assert!(error.contains("jobs_total"), "{error}");
    }

    #[test]
    fn two_instruments_of_one_name_and_another_description_are_named() {
        let (registry, provider) = registry();
        let meter = provider.meter("test");
        let twin = meter.u64_counter("jobs").with_description("Others");
        twin.build().add(0, &[]);
        let error = no_name_twice(&registry.gather()).unwrap_err().to_string();
        assert!(error.contains("jobs_total"), "{error}");
    }

    #[test]
    fn a_metric_that_has_the_name_of_a_histograms_series_is_named() {
        let (registry, _provider) = registry();
        let times = HistogramVec::new(HistogramOpts::new("time", "Times"), &["x"]).unwrap();
        times.with_label_values(&["1"]).observe(1.0);
        registry.register(Box::new(times)).unwrap();
        let count = IntCounter::new("time_count", "Another").unwrap();
        registry.register(Box::new(count)).unwrap();
        let error = no_name_twice(&registry.gather()).unwrap_err().to_string();
        assert!(error.contains("time_count"), "{error}");
    }
}
