//! Executes steps with our store.

use anyhow::Result;
use common::multiprocess::{GaugeOpts, Store};
use prometheus::{HistogramOpts, Opts};

use crate::script::{Kind, Metric, Step};

/// Executes one step in `store`.
pub(crate) fn write(store: &Store, metric: &Metric, step: &Step) -> Result<()> {
    let opts = Opts::new(&metric.name, &metric.help);
    let labels: Vec<&str> = metric.labels.iter().map(String::as_str).collect();
    let (values, numbers) = (&step.values, step.numbers.iter());
    match metric.kind {
        Kind::Counter => {
            let counters = store.counter_vec(opts, &labels)?;
            let counter = counters.get_metric_with_label_values(values)?;
            numbers.for_each(|&number| counter.inc_by(number));
        }
        Kind::Gauge(mode) => {
            let gauges = store.gauge_vec(GaugeOpts::from(opts).mode(mode), &labels)?;
            let gauge = gauges.get_metric_with_label_values(values)?;
            numbers.for_each(|&number| gauge.set(number));
        }
        Kind::Histogram => {
            let opts = HistogramOpts::from(opts).buckets(metric.bounds.clone());
            let histograms = store.histogram_vec(opts, &labels)?;
            let histogram = histograms.get_metric_with_label_values(values)?;
            numbers.for_each(|&number| histogram.observe(number));
        }
        Kind::Summary => {
            let summaries = store.summary_vec(opts, &labels)?;
            let summary = summaries.get_metric_with_label_values(values)?;
            numbers.for_each(|&number| summary.observe(number));
        }
    }
    Ok(())
}
