//! The metrics that each process declares, in a file of its directory for the readers.
//!
//! A process goes on with the files of an earlier one, in which there may be metrics and buckets
//! that its own program no longer has. What no process declares is not shown.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt,
    path::Path,
};

use foldhash::fast::RandomState;

use crate::home;

/// A line for each metric family: its name, and the bounds of its buckets.
const FILE: &str = "declared";

/// What this process declares.
#[derive(Default)]
pub(crate) struct Declaration {
    /// What the predecessor declared: it stands until this process has had the time to register
    /// its metrics, so that none is missing meanwhile.
    inherited: String,
    text: String,
    /// Whether the file says what it should.
    is_written: bool,
}

impl Declaration {
    /// Adds a metric, and writes the file in `home`.
    pub(crate) fn add(&mut self, home: Option<&Path>, family: &str, bounds: &[f64]) {
        let is_first = self.text.is_empty();
        if let Some(home) = home.filter(|_| is_first) {
            self.inherited = fs::read_to_string(home.join(FILE)).unwrap_or_default();
        }
        let mut line = family.to_owned();
        for bound in bounds {
            // Writing to a String cannot fail.
            let _ = write!(line, " {bound}");
        }
        let inherited = std::mem::take(&mut self.inherited);
        let is_other = |line: &&str| line.split(' ').next() != Some(family);
        let others = inherited.lines().filter(is_other);
        self.inherited = others.flat_map(|line| [line, "\n"]).collect();
        self.text.extend([&*line, "\n"]);
        // A full disk may have no room to write again what is there.
        self.is_written =
            (is_first || self.is_written) && inherited.lines().any(|known| known == line);
        if let Some(home) = home.filter(|_| !self.is_written) {
            self.write(home);
        }
    }

    /// Ends what the predecessor declared, and writes the file again where it is missing or old.
    /// Called a second after the start, and every second from then on.
    pub(crate) fn renew(&mut self, home: &Path) {
        // The first metric is of the store itself.
        let is_ready = self.text.lines().nth(1).is_some();
        if is_ready && !self.inherited.is_empty() && put(home, &self.text).is_ok() {
            self.inherited.clear();
            self.is_written = true;
        }
        if !self.is_written || stamp(home).is_none() {
            self.write(home);
        }
    }

    /// Writes what stands. If that fails, no file says what is declared, and readers show
    /// everything.
    fn write(&mut self, home: &Path) {
        self.is_written = put(home, &[&*self.inherited, &*self.text].concat()).is_ok();
        if !self.is_written {
            let _ = home::remove(home.join(FILE));
        }
    }
}

/// Replaces the file as a whole.
fn put(home: &Path, text: &str) -> io::Result<()> {
    let path = home.join(FILE);
    let unfinished = path.with_extension("new");
    home::create(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(&unfinished, &path)
}

/// When the declaration of a process was written, and its inode; `None` if there is none.
pub(crate) type Stamp = Option<(i128, u64)>;

pub(crate) fn stamp(home: &Path) -> Stamp {
    let found = fs::metadata(home.join(FILE)).ok()?;
    Some((home::modified(&found), found.ino()))
}

/// What all processes declare.
#[derive(Clone, Default)]
pub(crate) struct Declared(Option<HashMap<String, Vec<f64>, RandomState>>);

impl Declared {
    /// Reads the declarations of the processes, the newest one last. If one cannot be read, it may
    /// have declared anything.
    pub(crate) fn read<'a>(
        directory: &Path,
        identifiers: impl Iterator<Item = &'a str>,
    ) -> Declared {
        let read = |identifier| fs::read_to_string(directory.join(identifier).join(FILE));
        let texts = identifiers.map(read).collect::<io::Result<Vec<String>>>();
        let mut families = HashMap::default();
        for line in texts.iter().flatten().flat_map(|text| text.lines()) {
            let mut words = line.split(' ');
            let family = words.next().unwrap_or_default().to_owned();
            families.insert(
                family,
                words.filter_map(|bound| bound.parse().ok()).collect(),
            );
        }
        Declared(texts.is_ok().then_some(families))
    }

    /// Whether a process may have declared this family.
    pub(crate) fn has(&self, family: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|known| known.contains_key(family))
    }

    /// The bucket in which observations up to `bound` are now, by the newest definition.
    pub(crate) fn bucket(&self, family: &str, bound: f64) -> f64 {
        let bounds = self.0.as_ref().and_then(|known| known.get(family));
        let mut bounds = bounds.into_iter().flatten().copied();
        bounds.find(|&new| bound <= new).unwrap_or(bound)
    }
}
