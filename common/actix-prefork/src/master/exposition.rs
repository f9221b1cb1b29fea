//! Harness metrics in the Prometheus text format.

use std::fmt::Write as _;

use super::{
    harness_metrics::{HARNESS_METRICS, HarnessMetric, MetricKind, Point},
    snapshot::Snapshot,
};

impl Snapshot {
    /// Appends [`HARNESS_METRICS`] in the Prometheus text format, for a scrape.
    pub fn encode_text(&self, text: &mut String) {
        for metric in &HARNESS_METRICS {
            let points = metric.points(self);
            if !points.is_empty() {
                // Writing to a string cannot fail.
                let _ = encode_metric(metric, &points, text);
            }
        }
    }
}

fn encode_metric(metric: &HarnessMetric, points: &[Point], text: &mut String) -> std::fmt::Result {
    let name = metric.prometheus_name();
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::UpDownCounter | MetricKind::Gauge => "gauge",
    };
    writeln!(text, "# HELP {name} {}", metric.description)?;
    writeln!(text, "# TYPE {name} {kind}")?;
    for point in points {
        let slot = point.slot.map(|slot| format!("slot=\"{slot}\""));
        // The values are constants of the harness, with nothing in them to escape.
        let attribute = metric.attribute.zip(point.attribute);
        let attribute = attribute.map(|(name, value)| format!("{name}=\"{value}\""));
        let labels: Vec<_> = slot.into_iter().chain(attribute).collect();
        match labels.is_empty() {
            true => writeln!(text, "{name} {:?}", point.value)?,
            false => writeln!(text, "{name}{{{}}} {:?}", labels.join(","), point.value)?,
        }
    }
    Ok(())
}
