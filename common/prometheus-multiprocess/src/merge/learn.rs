//! Finds out to which series the entries of files belong.
//!
//! In most services each process has the same entries in the same places. So a file is compared with
//! the one before it, which takes less time than parsing its keys. If there is much to read, a
//! second thread compares files while the first one parses.

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::Merge;
use crate::{
    families::SUPERSEDED,
    format,
    learned::{Entry, Learned, REJECTED},
    read::READ_ALONE,
    source::Source,
};

impl Merge {
    /// Learns the entries that were added to the files. Returns whether all of them count.
    pub(crate) fn learn(&mut self, sources: &mut [Source]) -> bool {
        let unread: usize = sources.iter().map(Source::unread).sum();
        if unread == 0 {
            return !self.families.has_newer();
        }
        self.starts.clear();
        let mut learned: Vec<Learned> = sources
            .iter_mut()
            .map(|source| mem::take(&mut source.learned))
            .collect();
        let starts: Vec<usize> = learned.iter().map(|known| known.end).collect();
        let files = &*sources;
        let compared: Vec<OnceLock<usize>> = files.iter().map(|_| OnceLock::new()).collect();
        let same_until =
            |index: usize| *compared[index].get_or_init(|| compare(files, index, starts[index]));
        let next = AtomicUsize::new(0);
        let compare_all = || {
            let take = || Some(next.fetch_add(1, Relaxed)).filter(|&index| index < files.len());
            while let Some(index) = take() {
                same_until(index);
            }
        };
        let mut good = true;
        thread::scope(|scope| {
            if unread > READ_ALONE {
                let builder = thread::Builder::new().name("scrape".to_owned());
                // Without it this thread compares alone.
                let _ = builder.spawn_scoped(scope, compare_all);
            }
            for index in 0..files.len() {
                let (before, rest) = learned.split_at_mut(index);
                let example = before.last().filter(|_| example(files, index).is_some());
                let same_until = || {
                    compare_all();
                    same_until(index)
                };
                good &= self.learn_file(files, index, &mut rest[0], example, same_until);
            }
        });
        for (source, learned) in sources.iter_mut().zip(learned) {
            source.learned = learned;
        }
        good && !self.families.has_newer()
    }

    /// Learns the entries that were added to a file. What was learned of the file before it is an
    /// `example` up to the byte `same_until`.
    fn learn_file(
        &mut self,
        files: &[Source],
        index: usize,
        learned: &mut Learned,
        example: Option<&Learned>,
        same_until: impl FnOnce() -> usize,
    ) -> bool {
        let file = &files[index];
        if file.unread() == 0 {
            return true;
        }
        let same_until = example.map_or(0, |_| same_until());
        if let Some(example) = example
            && learned.is_empty()
            && example.end == file.used()
            && same_until == file.used()
            && example.entries.iter().all(|entry| entry.series != REJECTED)
        {
            learned.clone_from(example);
            return true;
        }
        let mut good = true;
        let mut entries = Arc::unwrap_or_clone(mem::take(&mut learned.entries));
        while let Some(layout) = format::layout(|at| file.length_at(at), learned.end, file.used()) {
            let (start, value) = (learned.end, layout.value);
            let known = example
                .filter(|_| value <= same_until)
                .and_then(|example| example.at(entries.len(), start, value))
                .filter(|entry| entry.series != REJECTED);
            let series = match known {
                Some(entry) => Ok(entry.series),
                None => self.resolve(files, index, example.is_none(), &layout),
            };
            let series = series.unwrap_or_else(|reason| {
                if reason != SUPERSEDED {
                    learned.unusable.get_or_insert(reason);
                    good = false;
                }
                REJECTED
            });
            entries.push(Entry {
                value: value as u32,
                series,
            });
            learned.end = value + 16;
        }
        learned.entries = match example {
            Some(example) if *example.entries == entries => Arc::clone(&example.entries),
            _ => Arc::new(entries),
        };
        if example.is_some() {
            files[index - 1].release();
        }
        good
    }
}

/// The file before another one of the same kind, unless each entry has to be looked at by itself.
fn example(files: &[Source], index: usize) -> Option<&Source> {
    let before = &files[index.checked_sub(1)?];
    let (file, example) = (&files[index].file, &before.file);
    let is_example = example.kind == file.kind
        && example.holder.is_some() == file.holder.is_some()
        && !example.is_alone()
        && !file.is_alone();
    is_example.then_some(before)
}

/// Up to which byte a file has the same entries as its example, from the byte `start` on.
fn compare(files: &[Source], index: usize, start: usize) -> usize {
    let Some(example) = example(files, index) else {
        return start;
    };
    let end = files[index].same_until(example, start);
    example.release();
    end
}
