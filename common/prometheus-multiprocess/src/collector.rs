//! A scrape: the merged values of all processes that share a directory.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Write},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use prometheus::{
    Error,
    core::{Collector, Desc},
    proto,
};

use crate::{
    context::{self, Incident},
    error::DirectoryError,
    identity, lock,
    merge::Merge,
    number, process,
    process::ProcessMetrics,
    protobuf,
    scan::{self, BadFile, Listing, REMOVED, Source},
    text::{self, Template},
};

/// The content type of what [`MultiProcessCollector::encode_text`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const BAD_FILES: &str = "multiprocess_bad_files";
const BAD_FILES_HELP: &str = "Metric files that could not be read in full, by reason";
/// Bad files that are listed by name; a directory full of strange files must not
/// fill the scrape.
const MAX_BAD_FILES: usize = 100;

/// Collects the metrics of all processes that share a directory, from any of them.
///
/// Create it once and keep it: a scrape reuses what the previous one parsed. Clones share this
/// state.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// use prometheus_multiprocess::MultiProcessCollector;
///
/// store.counter(prometheus::Opts::new("requests", "Number of requests"))?.inc();
/// let collector = MultiProcessCollector::new(store.directory())?;
/// let mut text = String::new();
/// collector.encode_text(&mut text)?;
/// assert!(text.contains("requests_total 1.0\n"));
///
/// // In a registry, next to metrics of this process only.
/// let registry = prometheus::Registry::new();
/// registry.register(Box::new(collector))?;
/// assert!(!registry.gather().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MultiProcessCollector(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    desc: Desc,
    /// Where repairs are counted, if this process has a store.
    incidents: Option<Arc<context::Shared>>,
    /// How many scrapes have begun.
    begun: AtomicU64,
    scrape: Mutex<Scrape>,
}

impl fmt::Debug for MultiProcessCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MultiProcessCollector")
            .field(&self.0.directory)
            .finish()
    }
}

impl MultiProcessCollector {
    /// Creates a collector for `directory`.
    ///
    /// # Errors
    ///
    /// Fails if the path is not a directory.
    pub fn new(directory: impl AsRef<Path>) -> Result<MultiProcessCollector, Error> {
        MultiProcessCollector::counting(directory.as_ref(), None)
    }

    /// A collector that counts what it repairs where `incidents` says.
    pub(crate) fn counting(
        path: &Path,
        incidents: Option<Arc<context::Shared>>,
    ) -> Result<MultiProcessCollector, Error> {
        let refused = |error: DirectoryError| Error::Msg(error.to_string());
        let metadata = fs::metadata(path)
            .map_err(|error| refused(DirectoryError::io(path, "read it")(error)))?;
        if !metadata.is_dir() {
            return Err(refused(DirectoryError::NotADirectory {
                path: path.to_owned(),
            }));
        }
        // A registry refuses a collector without a description, and a second one with the same.
        let constant = HashMap::from([("directory".to_owned(), path.display().to_string())]);
        let variable = vec!["file".to_owned(), "reason".to_owned()];
        let desc = Desc::new(
            BAD_FILES.to_owned(),
            BAD_FILES_HELP.to_owned(),
            variable,
            constant,
        )?;
        Ok(MultiProcessCollector(Arc::new(Shared {
            directory: path.to_owned(),
            desc,
            incidents,
            begun: AtomicU64::new(0),
            scrape: Mutex::new(Scrape::new()),
        })))
    }

    /// Appends the metrics in the text format 0.0.4, whose content type is [`CONTENT_TYPE`].
    ///
    /// The order is stable: families by name, series by labels, buckets by bound, then process
    /// metrics and bad files. Concurrent calls may share one scrape. Every update that happened
    /// before the call is in the text.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be read. A bad file is not an error; it is listed in
    /// `multiprocess_bad_files`.
    pub fn encode_text(&self, out: &mut String) -> Result<(), Error> {
        self.0.encode_since(self.0.next(), out)
    }
}

impl Shared {
    /// The number of the first scrape that sees everything which has been counted up to now.
    fn next(&self) -> u64 {
        self.begun.load(SeqCst) + 1
    }

    /// Appends the text of the scrape `number` or a later one, which is made unless there is one.
    fn encode_since(&self, number: u64, out: &mut String) -> Result<(), Error> {
        let mut scrape = lock(&self.scrape);
        if scrape.number < number {
            scrape.number = self.begun.fetch_add(1, SeqCst) + 1;
            if let Err(error) = scrape.run(&self.directory, self.incidents.as_deref()) {
                // Whoever waits for this scrape has to find out for itself.
                *scrape = Scrape::new();
                let error = DirectoryError::io(&self.directory, "read the metrics in it")(error);
                return Err(Error::Msg(error.to_string()));
            }
        }
        out.push_str(&scrape.text);
        Ok(())
    }
}

impl Collector for MultiProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    /// Returns the metrics as protocol buffers. [`MultiProcessCollector::encode_text`] is many
    /// times faster. If the directory cannot be read, it logs the error and returns nothing.
    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut text = String::new();
        if let Err(error) = self.encode_text(&mut text) {
            log::error!("{error}");
        }
        protobuf::families(&text)
    }
}

/// The last scrape, and what the next one needs again.
struct Scrape {
    number: u64,
    text: String,
    sources: Vec<Source>,
    merge: Merge,
    template: Template,
    logged: HashSet<BadFile>,
}

impl Scrape {
    fn new() -> Scrape {
        Scrape {
            number: 0,
            text: String::new(),
            sources: Vec::new(),
            merge: Merge::new(),
            template: Template::default(),
            logged: HashSet::new(),
        }
    }

    fn run(&mut self, directory: &Path, incidents: Option<&context::Shared>) -> io::Result<()> {
        let mut listing = scan::list(directory)?;
        if let Some(incidents) = incidents {
            for _ in 0..listing.restored {
                incidents.count(Incident::FileRestored);
            }
        }
        // What a new entry means can depend on the order in which the files were read,
        // where they contradict each other. A fresh start reads them by name.
        if !(self.is_known(&listing) && self.refresh(directory) && self.learn()) {
            self.start_over(&listing);
            self.refresh(directory);
            self.learn();
        }
        self.merge.add_up(&self.sources);
        for source in &self.sources {
            let bad = source.bad.or(source.unusable);
            if let Some(reason) = bad.filter(|&reason| reason != REMOVED) {
                let name = source.found.name.clone();
                listing.bad.push(BadFile { name, reason });
            }
        }
        self.text.clear();
        self.template.render(&self.merge, &mut self.text);
        self.push_processes(directory, &listing);
        self.push_bad_files(listing.bad);
        Ok(())
    }

    /// Whether the same files are there as before.
    fn is_known(&self, listing: &Listing) -> bool {
        self.sources
            .iter()
            .map(|source| &source.found)
            .eq(&listing.files)
    }

    /// Forgets everything. This is rare: a file came or went, or was replaced.
    fn start_over(&mut self, listing: &Listing) {
        self.sources = listing.files.iter().cloned().map(Source::new).collect();
        self.merge = Merge::new();
        self.template = Template::default();
    }

    /// Reads all files; `false` if what was learned of one is no longer true.
    fn refresh(&mut self, directory: &Path) -> bool {
        let mut same = true;
        for source in &mut self.sources {
            same &= source.refresh(directory);
        }
        same
    }

    /// Learns the entries that are new; `false` if one of them is rejected.
    fn learn(&mut self) -> bool {
        let known = self.merge.series();
        let mut good = true;
        for index in 0..self.sources.len() {
            good &= self.merge.learn(&mut self.sources, index);
        }
        if self.merge.series() != known {
            self.template = Template::new(&self.merge);
        }
        good
    }

    fn push_processes(&mut self, directory: &Path, listing: &Listing) {
        let processes: Vec<(&str, ProcessMetrics)> = listing
            .held
            .iter()
            .filter_map(|identifier| {
                let owner = identity::owner(directory, identifier)?;
                Some((identifier.as_str(), process::read(owner)?))
            })
            .collect();
        for (name, kind, help, value) in ProcessMetrics::ALL {
            // A program may store a metric of that name itself.
            if processes.is_empty()
                || self
                    .merge
                    .has_family(name.strip_suffix("_total").unwrap_or(name))
            {
                continue;
            }
            text::push_header(&mut self.text, &[name], help, kind);
            for (identifier, metrics) in &processes {
                if let Some(value) = value(metrics) {
                    let _ = write!(self.text, "{name}{{worker=\"{identifier}\"}} ");
                    number::push(&mut self.text, value);
                    self.text.push('\n');
                }
            }
        }
    }

    fn push_bad_files(&mut self, mut bad: Vec<BadFile>) {
        bad.sort();
        if bad.is_empty() || self.merge.has_family(BAD_FILES) {
            return;
        }
        text::push_header(&mut self.text, &[BAD_FILES], BAD_FILES_HELP, "gauge");
        for file in bad.iter().take(MAX_BAD_FILES) {
            let name: String = file.name.chars().take(100).map(printable).collect();
            if self.logged.len() < MAX_BAD_FILES && self.logged.insert(file.clone()) {
                log::warn!(
                    "metric file {name}: {}, serving the rest (logged once)",
                    file.reason
                );
            }
            let _ = write!(self.text, "{BAD_FILES}{{file=\"");
            number::push_label_value(&mut self.text, &name);
            let _ = writeln!(self.text, "\",reason=\"{}\"}} 1.0", file.reason);
        }
        if let Some(more) = bad
            .len()
            .checked_sub(MAX_BAD_FILES)
            .filter(|&more| more > 0)
        {
            let _ = write!(
                self.text,
                "{BAD_FILES}{{file=\"{}\",reason=\"\"}} ",
                crate::OVERFLOW
            );
            number::push(&mut self.text, more as f64);
            self.text.push('\n');
        }
    }
}

fn printable(character: char) -> char {
    if character.is_control() {
        '?'
    } else {
        character
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_that_wait_for_a_scrape_share_the_next_one() {
        let collector = MultiProcessCollector::new(std::env::temp_dir()).unwrap();
        let shared = &collector.0;
        let scrape = |number| shared.encode_since(number, &mut String::new()).unwrap();
        // Three callers came before any scrape began.
        let waiting = [shared.next(), shared.next(), shared.next()];
        waiting.into_iter().for_each(scrape);
        assert_eq!(shared.begun.load(SeqCst), 1);
        // One who came later must see what was counted in between.
        scrape(shared.next());
        assert_eq!(shared.begun.load(SeqCst), 2);
    }
}
