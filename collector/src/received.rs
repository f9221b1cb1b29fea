//! The received telemetry, as tests query it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ScopeLogs},
    trace::v1::{ScopeSpans, Span},
};
use prost::Message;

use crate::{
    Signal, attribute,
    instance::{Instance, Instances},
    totals::Totals,
    value::Value,
};

/// Maximum encoded size of the kept records in bytes, for each signal.
const MAX_KEPT_BYTES: usize = 256 * 1024 * 1024;

/// A snapshot of what a collector has received.
#[derive(Clone, Debug)]
pub struct Received {
    requests: [u64; 3],
    refused: u64,
    held: usize,
    data_points: u64,
    overflowed: u64,
    series: Vec<ReceivedSeries>,
    instances: Vec<Instance>,
    logs: Vec<ReceivedLog>,
    spans: Vec<ReceivedSpan>,
}

/// One metric of one scope and service with one set of attributes, over all instances.
#[derive(Clone, Debug)]
pub struct ReceivedSeries {
    /// `service.name`.
    pub service: String,
    /// The name of the instrumentation scope.
    pub scope: String,
    /// The name of the metric.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// The attributes of the data points as text, sorted by key.
    pub attributes: Vec<(String, String)>,
    /// Sum over all instances; of a gauge or up-down counter over those that still export. For a
    /// histogram, the sum of the observed values.
    pub sum: f64,
    /// Number of observations over all instances. 0 unless it is a histogram or summary.
    pub count: u64,
    /// Total of each instance, by [`Instance::id`]. For a histogram, its number of observations.
    pub per_instance: BTreeMap<String, f64>,
}

/// A log record with its sender.
#[derive(Clone, Debug)]
pub struct ReceivedLog {
    /// Who sent it.
    pub instance: Arc<Instance>,
    /// The name of the instrumentation scope. The bridge of the `log` crate sends the target here.
    pub scope: String,
    /// The record with typed attributes.
    pub record: LogRecord,
}

/// A span with its sender.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    /// Who sent it.
    pub instance: Arc<Instance>,
    /// The name of the instrumentation scope.
    pub scope: String,
    /// The span with typed attributes.
    pub span: Span,
}

impl Received {
    /// Number of export requests of a signal that were accepted.
    pub fn requests(&self, signal: Signal) -> u64 {
        self.requests[signal as usize]
    }

    /// Number of requests that were answered with an error, including simulated ones.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Number of requests that [`crate::Fault::Hang`] currently holds.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Number of metric data points received.
    pub fn data_points(&self) -> u64 {
        self.data_points
    }

    /// Number of data points left out because there were too many series or their attributes were
    /// too long.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The series of a metric that have all the given attributes. `&[]` selects all series.
    pub fn series<'a>(
        &'a self,
        metric: &'a str,
        attributes: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a ReceivedSeries> {
        self.series.iter().filter(move |series| {
            series.metric == metric
                && attributes
                    .iter()
                    .all(|(key, value)| series.attribute(key) == Some(value))
        })
    }

    /// Sum over all these series and all instances, 0 if there is none. For a histogram, the sum of
    /// the observed values.
    pub fn sum(&self, metric: &str, attributes: &[(&str, &str)]) -> f64 {
        // The sum of an empty iterator is -0.0.
        self.series(metric, attributes)
            .fold(0.0, |sum, series| sum + series.sum)
    }

    /// Number of observations of a histogram over all these series and all instances.
    pub fn count(&self, metric: &str, attributes: &[(&str, &str)]) -> u64 {
        self.series(metric, attributes)
            .map(|series| series.count)
            .sum()
    }

    /// Total of each instance, by [`Instance::id`]. For a histogram, its number of observations.
    pub fn per_instance(&self, metric: &str, attributes: &[(&str, &str)]) -> BTreeMap<String, f64> {
        let mut totals = BTreeMap::new();
        for series in self.series(metric, attributes) {
            for (instance, value) in &series.per_instance {
                *totals.entry(instance.clone()).or_default() += value;
            }
        }
        totals
    }

    /// All senders of any signal, with their resource attributes.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The kept log records, in the order of arrival.
    pub fn logs(&self) -> &[ReceivedLog] {
        &self.logs
    }

    /// The kept spans, in the order of arrival.
    pub fn spans(&self) -> &[ReceivedSpan] {
        &self.spans
    }
}

impl ReceivedSeries {
    /// An attribute's value as text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(name, _)| name == key)?;
        Some(value)
    }
}

impl ReceivedLog {
    /// The body as text.
    pub fn body(&self) -> String {
        attribute::to_text(self.record.body.as_ref())
    }

    /// The typed value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&any_value::Value> {
        find(&self.record.attributes, key)
    }

    /// The trace id in lower-case hexadecimal; empty if the record has none.
    pub fn trace_id(&self) -> String {
        attribute::hex(&self.record.trace_id)
    }

    /// The span id in lower-case hexadecimal; empty if the record has none.
    pub fn span_id(&self) -> String {
        attribute::hex(&self.record.span_id)
    }
}

impl ReceivedSpan {
    /// The typed value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&any_value::Value> {
        find(&self.span.attributes, key)
    }

    /// The trace id in lower-case hexadecimal.
    pub fn trace_id(&self) -> String {
        attribute::hex(&self.span.trace_id)
    }

    /// The span id in lower-case hexadecimal.
    pub fn span_id(&self) -> String {
        attribute::hex(&self.span.span_id)
    }

    /// The parent's span id in lower-case hexadecimal; empty for a root span.
    pub fn parent_span_id(&self) -> String {
        attribute::hex(&self.span.parent_span_id)
    }
}

/// Counts of requests, and the kept records.
pub(crate) struct Kept {
    requests: [u64; 3],
    refused: u64,
    logs: Recent<ReceivedLog>,
    spans: Recent<ReceivedSpan>,
}

impl Kept {
    pub(crate) fn new(records: usize) -> Self {
        Self {
            requests: [0; 3],
            refused: 0,
            logs: Recent::new(records),
            spans: Recent::new(records),
        }
    }

    pub(crate) fn count_request(&mut self, signal: Signal) {
        self.requests[signal as usize] += 1;
    }

    pub(crate) fn count_refusal(&mut self) {
        self.refused += 1;
    }

    pub(crate) fn keep_logs(&mut self, instance: &Arc<Instance>, scopes: Vec<ScopeLogs>) {
        for scope in scopes {
            let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
            for record in scope.log_records {
                let size = record.encoded_len() + name.len();
                self.logs.push(size, || ReceivedLog {
                    instance: Arc::clone(instance),
                    scope: name.clone(),
                    record,
                });
            }
        }
    }

    pub(crate) fn keep_spans(&mut self, instance: &Arc<Instance>, scopes: Vec<ScopeSpans>) {
        for scope in scopes {
            let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
            for span in scope.spans {
                let size = span.encoded_len() + name.len();
                self.spans.push(size, || ReceivedSpan {
                    instance: Arc::clone(instance),
                    scope: name.clone(),
                    span,
                });
            }
        }
    }

    pub(crate) fn snapshot(&self, instances: &Instances, totals: &Totals, held: usize) -> Received {
        Received {
            requests: self.requests,
            refused: self.refused,
            held,
            data_points: totals.data_points(),
            overflowed: totals.overflowed(),
            series: series(totals),
            instances: instances
                .iter()
                .map(|instance| instance.as_ref().clone())
                .collect(),
            logs: self.logs.to_vec(),
            spans: self.spans.to_vec(),
        }
    }
}

/// The latest records, limited in number and size.
struct Recent<T> {
    records: VecDeque<(usize, T)>,
    max_records: usize,
    bytes: usize,
}

impl<T: Clone> Recent<T> {
    fn new(max_records: usize) -> Self {
        Self {
            records: VecDeque::new(),
            max_records,
            bytes: 0,
        }
    }

    fn push(&mut self, size: usize, record: impl FnOnce() -> T) {
        if self.max_records == 0 {
            return;
        }
        self.records.push_back((size, record()));
        self.bytes += size;
        while self.records.len() > self.max_records || self.bytes > MAX_KEPT_BYTES {
            let Some((size, _)) = self.records.pop_front() else {
                break;
            };
            self.bytes -= size;
        }
    }

    fn to_vec(&self) -> Vec<T> {
        self.records
            .iter()
            .map(|(_, record)| record.clone())
            .collect()
    }
}

fn series(totals: &Totals) -> Vec<ReceivedSeries> {
    totals
        .iter(Instant::now())
        .filter_map(|(key, series)| {
            let (sum, count) = match series.sum()? {
                Value::Number(number) => (number.as_f64(), 0),
                Value::Distribution(distribution) => {
                    (distribution.sum.unwrap_or_default(), distribution.count)
                }
            };
            let mut per_instance = BTreeMap::new();
            for (instance, value) in series.per_instance() {
                *per_instance.entry(instance.id().to_owned()).or_default() +=
                    value.amount().as_f64();
            }
            Some(ReceivedSeries {
                service: key.service.clone(),
                scope: key.scope.name.clone(),
                metric: key.metric.clone(),
                unit: key.unit.clone(),
                attributes: key.attributes.clone(),
                sum,
                count,
                per_instance,
            })
        })
        .collect()
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a any_value::Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    let AnyValue { value } = attribute.value.as_ref()?;
    value.as_ref()
}
