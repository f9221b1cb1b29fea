//! What the handles of one metric share, and how a metric says that something went wrong.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
};

use prometheus::Error;

use crate::{
    definition::Definition,
    exemplar::SpanIds,
    exemplars::Place,
    file::OwnFile,
    files::{Files, Incident},
    key::Key,
    map::Cell,
    periodic::Periodic,
};

/// What all metrics of one store share.
pub(crate) struct Shared {
    /// Repairs the files. It ends before the process gives up its identifier.
    pub(crate) _keeper: Option<Periodic>,
    pub(crate) files: Arc<Files>,
    pub(crate) pid: u32,
    pub(crate) series_limit: AtomicUsize,
}

impl Shared {
    /// Makes sure that this is the process that opened the store.
    ///
    /// An update through an inherited handle is harmless, it counts for the parent. But two
    /// processes that append to one file would destroy it.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        let pid = std::process::id();
        if pid == self.pid {
            return Ok(());
        }
        Err(Error::Msg(format!(
            "process {pid} was forked from process {} and cannot use its store {}; open a store after the fork",
            self.pid,
            self.files.identifier().unwrap_or_default()
        )))
    }
}

/// What the handles of one metric share.
pub struct MetricState {
    definition: Definition,
    shared: Arc<Shared>,
    file: Arc<OwnFile>,
    /// A bit for each kind of incident that has been logged.
    logged: AtomicU8,
}

impl fmt::Debug for MetricState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.definition.fmt(f)
    }
}

impl MetricState {
    pub(crate) fn new(
        definition: Definition,
        shared: Arc<Shared>,
        file: Arc<OwnFile>,
    ) -> MetricState {
        MetricState {
            definition,
            shared,
            file,
            logged: AtomicU8::new(0),
        }
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(crate) fn series_limit(&self) -> usize {
        self.shared.series_limit.load(Relaxed)
    }

    pub(crate) fn bounds(&self) -> &[f64] {
        &self.definition.bounds
    }

    pub(crate) fn is_most_recent(&self) -> bool {
        self.definition.kind.is_most_recent()
    }

    /// Counts an incident, and logs it if it is the first of its kind for this metric.
    pub(crate) fn report<T: fmt::Display>(&self, incident: Incident, what: impl FnOnce() -> T) {
        self.shared.files.count(incident);
        let bit = 1 << incident as u8;
        if self.logged.load(Relaxed) & bit == 0 && self.logged.fetch_or(bit, Relaxed) & bit == 0 {
            log::warn!("metric {}: {} (logged once)", self.definition.name, what());
        }
    }

    /// Replaces the exemplar of a cell of this metric.
    #[inline]
    pub(crate) fn put_exemplar(&self, cell: &Cell, place: &Place, span: SpanIds, value: f64) {
        let files = &self.shared.files;
        let find = || {
            self.shared.check_process().ok()?;
            files.exemplar_slot(cell.entry)
        };
        files.exemplars().put(cell.entry, place, span, value, find);
    }

    /// The cells of a series that is stored already or fits into the limit; `None` if it
    /// has to go into the overflow series.
    pub(crate) fn cells<V: AsRef<str>>(&self, values: &[V]) -> Result<Option<Vec<Cell>>, Error> {
        let expect = self.definition.label_names.len();
        if values.len() != expect {
            return Err(Error::InconsistentCardinality {
                expect,
                got: values.len(),
            });
        }
        let keys = self.definition.keys(values);
        if expect > 0 && !self.fits(&keys) {
            return Ok(None);
        }
        self.append(&keys).map(Some)
    }

    /// Whether the series with these keys is stored already or fits into the limit.
    pub(crate) fn fits(&self, keys: &[String]) -> bool {
        let stored = self.file.entries_of(&self.definition.name);
        stored / self.definition.entries() < self.series_limit() || self.file.has(&keys[0])
    }

    /// The label values of all series in the file, those of earlier processes included.
    pub(crate) fn stored(&self) -> Vec<Vec<String>> {
        let names = &self.definition.label_names;
        let values = |key: &String| {
            let parsed = Key::parse(key.as_bytes())?;
            let value = |name: &String| {
                let label = parsed.labels.iter().find(|(label, _)| label == name);
                label.map(|(_, value)| value.clone().into_owned())
            };
            let values = names.iter().map(value).collect::<Option<Vec<String>>>()?;
            // The first entry of a series, with this definition.
            (self.definition.keys(&values)[0] == *key).then_some(values)
        };
        let keys = self.file.keys_of(&self.definition.name);
        keys.iter().filter_map(values).collect()
    }

    /// The cells of the series that stands for all that are too many.
    pub(crate) fn overflow_cells(&self) -> Result<Vec<Cell>, Error> {
        let values = vec![crate::OVERFLOW; self.definition.label_names.len()];
        self.append(&self.definition.keys(&values))
    }

    /// Cells for a handle that must exist although nothing can be stored.
    pub(crate) fn detached_cells(&self) -> Vec<Cell> {
        (0..self.definition.entries())
            .map(|_| Cell::detached())
            .collect()
    }

    /// The cells of the series with these keys.
    pub(crate) fn append(&self, keys: &[String]) -> Result<Vec<Cell>, Error> {
        self.shared.check_process()?;
        let files = &self.shared.files;
        Ok(files.cells(&self.file, &self.definition.name, keys)?)
    }
}
