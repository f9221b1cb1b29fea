//! The file format of Python's `prometheus_client`, to the byte.
//!
//! A file is a header of eight bytes (`used`, an `i32` in native byte order that
//! says how many bytes are in use, and padding) and entries that are only ever
//! appended: the length of the key (`i32`), the key, one to eight spaces up to an
//! eight-byte boundary, the value and its Unix time in seconds (both `f64`). See
//! `prometheus_client/mmap_dict.py`, version 0.26.0.
//!
//! The time of a gauge with a `mostrecent` mode is that of its last change. Python leaves every other
//! time 0 and never reads it: `_read_metrics` in `prometheus_client/multiprocess.py` passes on the
//! times of gauges only. So here counters, histograms and summaries have their start time there.

use std::ops::Range;

/// Bytes of the header; also `used` of a file without entries.
pub(crate) const HEADER: usize = 8;
/// Bytes of a new file. It doubles until what is appended fits.
pub(crate) const INITIAL_SIZE: usize = 64 * 1024;
/// `used` is an `i32`, so no file can be larger.
pub(crate) const MAX_SIZE: usize = i32::MAX as usize;

/// The identifier of a master.
pub(crate) const MASTER: &str = "master";

/// Whether this crate gives `identifier` to processes.
pub(crate) fn is_identifier(identifier: &str) -> bool {
    let number = identifier.strip_prefix("worker-");
    let is_plain = |number: &str| number.parse::<u32>().is_ok_and(|n| n.to_string() == number);
    identifier == MASTER || number.is_some_and(is_plain)
}

/// What kind of metric a file holds: one file for each, per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Counter,
    Gauge(GaugeMode),
    Histogram,
    Summary,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge(_) => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }

    /// Whether files of this kind count only as long as their process lives.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Kind::Gauge(mode) if mode.is_live())
    }

    /// Whether each process has samples of its own, with the label `pid`.
    pub(crate) fn is_per_process(self) -> bool {
        matches!(self, Kind::Gauge(GaugeMode::All | GaugeMode::LiveAll))
    }

    /// Whether the time of a change decides between processes.
    pub(crate) fn is_most_recent(self) -> bool {
        matches!(
            self,
            Kind::Gauge(GaugeMode::MostRecent | GaugeMode::LiveMostRecent)
        )
    }

    /// Whether the time of an entry is its start time: all but gauges are sums since then.
    pub(crate) fn has_start(self) -> bool {
        !matches!(self, Kind::Gauge(_))
    }

    /// The name of the file in the directory of a process, such as `gauge_livesum.db`.
    pub(crate) fn file_name(self) -> String {
        match self {
            Kind::Gauge(mode) => format!("gauge_{}.db", mode.as_str()),
            _ => format!("{}.db", self.type_name()),
        }
    }

    /// The opposite of [`Kind::file_name`].
    pub(crate) fn of_file_name(name: &str) -> Option<Kind> {
        match name.strip_suffix(".db")? {
            "counter" => Some(Kind::Counter),
            "histogram" => Some(Kind::Histogram),
            "summary" => Some(Kind::Summary),
            gauge => GaugeMode::from_name(gauge.strip_prefix("gauge_")?).map(Kind::Gauge),
        }
    }

    /// The name by which Python finds the file of process `identifier`, such as
    /// `gauge_livesum_worker-0.db`. Python's own files have such names, too.
    pub(crate) fn link_name(self, identifier: &str) -> String {
        self.file_name()
            .replace(".db", &format!("_{identifier}.db"))
    }

    /// The opposite of [`Kind::link_name`]: the kind and the identifier.
    pub(crate) fn of_link_name(name: &str) -> Option<(Kind, &str)> {
        let (kind, rest) = name.strip_suffix(".db")?.split_once('_')?;
        match kind {
            "counter" => Some((Kind::Counter, rest)),
            "histogram" => Some((Kind::Histogram, rest)),
            "summary" => Some((Kind::Summary, rest)),
            "gauge" => {
                let (mode, identifier) = rest.split_once('_')?;
                Some((Kind::Gauge(GaugeMode::from_name(mode)?), identifier))
            }
            _ => None,
        }
    }
}

/// How a scrape merges the values of a gauge in several processes.
///
/// The modes are those of Python's `multiprocess_mode`. A *live* mode leaves out
/// processes that have ended; the others keep their last value.
///
/// ```
/// use prometheus_multiprocess::GaugeMode;
///
/// let mode = GaugeMode::from_name("livesum").unwrap();
/// assert_eq!(mode, GaugeMode::LiveSum);
/// assert_eq!(mode.as_str(), "livesum");
/// assert!(mode.is_live());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GaugeMode {
    /// One sample for each process, with its identifier in the label `pid`.
    #[default]
    All,
    /// Like [`All`](GaugeMode::All), for live processes.
    LiveAll,
    /// The smallest value.
    Min,
    /// The smallest value of live processes.
    LiveMin,
    /// The largest value.
    Max,
    /// The largest value of live processes.
    LiveMax,
    /// The sum.
    Sum,
    /// The sum over live processes, for example of requests in progress.
    LiveSum,
    /// The value that was set last. Such a gauge ignores `inc`, `dec`, `add` and `sub`.
    MostRecent,
    /// Like [`MostRecent`](GaugeMode::MostRecent), for live processes.
    LiveMostRecent,
}

impl GaugeMode {
    /// Every mode.
    pub const ALL: [GaugeMode; 10] = [
        GaugeMode::All,
        GaugeMode::LiveAll,
        GaugeMode::Min,
        GaugeMode::LiveMin,
        GaugeMode::Max,
        GaugeMode::LiveMax,
        GaugeMode::Sum,
        GaugeMode::LiveSum,
        GaugeMode::MostRecent,
        GaugeMode::LiveMostRecent,
    ];

    /// The name of the mode in Python.
    pub fn as_str(self) -> &'static str {
        match self {
            GaugeMode::All => "all",
            GaugeMode::LiveAll => "liveall",
            GaugeMode::Min => "min",
            GaugeMode::LiveMin => "livemin",
            GaugeMode::Max => "max",
            GaugeMode::LiveMax => "livemax",
            GaugeMode::Sum => "sum",
            GaugeMode::LiveSum => "livesum",
            GaugeMode::MostRecent => "mostrecent",
            GaugeMode::LiveMostRecent => "livemostrecent",
        }
    }

    /// The mode with this name in Python.
    pub fn from_name(name: &str) -> Option<GaugeMode> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Whether ended processes are left out.
    pub fn is_live(self) -> bool {
        self.as_str().starts_with("live")
    }
}

/// The spaces behind a key of `length` bytes: one to eight.
fn padding(length: usize) -> usize {
    8 - (length + 4) % 8
}

/// Bytes that an entry with a key of `length` bytes takes.
pub(crate) fn entry_size(length: usize) -> usize {
    4 + length + padding(length) + 16
}

/// An entry with the value 0.
pub(crate) fn entry(key: &str, time: f64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entry_size(key.len()));
    bytes.extend_from_slice(&(key.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes.resize(4 + key.len() + padding(key.len()), b' ');
    bytes.resize(entry_size(key.len()) - 8, 0);
    bytes.extend_from_slice(&time.to_ne_bytes());
    bytes
}

/// Where an entry has its key and its value; the time follows the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryLayout {
    pub(crate) key: Range<usize>,
    pub(crate) value: usize,
}

/// Finds the entry at `position` of a file of which `used` bytes are in use; the next
/// one begins at `layout.value + 16`. `None` if the bytes there are no entry.
pub(crate) fn layout(
    read_length: impl FnOnce(usize) -> i32,
    position: usize,
    used: usize,
) -> Option<EntryLayout> {
    if position + 4 > used {
        return None;
    }
    // A key has brackets and quotes at least, so an empty one is a hole in the file.
    let length = usize::try_from(read_length(position))
        .ok()
        .filter(|&length| length > 0 && length <= used)?;
    let key = position + 4..position + 4 + length;
    let value = key.end + padding(length);
    (value + 16 <= used).then_some(EntryLayout { key, value })
}
