//! A scrape: the merged values of all processes that share a directory.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Write},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use prometheus::Error;

use crate::{
    error::DirectoryError,
    files::Files,
    format::Kind,
    identity,
    list::{self, BadFile, Listing},
    lock,
    merge::{Merge, Newest},
    number, process,
    process::ProcessMetrics,
    source::{self, REMOVED, Source},
    text::{self, Template},
};

/// The content type of what [`MultiProcessCollector::encode_text`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const BAD_FILES: &str = "multiprocess_bad_files";
const BAD_FILES_HELP: &str = "Metric files that could not be read in full, by reason";
/// How often a scrape starts over for a newer definition.
const MAX_ATTEMPTS: usize = 8;
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
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MultiProcessCollector(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    /// The files of this process, if it has a store.
    own: Option<Arc<Files>>,
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
    /// Fails if the path is something else than a directory. A directory that is missing may come.
    pub fn new(directory: impl AsRef<Path>) -> Result<MultiProcessCollector, Error> {
        MultiProcessCollector::with_own(directory.as_ref(), None)
    }

    /// A collector that also shows what this process could not write.
    pub(crate) fn with_own(
        path: &Path,
        own: Option<Arc<Files>>,
    ) -> Result<MultiProcessCollector, Error> {
        if path.exists() && !path.is_dir() {
            let path = path.to_owned();
            let refused = DirectoryError::NotADirectory { path };
            return Err(Error::Msg(refused.to_string()));
        }
        Ok(MultiProcessCollector(Arc::new(Shared {
            directory: path.to_owned(),
            own,
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
    /// Never, so far. A bad file is not an error; it is listed in `multiprocess_bad_files`. So is
    /// the directory, as `.`, if it cannot be read.
    pub fn encode_text(&self, out: &mut String) -> Result<(), Error> {
        self.0.encode_since(self.0.next(), out);
        Ok(())
    }
}

impl Shared {
    /// The number of the first scrape that sees everything which has been counted up to now.
    fn next(&self) -> u64 {
        self.begun.load(SeqCst) + 1
    }

    /// Appends the text of the scrape `number` or a later one, which is made unless there is one.
    fn encode_since(&self, number: u64, out: &mut String) {
        let mut scrape = lock(&self.scrape);
        if scrape.number < number {
            scrape.number = self.begun.fetch_add(1, SeqCst) + 1;
            scrape.run(&self.directory, self.own.as_deref());
        }
        out.push_str(&scrape.text);
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

/// Files as they would be, by their names.
type Images = HashMap<String, Vec<u8>>;

impl Scrape {
    fn new() -> Scrape {
        Scrape {
            number: 0,
            text: String::new(),
            sources: Vec::new(),
            merge: Merge::new(Newest::default()),
            template: Template::default(),
            logged: HashSet::new(),
        }
    }

    fn run(&mut self, directory: &Path, own: Option<&Files>) {
        let mut listing = scan(directory, &self.sources);
        let mut images = unwritten(own, &mut listing);
        // What a new entry means can depend on the order in which the files were read,
        // where they contradict each other. A fresh start reads the newest first.
        let is_known = self.sources.iter().map(|source| &source.file);
        if !(is_known.eq(&listing.files) && self.refresh(directory, &mut images) && self.learn()) {
            images = unwritten(own, &mut listing);
            self.start_over(directory, &listing, &mut images);
        }
        self.merge.add_up(&self.sources);
        for source in &self.sources {
            let bad = source.bad.or(source.unusable);
            if let Some(reason) = bad.filter(|&reason| reason != REMOVED) {
                listing.add_bad(&source.file.name, reason);
            }
        }
        self.text.clear();
        self.template.render(&self.merge, &mut self.text);
        self.push_processes(directory, &listing);
        self.push_bad_files(listing.bad);
    }

    /// Forgets everything. This is rare: a file came or went, or was replaced.
    fn start_over(&mut self, directory: &Path, listing: &Listing, images: &mut Images) {
        let mut newest = Newest::default();
        // Once more for each definition that turns out to be newer; a directory cannot have many.
        for _ in 0..MAX_ATTEMPTS {
            self.sources = listing.files.iter().cloned().map(Source::new).collect();
            self.merge = Merge::new(newest);
            self.template = Template::default();
            self.refresh(directory, &mut images.clone());
            self.learn();
            match self.merge.take_newest() {
                Some(found) => newest = found,
                None => break,
            }
        }
    }

    /// Reads all files; `false` if what was learned of one is no longer true.
    fn refresh(&mut self, directory: &Path, images: &mut Images) -> bool {
        let mut same = true;
        for source in &mut self.sources {
            same &= source.refresh(directory, images.remove(&source.file.name));
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

/// Lists the directory. If that fails, the files are those that were there before.
fn scan(directory: &Path, before: &[Source]) -> Listing {
    match list::list(directory) {
        Ok(listing) => listing,
        Err(error) => {
            let mut listing = Listing::default();
            if error.kind() != io::ErrorKind::NotFound {
                listing.files = before.iter().map(|source| source.file.clone()).collect();
            }
            listing.add_bad(".", source::unreadable(error));
            listing
        }
    }
}

/// What this process has counted and could not write, by the names of the files.
fn unwritten(own: Option<&Files>, listing: &mut Listing) -> Images {
    let Some(own) = own else {
        return Images::new();
    };
    let unwritten = own.unwritten();
    if unwritten.is_empty() {
        return Images::new();
    }
    let pid = || std::process::id().to_string();
    let identifier = own.identifier().unwrap_or_else(pid);
    listing.add_unwritten(&identifier, unwritten.iter().map(|(kind, _)| *kind));
    let name = |kind: Kind| list::own_name(&identifier, kind);
    unwritten
        .into_iter()
        .map(|(kind, image)| (name(kind), image))
        .collect()
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
        let scrape = |number| shared.encode_since(number, &mut String::new());
        // Three callers came before any scrape began.
        let waiting = [shared.next(), shared.next(), shared.next()];
        waiting.into_iter().for_each(scrape);
        assert_eq!(shared.begun.load(SeqCst), 1);
        // One who came later must see what was counted in between.
        scrape(shared.next());
        assert_eq!(shared.begun.load(SeqCst), 2);
    }
}
