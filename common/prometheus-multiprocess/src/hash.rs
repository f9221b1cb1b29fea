//! A fast hash of short strings, for lookups on the path of a request and of a scrape.
//!
//! Words are folded by a 64 × 64 → 128 bit multiplication, as in wyhash. The seed is
//! random, so that label values which a client chooses cannot be made to collide, and a
//! lookup always compares the strings too.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
};

/// 2^64 divided by the golden ratio, made odd: an even spread of bits.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// The state of one hash. It is also its own factory: a copy continues from the seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fold(u64);

impl Fold {
    pub(crate) fn seeded() -> Fold {
        Fold(RandomState::new().hash_one(0))
    }

    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(GOLDEN_RATIO);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let tail = rest
            .iter()
            .fold(0, |tail, &byte| tail << 8 | u64::from(byte));
        // The length tells "ab" + "c" from "a" + "bc".
        self.word(tail ^ (bytes.len() as u64) << 56);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Fold {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        *self
    }
}

/// Finds things by bytes that are kept elsewhere, so that none are kept twice.
#[derive(Debug)]
pub(crate) struct Index {
    numbers: HashMap<u64, u32, Fold>,
}

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            numbers: HashMap::with_hasher(Fold::seeded()),
        }
    }

    /// The number that was given with these bytes; `same` tells whether a number was.
    pub(crate) fn find(&self, bytes: &[u8], same: impl Fn(u32) -> bool) -> Option<u32> {
        let mut slot = self.hash(bytes);
        loop {
            let &number = self.numbers.get(&slot)?;
            if same(number) {
                return Some(number);
            }
            slot = slot.wrapping_add(1);
        }
    }

    pub(crate) fn insert(&mut self, bytes: &[u8], number: u32) {
        let mut slot = self.hash(bytes);
        // Other bytes may have the same hash; then the next slot is as good.
        while self.numbers.contains_key(&slot) {
            slot = slot.wrapping_add(1);
        }
        self.numbers.insert(slot, number);
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hash = *self.numbers.hasher();
        hash.write(bytes);
        hash.finish()
    }
}
