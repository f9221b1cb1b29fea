//! Counts of requests, and the latest records.

use std::{collections::VecDeque, sync::Arc};

use opentelemetry_proto::tonic::{logs::v1::ScopeLogs, trace::v1::ScopeSpans};
use prost::Message;

use crate::{
    Signal,
    instance::{Instance, Instances},
    received::{Received, ReceivedLog, ReceivedSeries, ReceivedSpan},
    totals::Totals,
};

/// Maximum encoded size of the kept records in bytes, for each signal, where a test keeps them.
const MAX_KEPT_BYTES: usize = 256 * 1024 * 1024;

/// What the live view keeps: records of each signal, and their encoded size in bytes. They take
/// about seven times as much memory.
const VIEW_SPANS: usize = 20_000;
const VIEW_LOGS: usize = 10_000;
const VIEW_BYTES: usize = 3_500_000;

/// Counts of requests, and the kept records.
pub(crate) struct Kept {
    requests: [u64; 3],
    refused: u64,
    logs: Recent<ReceivedLog>,
    spans: Recent<ReceivedSpan>,
}

impl Kept {
    /// Keeps as many records as a test wants, or else what the view shows.
    pub(crate) fn new(records: usize, view: bool) -> Self {
        let (logs, spans) = match records {
            0 if view => (
                Recent::new(VIEW_LOGS, VIEW_BYTES),
                Recent::new(VIEW_SPANS, VIEW_BYTES),
            ),
            records => (
                Recent::new(records, MAX_KEPT_BYTES),
                Recent::new(records, MAX_KEPT_BYTES),
            ),
        };
        Self {
            requests: [0; 3],
            refused: 0,
            logs,
            spans,
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

    pub(crate) fn requests(&self) -> u64 {
        self.requests.iter().sum()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn logs(&self) -> impl DoubleEndedIterator<Item = &ReceivedLog> + ExactSizeIterator {
        self.logs.records.iter().map(|(_, log)| log)
    }

    pub(crate) fn spans(
        &self,
    ) -> impl DoubleEndedIterator<Item = &ReceivedSpan> + ExactSizeIterator {
        self.spans.records.iter().map(|(_, span)| span)
    }

    /// Records that made room for later ones.
    pub(crate) fn forgotten_logs(&self) -> u64 {
        self.logs.forgotten
    }

    /// Spans that made room for later ones.
    pub(crate) fn forgotten_spans(&self) -> u64 {
        self.spans.forgotten
    }

    pub(crate) fn snapshot(&self, instances: &Instances, totals: &Totals, held: usize) -> Received {
        Received {
            requests: self.requests,
            refused: self.refused,
            held,
            data_points: totals.data_points(),
            overflowed: totals.overflowed(),
            series: ReceivedSeries::all(totals),
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
    max_bytes: usize,
    bytes: usize,
    forgotten: u64,
}

impl<T: Clone> Recent<T> {
    fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            records: VecDeque::new(),
            max_records,
            max_bytes,
            bytes: 0,
            forgotten: 0,
        }
    }

    fn push(&mut self, size: usize, record: impl FnOnce() -> T) {
        if self.max_records == 0 {
            return;
        }
        self.records.push_back((size, record()));
        self.bytes += size;
        while self.records.len() > self.max_records || self.bytes > self.max_bytes {
            let Some((size, _)) = self.records.pop_front() else {
                break;
            };
            self.bytes -= size;
            self.forgotten += 1;
        }
    }

    fn to_vec(&self) -> Vec<T> {
        self.records
            .iter()
            .map(|(_, record)| record.clone())
            .collect()
    }
}
