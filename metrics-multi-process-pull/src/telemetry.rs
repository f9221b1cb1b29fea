//! The part to take into your own service: metrics in a directory that all
//! processes of the service share.

use std::{env, path::Path, sync::Arc};

use common::{
    multiprocess::{DIRECTORY_VARIABLE, Directory, MultiProcessCollector, Store},
    workers::Start,
};

use crate::metrics::Metrics;

/// Prepares the directory, in the master: that of `PROMETHEUS_MULTIPROC_DIR`, else
/// a private one that is removed at the end.
///
/// # Errors
///
/// If another master uses the directory, or it cannot be used.
pub(crate) fn prepare(start: &mut Start) -> anyhow::Result<Arc<Directory>> {
    let named = env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty());
    let directory = Directory::prepare(named.as_deref().map(Path::new))?;
    let path = directory.path().display().to_string();
    start.notes.push(format!("directory {path}"));
    if named.is_none() {
        let variable = DIRECTORY_VARIABLE.to_owned();
        start.environment.insert(variable, path);
    }
    Ok(Arc::new(directory))
}

/// The metrics of a worker process, and what answers a scrape.
#[derive(Clone)]
pub(crate) struct Telemetry {
    pub(crate) metrics: Metrics,
    pub(crate) collector: Arc<MultiProcessCollector>,
}

impl Telemetry {
    /// Joins the directory that the master has prepared.
    ///
    /// # Errors
    ///
    /// If the process cannot write to the directory.
    pub(crate) fn init() -> anyhow::Result<Self> {
        let directory = env::var_os(DIRECTORY_VARIABLE).unwrap_or_default();
        let store = Store::open(Path::new(&directory))?;
        Ok(Self {
            metrics: Metrics::new(&store)?,
            collector: Arc::new(store.collector()?),
        })
    }
}
