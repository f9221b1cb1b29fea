//! Every metric, as a card.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;

use crate::{
    harness,
    points::{Example, Kind},
    state,
    value::Value,
};

/// Metrics, and series of each, that are shown at most.
const MAX_CARDS: usize = 60;
const MAX_LINES: usize = 24;

/// Samples between which an increase by second is measured.
const SMOOTHED: usize = 5;

#[derive(Serialize)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) kind: &'static str,
    /// Over all series and processes. Of a histogram the number of observations.
    pub(crate) total: f64,
    /// Series that are not in the list.
    pub(crate) more: usize,
    pub(crate) series: Vec<Line>,
    /// Some measurements, the latest first.
    pub(crate) exemplars: Vec<Exemplar>,
    /// Unix time in seconds and value, of the last exports. Of a counter the increase by second.
    pub(crate) history: Vec<(f64, f64)>,
}

/// A measurement with the span in which it was made.
#[derive(Serialize)]
pub(crate) struct Exemplar {
    pub(crate) value: f64,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

impl Exemplar {
    fn of(example: &Example) -> Self {
        Self {
            value: example.value.as_f64(),
            trace_id: example.trace_id.clone(),
            span_id: example.span_id.clone(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) attributes: Vec<(String, String)>,
    /// A number; of a histogram the number of observations.
    pub(crate) value: f64,
    pub(crate) mean: Option<f64>,
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    /// Processes that export it.
    pub(crate) processes: usize,
}

/// All metrics but those of the harness, which the workers show. Those of the service come first,
/// before those of its requests and its processes.
pub(crate) fn cards(state: &state::State) -> Vec<Card> {
    let mut cards = BTreeMap::<(&str, &str, &'static str), Card>::new();
    for (key, series) in state.totals.iter(Instant::now()) {
        let Some(sum) = series.sum() else { continue };
        let kind = name_of(key.kind);
        let place = (key.metric.as_str(), key.unit.as_str(), kind);
        if harness::metric(&key.metric).is_some()
            || cards.len() >= MAX_CARDS && !cards.contains_key(&place)
        {
            continue;
        }
        let card = cards.entry(place).or_insert_with(|| Card {
            name: key.metric.clone(),
            unit: key.unit.clone(),
            kind,
            total: 0.0,
            more: 0,
            series: Vec::new(),
            exemplars: state
                .pulse
                .examples(&key.metric)
                .map(Exemplar::of)
                .collect(),
            history: history(state, &key.metric, key.kind),
        });
        let value = sum.amount().as_f64();
        card.total += value;
        if card.series.len() >= MAX_LINES {
            card.more += 1;
            continue;
        }
        let distribution = match &sum {
            Value::Number(_) => None,
            Value::Distribution(distribution) => Some(distribution),
        };
        card.series.push(Line {
            attributes: key.attributes.clone(),
            value,
            mean: distribution.and_then(|distribution| distribution.mean()),
            p50: distribution.and_then(|distribution| distribution.quantile(0.5)),
            p95: distribution.and_then(|distribution| distribution.quantile(0.95)),
            processes: series.per_instance().count(),
        });
    }
    let mut cards: Vec<_> = cards.into_values().collect();
    cards.sort_by_key(|card| {
        let common = ["http", "process"];
        common
            .iter()
            .position(|prefix| card.name.starts_with(prefix))
    });
    for card in &mut cards {
        card.series.sort_by(|a, b| a.attributes.cmp(&b.attributes));
    }
    cards
}

fn history(state: &state::State, metric: &str, kind: Kind) -> Vec<(f64, f64)> {
    let history = state.pulse.history(metric);
    if kind.is_current() {
        return history;
    }
    // Over several samples, since workers export in turn.
    let spans = history.windows(SMOOTHED).filter_map(|samples| {
        let ((before, less), (time, more)) = (samples.first()?, samples.last()?);
        let rate = (more - less) / (time - before);
        (time > before).then_some((*time, rate.max(0.0)))
    });
    spans.collect()
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Sum => "counter",
        Kind::UpDown => "up-down counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Exponential => "exponential histogram",
        Kind::Summary => "summary",
    }
}
