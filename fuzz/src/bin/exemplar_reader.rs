//! Scrapes a directory whose file of exemplars is arbitrary bytes, in OpenMetrics. The scrape must
//! have the samples that it has without exemplars, and each exemplar must be well formed.
#![no_main]

use std::{fs, path::PathBuf, sync::OnceLock};

use common::{
    exposition::{Format, Syntax},
    multiprocess::{Directory, MultiProcessCollector, SpanIds, Store},
};
use libfuzzer_sys::fuzz_target;
use prometheus::{HistogramOpts, Opts};

const MARK: &str = " # {trace_id=\"";

/// The directory of a process that has two counters and a histogram, and what a scrape has without
/// exemplars.
struct Prepared {
    file: PathBuf,
    collector: MultiProcessCollector,
    samples: String,
    /// An input has the size of one slot or a few. What it does not have is as a writer left it.
    whole: Vec<u8>,
    _directory: Directory,
    _store: Store,
}

static PREPARED: OnceLock<Prepared> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let prepared = PREPARED.get_or_init(prepare);
    let mut content = prepared.whole.clone();
    // The first bytes say where in the slots the others go, and whether the file ends there.
    let Some(([at, ends], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let at = usize::from(*at);
    let end = (at + bytes.len()).min(content.len());
    content[at..end].copy_from_slice(&bytes[..end - at]);
    if *ends == 0 {
        content.truncate(end);
    }
    // Nobody cuts a file that may be mapped.
    let unfinished = prepared.file.with_extension("put");
    fs::write(&unfinished, content).expect("the file can be written");
    fs::rename(&unfinished, &prepared.file).expect("it was just written");
    let text = scrape(&prepared.collector);
    assert_eq!(without_exemplars(&text), prepared.samples);
    prepared.collector.collect();
});

fn prepare() -> Prepared {
    let directory = Directory::prepare(None).expect("there is a place for temporary files");
    let store = Store::open(directory.path()).expect("it was just prepared");
    let span = SpanIds {
        trace_id: [1; 16],
        span_id: [2; 8],
    };
    for name in ["first", "second"] {
        let counter = store.counter(Opts::new(name, "A counter"));
        let counter = counter.expect("the name is free");
        counter.inc_by_with_exemplar(1.0, span);
    }
    let opts = HistogramOpts::new("time", "A histogram").buckets(vec![1.0]);
    let histogram = store.histogram(opts).expect("the name is free");
    histogram.observe_with_exemplar(0.5, span);
    let file = directory.path().join("worker-0/exemplars");
    let whole = fs::read(&file).expect("there are exemplars");
    let collector = MultiProcessCollector::new(directory.path()).expect("it is a directory");
    let text = scrape(&collector);
    assert_eq!(text.matches(MARK).count(), 3, "{text}");
    Prepared {
        samples: without_exemplars(&text),
        file,
        collector,
        whole,
        _directory: directory,
        _store: store,
    }
}

fn scrape(collector: &MultiProcessCollector) -> String {
    let syntax = Syntax::OpenMetrics;
    let escaping = None;
    let mut text = String::new();
    let encoded = collector.encode_for(Format { syntax, escaping }, &mut text);
    encoded.expect("a bad file is no error");
    text
}

/// The text without its exemplars, each of which is checked.
fn without_exemplars(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let (sample, exemplar) = line.split_once(MARK).unwrap_or((line, ""));
        out.extend([sample, "\n"]);
        if exemplar.is_empty() {
            continue;
        }
        let name = sample.split(['{', ' ']).next().unwrap_or_default();
        assert!(
            name.ends_with("_total") || name.ends_with("_bucket"),
            "{line}"
        );
        let (ids, numbers) = exemplar.split_once("\"} ").expect("labels end");
        let (trace, span) = ids.split_once("\",span_id=\"").expect("two labels");
        for (id, length) in [(trace, 32), (span, 16)] {
            assert!(
                id.len() == length && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{line}"
            );
        }
        let (value, time) = numbers.split_once(' ').expect("a value and a time");
        for number in [value, time] {
            assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
    out
}
