//! All files of this process, and the directory that they belong into.
//!
//! Nothing here fails because of the disk: what cannot be written is counted in memory, and
//! [`Files::repair`] writes it when that works again.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::{
    cell,
    declared::Declaration,
    error::DirectoryError,
    exemplar::Entry,
    exemplars::Exemplars,
    file::OwnFile,
    format::Kind,
    identity::{Identity, Role},
    key, links, lock,
    map::Cell,
};

/// Something that the store refused or repaired, instead of failing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Incident {
    InvalidUpdate,
    SeriesLimit,
    SeriesRefused,
    FileRestored,
    InMemory,
}

impl Incident {
    /// The values of the label `kind` of `multiprocess_incidents_total`, in the order of the
    /// variants.
    const KINDS: [&'static str; 5] = [
        "invalid_update",
        "series_limit",
        "series_refused",
        "file_restored",
        "in_memory",
    ];
}

/// The files of this process. It keeps the identifier.
pub(crate) struct Files {
    directory: PathBuf,
    role: Role,
    /// Who needs both locks takes this one first.
    identity: Mutex<Option<Identity>>,
    /// Whether the directory is about to go.
    closed: AtomicBool,
    files: Mutex<HashMap<Kind, Arc<OwnFile>>>,
    declaration: Mutex<Declaration>,
    exemplars: Exemplars,
    /// The cells of `multiprocess_incidents_total`.
    incidents: OnceLock<Vec<Cell>>,
    /// Whether something is counted in memory, which was logged.
    in_memory: AtomicBool,
}

impl Files {
    /// The files of the process that has taken `identity`, or has failed to.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub(crate) fn new(
        directory: &Path,
        role: Role,
        identity: Result<Identity, DirectoryError>,
    ) -> io::Result<Files> {
        let failure = identity.as_ref().err().map(ToString::to_string);
        let files = Files {
            directory: directory.to_owned(),
            role,
            identity: Mutex::new(identity.ok()),
            closed: AtomicBool::new(false),
            files: Mutex::new(HashMap::new()),
            declaration: Mutex::default(),
            exemplars: Exemplars::default(),
            incidents: OnceLock::new(),
            in_memory: AtomicBool::new(false),
        };
        let name = "multiprocess_incidents";
        let help = "Updates refused and files repaired by the metric store, by kind";
        let keys = Incident::KINDS
            .map(|kind| key::write(name, &format!("{name}_total"), [("kind", kind)], help));
        let cells = files.file(Kind::Counter)?.cells(name, &keys)?;
        files.incidents.get_or_init(|| cells);
        files.declare(name, &[]);
        match failure {
            Some(failure) => files.report_in_memory(&failure),
            // Creating the first file may have failed before there was something to count with.
            None if files.in_memory.load(Relaxed) => files.count(Incident::InMemory),
            None => {}
        }
        Ok(files)
    }

    /// The identifier; `None` if it could not be taken yet.
    pub(crate) fn identifier(&self) -> Option<String> {
        lock(&self.identity)
            .as_ref()
            .map(|own| own.name().to_owned())
    }

    pub(crate) fn count(&self, incident: Incident) {
        if let Some(cells) = self.incidents.get() {
            cell::add(cells[incident as usize].value(), 1.0);
        }
    }

    /// Tells readers that this process has a metric.
    pub(crate) fn declare(&self, family: &str, bounds: &[f64]) {
        let identity = lock(&self.identity);
        let home = identity.as_ref().map(Identity::home);
        lock(&self.declaration).add(home, family, bounds);
    }

    /// The file of a kind.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub(crate) fn file(&self, kind: Kind) -> io::Result<Arc<OwnFile>> {
        let identity = lock(&self.identity);
        let mut files = lock(&self.files);
        if let Some(file) = files.get(&kind) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(OwnFile::new(kind)?);
        if let Some(identity) = &*identity
            && let Err(error) = self.settle(&file, identity, false)
        {
            self.report_in_memory(&error);
        }
        files.insert(kind, Arc::clone(&file));
        Ok(file)
    }

    /// The cells of `keys`, which belong to the metric family `family`.
    ///
    /// # Errors
    ///
    /// If there is no memory, or the file would become too large.
    pub(crate) fn cells(
        &self,
        file: &Arc<OwnFile>,
        family: &str,
        keys: &[String],
    ) -> io::Result<Vec<Cell>> {
        let cells = file.cells(family, keys)?;
        if let Some(error) = file.take_failure() {
            self.report_in_memory(&error);
        }
        Ok(cells)
    }

    pub(crate) fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// The slot of an entry for its exemplar; `None` if there is no more room.
    #[cold]
    pub(crate) fn exemplar_slot(&self, entry: Entry) -> Option<u32> {
        let identity = lock(&self.identity);
        let home = identity.as_ref().map(Identity::home);
        self.exemplars.find(entry, home)
    }

    /// Writes what is in memory, and restores files that were removed or replaced, as far as that
    /// works now.
    pub(crate) fn repair(&self) {
        let mut identity = lock(&self.identity);
        if self.closed.load(Relaxed) {
            return;
        }
        let is_lost = !identity.as_ref().is_some_and(Identity::is_visible);
        if is_lost {
            match Identity::take_again(&self.directory, self.role) {
                Ok(new) => *identity = Some(new),
                Err(error) => return self.report_in_memory(&error),
            }
        }
        let Some(identity) = &*identity else { return };
        lock(&self.declaration).renew(identity.home());
        self.exemplars.settle(identity.home());
        let mut failure = None;
        for file in lock(&self.files).values() {
            let was_in_memory = file.is_in_memory();
            match self.settle(file, identity, is_lost) {
                Ok(true) if !was_in_memory => self.count(Incident::FileRestored),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) => self.report_in_memory(&error),
            None if self.in_memory.swap(false, Relaxed) => log::info!(
                "metrics of {} in {} are in files again",
                identity.name(),
                self.directory.display()
            ),
            None => {}
        }
    }

    /// Ends the repairs. Returns whether the directory is still the one that this process holds.
    pub(crate) fn close(&self) -> bool {
        let identity = lock(&self.identity);
        self.closed.store(true, Relaxed);
        identity.as_ref().is_some_and(Identity::is_visible)
    }

    /// What the files with entries in memory would be.
    pub(crate) fn unwritten(&self) -> Vec<(Kind, Vec<u8>)> {
        let files = lock(&self.files);
        let unwritten = |file: &Arc<OwnFile>| Some((file.kind(), file.unwritten()?));
        files.values().filter_map(unwritten).collect()
    }

    fn settle(&self, file: &OwnFile, identity: &Identity, is_new: bool) -> io::Result<bool> {
        let path = identity.home().join(file.kind().file_name());
        let changed = file.settle(&path, is_new)?;
        if changed {
            // For Python; a file system without hard links does not have them.
            let link = file.kind().link_name(identity.name());
            links::renew(&path, &self.directory.join(link));
        }
        Ok(changed)
    }

    /// Says once that metrics are counted in memory.
    fn report_in_memory(&self, error: &dyn std::fmt::Display) {
        if !self.in_memory.swap(true, Relaxed) {
            self.count(Incident::InMemory);
            log::warn!(
                "cannot write metrics in {}: {error}, counting in memory until it works",
                self.directory.display()
            );
        }
    }
}
