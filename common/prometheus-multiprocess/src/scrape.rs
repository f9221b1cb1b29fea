//! One scrape: the text, and what the next one needs again.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    io,
    path::Path,
};

use prometheus_exposition::push_quoted;

use crate::{
    families::Newest,
    files::Files,
    format::Kind,
    identity,
    list::{self, BadFile, Listing},
    merge::Merge,
    number, process,
    process::ProcessMetrics,
    source::{self, REMOVED, Source},
    text::{self, Template},
};

const BAD_FILES: &str = "multiprocess_bad_files";
const BAD_FILES_HELP: &str = "Metric files that could not be read in full, by reason";
/// How often a scrape starts over for a newer definition.
const MAX_ATTEMPTS: usize = 8;
/// Bad files that are listed by name; a directory full of strange files must not
/// fill the scrape.
const MAX_BAD_FILES: usize = 100;

/// The last scrape, and what the next one needs again.
pub(crate) struct Scrape {
    pub(crate) number: u64,
    pub(crate) text: String,
    sources: Vec<Source>,
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
            text: String::new(),
            sources: Vec::new(),
            merge: Merge::new(Newest::default()),
            template: Template::default(),
            logged: HashSet::new(),
        }
    }

    /// Whether a name in the text is not plain.
    pub(crate) fn has_utf8(&self) -> bool {
        self.template.has_utf8
    }

    pub(crate) fn run(&mut self, directory: &Path, own: Option<&Files>) {
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
        let mut before = std::mem::take(&mut self.sources);
        for file in &listing.files {
            let is_it = |source: &Source| source.file.name == file.name;
            let mut source = match before.iter().position(is_it) {
                Some(index) => before.swap_remove(index),
                None => Source::new(file.clone()),
            };
            source.file = file.clone();
            self.sources.push(source);
        }
        // Once more for each definition that turns out to be newer; a directory cannot have many.
        for _ in 0..MAX_ATTEMPTS {
            self.sources.iter_mut().for_each(Source::forget);
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
                    .families()
                    .has(name.strip_suffix("_total").unwrap_or(name))
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
        if bad.is_empty() || self.merge.families().has(BAD_FILES) {
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
            let _ = write!(self.text, "{BAD_FILES}{{file=");
            push_quoted(&mut self.text, &name);
            let _ = writeln!(self.text, ",reason=\"{}\"}} 1.0", file.reason);
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
