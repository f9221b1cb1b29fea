//! Reads a scrape.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context, Result, ensure};
use e2e::http;

use super::DURATION;

/// The samples of the text format, keyed by name and labels as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scrape {
    pub(super) samples: BTreeMap<String, f64>,
    pub(super) text: String,
}

impl Scrape {
    /// Requests `/metrics` on a new connection.
    pub(super) fn of(addr: SocketAddr) -> Result<Self> {
        let response = http::get(addr, "/metrics")?;
        ensure!(response.status == 200, "{response:?}");
        Self::parse(response.body)
    }

    pub(super) fn parse(text: String) -> Result<Self> {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').context("a line without a value")?;
            let value = value.parse().with_context(|| format!("in {line}"))?;
            let before = samples.insert(sample.to_owned(), value);
            ensure!(before.is_none(), "{sample} is there twice");
        }
        Ok(Self { samples, text })
    }

    /// The sum over all series of a metric, 0 if there are none.
    pub(super) fn sum(&self, metric: &str) -> f64 {
        self.series(metric).map(|(_, value)| value).sum()
    }

    /// The sum over those series of a metric that have this label, or over all for an empty one.
    pub(super) fn sum_with(&self, metric: &str, label: &str) -> f64 {
        let series = self.series(metric);
        series
            .filter(|(labels, _)| labels.contains(label))
            .map(|(_, value)| value)
            .sum()
    }

    /// The series of a metric: their labels in braces, if they have any, and their values.
    pub(super) fn series<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let labels = move |sample: &'a str| {
            let labels = sample.strip_prefix(metric)?;
            (labels.is_empty() || labels.starts_with('{')).then_some(labels)
        };
        let samples = self.samples.iter();
        samples.filter_map(move |(sample, value)| Some((labels(sample)?, *value)))
    }

    /// The count of the histogram. Checks that it equals the last bucket.
    #[track_caller]
    pub(super) fn observed(&self) -> f64 {
        let counts = self.series("http_server_request_duration_seconds_count");
        for (labels, count) in counts {
            // Labels are sorted by name, and those of Flask's application have no version.
            let has_version = labels.contains(",network_protocol_version=");
            let next = if has_version { ",network" } else { ",url" };
            let bucket = labels.replacen(next, &format!(",le=\"+Inf\"{next}"), 1);
            let bucket = self.samples.get(&format!("{DURATION}_bucket{bucket}"));
            assert_eq!(bucket, Some(&count), "{labels} in {}", self.text);
        }
        self.sum("http_server_request_duration_seconds_count")
    }
}
