//! Where each key was seen first, so that it is parsed once.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::source::Source;

/// The keys of one kind.
#[derive(Default)]
pub(crate) struct Keys {
    seen: Vec<FirstSeen>,
    /// Finds as many of them as it has; the others are added when a key has to be looked up.
    index: HashTable<u32>,
    hasher: RandomState,
}

/// An entry whose key was seen for the first time.
pub(crate) struct FirstSeen {
    /// The index of its file.
    pub(crate) source: u32,
    /// Where it begins in the file.
    pub(crate) start: u32,
    pub(crate) series: u32,
}

impl Keys {
    pub(crate) fn add(&mut self, seen: FirstSeen) {
        self.seen.push(seen);
    }

    /// The series of a key that another file has too.
    pub(crate) fn find(&mut self, sources: &[Source], key: &[u8]) -> Option<u32> {
        let Keys {
            seen,
            index,
            hasher,
        } = self;
        let bytes = |number: &u32| {
            let seen = &seen[*number as usize];
            sources[seen.source as usize].key_at(seen.start as usize)
        };
        let hash = |number: &u32| hasher.hash_one(bytes(number));
        for number in index.len() as u32..seen.len() as u32 {
            index.insert_unique(hash(&number), number, hash);
        }
        let same = |number: &u32| bytes(number) == key;
        let found = index.find(hasher.hash_one(key), same)?;
        Some(seen[*found as usize].series)
    }
}
