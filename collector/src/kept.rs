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

/// Maximum encoded size of the kept records in bytes, for each signal.
const MAX_KEPT_BYTES: usize = 256 * 1024 * 1024;

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
