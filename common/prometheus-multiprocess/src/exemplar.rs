//! An exemplar: the request that an update belongs to, and which entry it is of.

use std::fmt::Write as _;

use crate::{atomic::AtomicU64, format::Kind, number};

/// The ids of a span, by which a trace is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanIds {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
}

/// An update that stands for others, with the request that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// The span of the request.
    pub span: SpanIds,
    /// The amount that was added to the counter, or the value that was observed.
    pub value: f64,
    /// When that was, in seconds of Unix time.
    pub time: f64,
}

impl SpanIds {
    /// Whether neither id is all zeros, which W3C Trace Context does not allow.
    fn are_valid(&self) -> bool {
        self.trace_id != [0; 16] && self.span_id != [0; 8]
    }
}

impl Exemplar {
    /// How it is stored: the entry, three words for the span, the value, the time in milliseconds, and
    /// a spare.
    #[inline]
    pub(crate) fn words(entry: Entry, span: SpanIds, value: f64, milliseconds: u64) -> [u64; 7] {
        let trace = u128::from_be_bytes(span.trace_id);
        [
            entry.0,
            (trace >> 64) as u64,
            trace as u64,
            u64::from_be_bytes(span.span_id),
            value.to_bits(),
            milliseconds,
            0,
        ]
    }

    /// The opposite of [`Exemplar::words`]; `None` if they are none, whoever wrote them.
    pub(crate) fn of_words(words: [u64; 7]) -> Option<(Entry, Exemplar)> {
        let [entry, high, low, span, value, milliseconds, _] = words;
        let trace = u128::from(high) << 64 | u128::from(low);
        let exemplar = Exemplar {
            span: SpanIds {
                trace_id: trace.to_be_bytes(),
                span_id: span.to_be_bytes(),
            },
            value: f64::from_bits(value),
            time: milliseconds as f64 / 1e3,
        };
        let is_sound = exemplar.span.are_valid() && exemplar.value.is_finite();
        is_sound.then_some((Entry(entry), exemplar))
    }

    /// Appends it as it stands behind a sample in [OpenMetrics]. Its labels have 63 characters, of the
    /// 128 that are allowed.
    ///
    /// [OpenMetrics]: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars
    pub(crate) fn push(&self, out: &mut String) {
        let trace = u128::from_be_bytes(self.span.trace_id);
        let span = u64::from_be_bytes(self.span.span_id);
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} "
        );
        number::push(out, self.value);
        out.push(' ');
        number::push(out, self.time);
    }
}

/// An exemplar of an entry behind a sequence lock; see [`put`](crate::cell::put). All zeros is none.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ExemplarSlot {
    pub(crate) lock: AtomicU64,
    pub(crate) words: [AtomicU64; 7],
}

/// Which entry of a process an exemplar is of: its kind, where its value is in the file, and 32 bits
/// of a hash of its key, so that one of another file that once had the name is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Entry(u64);

impl Entry {
    /// Gauges and summaries have no exemplars, so all of their entries are one, and no real one.
    pub(crate) fn new(kind: Kind, offset: usize, key: &str) -> Entry {
        let kind: u64 = match kind {
            Kind::Counter => 1,
            Kind::Histogram => 2,
            Kind::Gauge(_) | Kind::Summary => return Entry::default(),
        };
        // Below 2^28, because a file is smaller than 2 GiB and a value is aligned.
        let place = offset as u64 / 8;
        Entry(kind << 60 | place << 32 | u64::from(hash(key.as_bytes())))
    }

    pub(crate) fn is_none(self) -> bool {
        self == Entry::default()
    }

    pub(crate) fn kind(self) -> Option<Kind> {
        match self.0 >> 60 {
            1 => Some(Kind::Counter),
            2 => Some(Kind::Histogram),
            _ => None,
        }
    }

    /// Where its value is in the file.
    pub(crate) fn offset(self) -> usize {
        (self.0 >> 32 & 0x0fff_ffff) as usize * 8
    }

    pub(crate) fn has_key(self, key: &[u8]) -> bool {
        self.0 as u32 == hash(key)
    }
}

/// FNV-1a in 64 bits, folded. Programs of different builds share a directory, so it must stay.
fn hash(key: &[u8]) -> u32 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEMPLAR: Exemplar = Exemplar {
        span: SpanIds {
            trace_id: *b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
            span_id: [0xab; 8],
        },
        value: 0.25,
        time: 1_764_251_234.5,
    };

    fn words(entry: Entry) -> [u64; 7] {
        Exemplar::words(entry, EXEMPLAR.span, EXEMPLAR.value, 1_764_251_234_500)
    }

    #[test]
    fn an_exemplar_is_read_as_it_was_written() {
        let entry = Entry::new(Kind::Histogram, 0x7fff_fff8, "key");
        let (read, exemplar) = Exemplar::of_words(words(entry)).unwrap();
        assert_eq!((read, exemplar), (entry, EXEMPLAR));
        assert_eq!(read.kind(), Some(Kind::Histogram));
        assert_eq!(read.offset(), 0x7fff_fff8);
        assert!(read.has_key(b"key") && !read.has_key(b"kez"));
        assert!(Entry::new(Kind::Summary, 8, "key").is_none());
    }

    #[test]
    fn words_that_are_no_exemplar_are_refused() {
        let words = words(Entry::new(Kind::Counter, 64, "key"));
        for (index, word) in [(3, 0), (4, f64::NAN.to_bits())] {
            let mut damaged = words;
            damaged[index] = word;
            assert_eq!(Exemplar::of_words(damaged), None, "{index}");
        }
        assert_eq!(Exemplar::of_words([0; 7]), None);
    }

    #[test]
    fn an_exemplar_is_printed_as_openmetrics_says() {
        let mut text = String::new();
        EXEMPLAR.push(&mut text);
        let expected = concat!(
            " # {trace_id=\"0102030405060708090a0b0c0d0e0f10\",span_id=\"abababababababab\"} 0.25 ",
            "1.7642512345e+09"
        );
        assert_eq!(text, expected);
    }
}
