//! Where each key was seen first, so that it is parsed once.

use std::{hash::BuildHasher, ops::Range};

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
    pub(crate) source: usize,
    pub(crate) key: Range<usize>,
    /// Its series, or why it has none.
    pub(crate) series: Result<u32, &'static str>,
}

impl Keys {
    pub(crate) fn add(&mut self, seen: FirstSeen) {
        self.seen.push(seen);
    }

    /// What was found out about a key that another file has too.
    pub(crate) fn find(
        &mut self,
        sources: &[Source],
        key: &[u8],
    ) -> Option<Result<u32, &'static str>> {
        let Keys {
            seen,
            index,
            hasher,
        } = self;
        let bytes = |number: &u32| {
            let seen = &seen[*number as usize];
            sources[seen.source].bytes(seen.key.start, seen.key.end)
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
