//! A scrape: the merged values of all processes that share a directory.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use prometheus::Error;
use prometheus_exposition::{Format, Syntax};

use crate::{
    collected::CollectedFamily, error::DirectoryError, exemplar_index::ExemplarIndex, files::Files,
    home, identity, lock, scrape::Scrape,
};

/// The content type of the text that [`MultiProcessCollector::encode_text`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Leaves out the lines `_created`, which become series where Prometheus does not take them for start
/// times. Python's client has this variable too.
const DISABLE_CREATED: &str = "PROMETHEUS_DISABLE_CREATED_SERIES";

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
    /// Whether OpenMetrics has start times.
    has_created: bool,
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
            has_created: !env::var_os(DISABLE_CREATED).is_some_and(is_true),
            begun: AtomicU64::new(0),
            scrape: Mutex::new(Scrape::new()),
        })))
    }

    /// Appends the metrics in the text format 0.0.4, whose content type is [`CONTENT_TYPE`]. Each
    /// character that a name may not have there becomes an underscore. A name that is another one's
    /// then is told apart, see [`prometheus_exposition`].
    ///
    /// The order is stable: families by name, series by labels, buckets by bound, then bad
    /// files. Concurrent calls may share one scrape. Every update that happened
    /// before the call is in the text.
    ///
    /// # Errors
    ///
    /// Never, so far. A bad file is not an error; it is listed in `multiprocess_bad_files`. So is
    /// the directory, as `.`, if it cannot be read.
    pub fn encode_text(&self, out: &mut String) -> Result<(), Error> {
        let mut scrape = self.0.scrape_since(self.0.next());
        if !scrape.has_utf8() {
            scrape.render(false, &ExemplarIndex::default(), out);
            return Ok(());
        }
        let mut text = String::new();
        scrape.render(false, &ExemplarIndex::default(), &mut text);
        out.push_str(&Format::default().encode(text));
        Ok(())
    }

    /// Appends the metrics as [`prometheus_exposition::Request::answer`] takes them for a request of
    /// this format. Names that are not plain, as Python's client writes them, stand in quotes.
    ///
    /// For OpenMetrics the text has exemplars, and a line `_created` for each counter, histogram and summary: the
    /// time at which the first process made it, in seconds of Unix time. A series to which a Python
    /// process adds has none, because Python does not write that time. The environment variable
    /// `PROMETHEUS_DISABLE_CREATED_SERIES` turns these lines off if it is `true`, `t` or `1` when the
    /// collector is created.
    ///
    /// # Errors
    ///
    /// As [`MultiProcessCollector::encode_text`].
    pub fn encode_for(&self, format: Format, out: &mut String) -> Result<(), Error> {
        let openmetrics = format.syntax == Syntax::OpenMetrics;
        let mut scrape = self.0.scrape_since(self.0.next());
        let exemplars = match openmetrics {
            true => scrape.exemplars(&self.0.directory),
            false => ExemplarIndex::default(),
        };
        scrape.render(openmetrics && self.0.has_created, &exemplars, out);
        Ok(())
    }

    /// The metrics as values, for example for another exporter. Families are sorted by name. Metrics
    /// that are in no file, such as `multiprocess_bad_files`, are left out.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
    /// # let store = directory.store();
    /// use prometheus_multiprocess::CollectedValue;
    ///
    /// store.counter(prometheus::Opts::new("requests", "Number of requests"))?.inc();
    /// let families = store.collector()?.collect();
    /// let requests = families.iter().find(|family| family.name == "requests").unwrap();
    /// assert_eq!(requests.series[0].value, CollectedValue::Number(1.0));
    /// assert!(requests.series[0].start.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn collect(&self) -> Vec<CollectedFamily> {
        self.0
            .scrape_since(self.0.next())
            .collect(&self.0.directory)
    }

    /// The processes of this crate that count in the directory, by identifier, with their process
    /// ids. Gauges of each process have the identifier as the label `pid`, as in Python.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let directory = &self.0.directory;
        let mut identifiers = home::identifiers(directory).unwrap_or_default();
        identifiers.retain(|identifier| identity::is_held(directory, identifier));
        let process = |identifier: String| {
            let pid = identity::owner(directory, &identifier)?;
            Some((identifier, pid))
        };
        identifiers.into_iter().filter_map(process).collect()
    }
}

impl Shared {
    /// The number of the first scrape that sees everything which has been counted up to now.
    fn next(&self) -> u64 {
        self.begun.load(SeqCst) + 1
    }

    /// The scrape `number` or a later one, which is made unless there is one.
    fn scrape_since(&self, number: u64) -> MutexGuard<'_, Scrape> {
        let mut scrape = lock(&self.scrape);
        if scrape.number < number {
            scrape.number = self.begun.fetch_add(1, SeqCst) + 1;
            scrape.run(&self.directory, self.own.as_deref());
        }
        scrape
    }
}

/// What Python's client takes for true.
fn is_true(value: OsString) -> bool {
    ["true", "t", "1"]
        .iter()
        .any(|&text| value.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_that_wait_for_a_scrape_share_the_next_one() {
        let collector = MultiProcessCollector::new(std::env::temp_dir()).unwrap();
        let shared = &collector.0;
        let scrape = |number| drop(shared.scrape_since(number));
        // Three callers came before any scrape began.
        let waiting = [shared.next(), shared.next(), shared.next()];
        waiting.into_iter().for_each(scrape);
        assert_eq!(shared.begun.load(SeqCst), 1);
        // One who came later must see what was counted in between.
        scrape(shared.next());
        assert_eq!(shared.begun.load(SeqCst), 2);
    }
}
