//! The series of one instrument by their attributes.
//!
//! As in a [`MetricVec`](crate::MetricVec), a lookup takes no lock. What differs is that each
//! measurement has attribute names of its own, in any order.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _},
    sync::{Arc, Mutex, OnceLock},
};

use foldhash::fast::RandomState;
use opentelemetry::{KeyValue, Value};

use super::names;
use crate::{files::Incident, lock, metric::Metric, state::MetricState};

/// Most instruments have few series, and a chain of a few is followed quickly.
const MAX_CHAINS: usize = 64 * 1024;

/// The label of the series that counts for all series above the limit, as the [specification]
/// names it.
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

pub(super) struct Series<M> {
    state: Arc<MetricState>,
    /// Labels of the scope.
    scope: Arc<[(String, String)]>,
    /// With a random seed, so that clients cannot choose values that collide.
    seed: RandomState,
    chains: Box<[Chain<M>]>,
    known: Mutex<Known<M>>,
}

type Chain<M> = OnceLock<Box<Node<M>>>;

struct Node<M> {
    hash: u64,
    attributes: Box<[KeyValue]>,
    metric: M,
    next: Chain<M>,
}

struct Known<M> {
    /// By the first key of each series.
    metrics: HashMap<String, M>,
    nodes: usize,
}

impl<M: Metric> Series<M> {
    pub(super) fn new(state: Arc<MetricState>, scope: Arc<[(String, String)]>) -> Self {
        let chains = state
            .series_limit()
            .clamp(1, MAX_CHAINS)
            .next_power_of_two();
        Self {
            state,
            scope,
            seed: RandomState::default(),
            chains: (0..chains).map(|_| Chain::new()).collect(),
            known: Mutex::new(Known {
                metrics: HashMap::new(),
                nodes: 0,
            }),
        }
    }

    /// Calls `then` with the series of these attributes, which is created if it is new.
    #[inline]
    pub(super) fn with(&self, attributes: &[KeyValue], then: impl FnOnce(&M)) {
        let hash = self.hash(attributes);
        match self.find(hash, attributes) {
            Ok(metric) => then(metric),
            Err(_) => then(&self.add(hash, attributes)),
        }
    }

    /// The series of these attributes.
    pub(super) fn get(&self, attributes: &[KeyValue]) -> M {
        self.add(self.hash(attributes), attributes)
    }

    fn hash(&self, attributes: &[KeyValue]) -> u64 {
        let mut hash = self.seed.build_hasher();
        // Names are compared. Instruments have the same ones mostly.
        for attribute in attributes {
            match &attribute.value {
                Value::String(text) => hash.write(text.as_str().as_bytes()),
                Value::I64(number) => hash.write_i64(*number),
                Value::F64(number) => hash.write_u64(number.to_bits()),
                Value::Bool(flag) => hash.write_u8(u8::from(*flag)),
                other => hash.write(other.as_str().as_bytes()),
            }
        }
        hash.finish()
    }

    /// The metric, or the end of the chain where it belongs.
    fn find(&self, hash: u64, attributes: &[KeyValue]) -> Result<&M, &Chain<M>> {
        // The number of chains is a power of two.
        let mut chain = &self.chains[hash as usize & (self.chains.len() - 1)];
        while let Some(node) = chain.get() {
            if node.hash == hash && *node.attributes == *attributes {
                return Ok(&node.metric);
            }
            chain = &node.next;
        }
        Err(chain)
    }

    #[cold]
    fn add(&self, hash: u64, attributes: &[KeyValue]) -> M {
        let definition = self.state.definition();
        let mut labels = names::labels(attributes, definition.kind);
        labels.extend(self.scope.iter().cloned());
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let keys = definition.keys_of(&labels);
        let mut known = lock(&self.known);
        if !known.metrics.contains_key(&keys[0]) && !self.state.fits(&keys) {
            return self.overflow(&mut known);
        }
        let metric = self.metric(&mut known, keys);
        // One set of attributes has many orders, which must not fill the memory.
        if known.nodes < 2 * self.state.series_limit()
            && let Err(end) = self.find(hash, attributes)
        {
            known.nodes += 1;
            end.get_or_init(|| {
                Box::new(Node {
                    hash,
                    attributes: attributes.into(),
                    metric: metric.clone(),
                    next: Chain::new(),
                })
            });
        }
        metric
    }

    fn metric(&self, known: &mut Known<M>, mut keys: Vec<String>) -> M {
        if let Some(metric) = known.metrics.get(&keys[0]) {
            return metric.clone();
        }
        let cells = self.state.append(&keys).unwrap_or_else(|error| {
            self.state.report(Incident::SeriesRefused, || {
                format!("updates are lost: {error}")
            });
            self.state.detached_cells()
        });
        let metric = M::from_cells(&cells, &self.state);
        known.metrics.insert(keys.swap_remove(0), metric.clone());
        metric
    }

    fn overflow(&self, known: &mut Known<M>) -> M {
        self.state.report(
            Incident::SeriesLimit,
            || "series limit reached, new series are counted in the series otel_metric_overflow=\"true\"",
        );
        let scope = self
            .scope
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<(&str, &str)> = std::iter::once(OVERFLOW).chain(scope).collect();
        self.metric(known, self.state.definition().keys_of(&labels))
    }
}
