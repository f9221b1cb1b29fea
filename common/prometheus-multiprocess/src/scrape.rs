//! One scrape: the values, and what the next one needs again.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    io,
    path::Path,
    sync::Mutex,
    thread,
};

use prometheus_exposition::{push_header, push_quoted};

use crate::{
    collected::{self, CollectedFamily},
    copied::Scratch,
    declared::Declared,
    exemplar_index::{self, ExemplarIndex},
    families::Newest,
    files::Files,
    format::Kind,
    learned::Learned,
    list::{self, BadFile, Listing, Writer},
    lock,
    merge::Merge,
    number,
    read::{self, READ_ALONE, REMOVED},
    source::Source,
    text::Template,
};

const BAD_FILES: &str = "multiprocess_bad_files";
const BAD_FILES_HELP: &str = "Metric files that could not be read in full, by reason";
/// How often a scrape starts over for a newer definition.
const MAX_ATTEMPTS: usize = 8;
/// Bytes of files that stay mapped between scrapes. They are memory that the writers' files take
/// anyway, but count for this process too.
const MAPPED: usize = 64 << 20;
/// Bad files that are listed by name; a directory full of strange files must not
/// fill the scrape.
const MAX_BAD_FILES: usize = 100;

/// The last scrape, and what the next one needs again.
pub(crate) struct Scrape {
    pub(crate) number: u64,
    /// What follows the metrics of the files.
    tail: String,
    sources: Vec<Source>,
    writers: Vec<Writer>,
    /// One for each thread that reads.
    scratch: [Scratch; 2],
    merge: Merge,
    template: Template,
    logged: HashSet<BadFile>,
}

/// Files as they would be, by their names.
type Images = HashMap<String, Vec<u8>>;

impl Scrape {
    pub(crate) fn new() -> Scrape {
        Scrape {
            number: 0,
            tail: String::new(),
            sources: Vec::new(),
            writers: Vec::new(),
            scratch: Default::default(),
            merge: Merge::new(Newest::default(), Declared::default()),
            template: Template::default(),
            logged: HashSet::new(),
        }
    }

    /// Whether a name in the text is not plain.
    pub(crate) fn has_utf8(&self) -> bool {
        self.template.has_utf8
    }

    pub(crate) fn run(&mut self, directory: &Path, own: Option<&Files>) {
        let mut listing = self.scan(directory);
        let images = unwritten(own, &mut listing);
        // What a new entry means can depend on the order in which the files were read,
        // where they contradict each other. A fresh start reads the newest first.
        let files = self.sources.iter().map(|source| &source.file);
        let is_known = files.eq(&listing.files) && self.writers == listing.writers;
        if !(is_known && self.refresh(directory, &images) && self.learn()) {
            self.start_over(directory, &listing, &images);
        }
        self.merge.add_up(&self.sources);
        for source in &self.sources {
            if let Some(reason) = source.bad().filter(|&reason| reason != REMOVED) {
                listing.add_bad(&source.file.name, reason);
            }
        }
        self.tail.clear();
        self.push_bad_files(listing.bad);
    }

    /// The exemplars of all series.
    pub(crate) fn exemplars(&self, directory: &Path) -> ExemplarIndex {
        let writers = self.writers.iter().map(|writer| &*writer.identifier);
        exemplar_index::find(directory, writers, &self.sources)
    }

    /// Appends the text, with start times if they are wanted, and with exemplars.
    pub(crate) fn render(&mut self, has_starts: bool, exemplars: &ExemplarIndex, out: &mut String) {
        if has_starts {
            self.merge.find_starts(&self.sources);
        }
        let template = &self.template;
        template.render(&self.merge, has_starts, exemplars, out);
        out.push_str(&self.tail);
    }

    /// All families, with start times and exemplars.
    pub(crate) fn collect(&mut self, directory: &Path) -> Vec<CollectedFamily> {
        self.merge.find_starts(&self.sources);
        collected::collect(&self.merge, &self.exemplars(directory))
    }

    /// Forgets everything. This is rare: a file came or went, or was replaced.
    fn start_over(&mut self, directory: &Path, listing: &Listing, images: &Images) {
        let mut newest = Newest::default();
        let before = std::mem::take(&mut self.sources).into_iter();
        let mut before: HashMap<_, _> = before
            .map(|source| (source.file.name.clone(), source))
            .collect();
        for file in &listing.files {
            let known = before.remove(&file.name);
            let mut source = known.unwrap_or_else(|| Source::new(file.clone()));
            source.file = file.clone();
            self.sources.push(source);
        }
        self.writers.clone_from(&listing.writers);
        let writers = self.writers.iter().map(|writer| &*writer.identifier);
        let declared = Declared::read(directory, writers);
        // Once more for each definition that turns out to be newer; a directory cannot have many.
        for _ in 0..MAX_ATTEMPTS {
            for source in &mut self.sources {
                source.learned = Learned::default();
            }
            self.merge = Merge::new(newest, declared.clone());
            self.template = Template::default();
            self.refresh(directory, images);
            self.learn();
            match self.merge.take_newest() {
                Some(found) => newest = found,
                None => break,
            }
        }
    }

    /// Lists the directory. Where that fails, the files are those that were there before.
    fn scan(&self, directory: &Path) -> Listing {
        let known = || self.sources.iter().map(|known| &known.file);
        match list::list(directory) {
            Ok(mut listing) => {
                listing.keep_unreadable(known());
                listing
            }
            Err(error) => {
                let mut listing = Listing::default();
                if error.kind() != io::ErrorKind::NotFound {
                    listing.files = known().cloned().collect();
                    listing.writers.clone_from(&self.writers);
                }
                listing.add_bad(".", read::unreadable(error));
                listing
            }
        }
    }

    /// Reads all files; `false` if what was learned of one is no longer true.
    fn refresh(&mut self, directory: &Path, images: &Images) -> bool {
        let copied: usize = self.sources.iter().map(Source::copied).sum();
        let rest = Mutex::new(self.sources.iter_mut());
        let read = |scratch: &mut Scratch| {
            let mut same = true;
            loop {
                let Some(source) = lock(&rest).next() else {
                    return same;
                };
                let image = images.get(&source.file.name);
                same &= source.refresh(directory, image, scratch);
            }
        };
        let [own, others] = &mut self.scratch;
        let same = thread::scope(|scope| {
            let builder = thread::Builder::new().name("scrape".to_owned());
            let read_too = || read(others);
            let other = (copied > READ_ALONE).then(|| builder.spawn_scoped(scope, read_too));
            let same = read(own);
            match other {
                // After a panic nothing is known.
                Some(Ok(other)) => same & other.join().unwrap_or(false),
                _ => same,
            }
        });
        let mut mapped = 0;
        for source in &mut self.sources {
            mapped += source.used();
            source.stays = mapped <= MAPPED;
        }
        same
    }

    /// Learns the entries that are new; `false` if one of them is rejected.
    fn learn(&mut self) -> bool {
        let known = self.merge.series();
        let good = self.merge.learn(&mut self.sources);
        if self.merge.series() != known {
            self.template = Template::new(&self.merge);
        }
        good
    }

    fn push_bad_files(&mut self, mut bad: Vec<BadFile>) {
        bad.sort();
        if bad.is_empty() || self.merge.families().has(BAD_FILES) {
            return;
        }
        push_header(&mut self.tail, BAD_FILES, BAD_FILES_HELP, "gauge");
        for file in bad.iter().take(MAX_BAD_FILES) {
            let name: String = file.name.chars().take(100).map(printable).collect();
            if self.logged.len() < MAX_BAD_FILES && self.logged.insert(file.clone()) {
                log::warn!(
                    "metric file {name}: {}, serving the rest (logged once)",
                    file.reason
                );
            }
            let _ = write!(self.tail, "{BAD_FILES}{{file=");
            push_quoted(&mut self.tail, &name);
            let _ = writeln!(self.tail, ",reason=\"{}\"}} 1.0", file.reason);
        }
        if let Some(more) = bad
            .len()
            .checked_sub(MAX_BAD_FILES)
            .filter(|&more| more > 0)
        {
            let _ = write!(
                self.tail,
                "{BAD_FILES}{{file=\"{}\",reason=\"\"}} ",
                crate::OVERFLOW
            );
            number::push(&mut self.tail, more as f64);
            self.tail.push('\n');
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
