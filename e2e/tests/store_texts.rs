//! Property tests: the metric store reads back any text unchanged.
//!
//! The tests are here so that a copy of the store does not depend on a property testing library.

use std::collections::BTreeMap;

use common::multiprocess::{Directory, Store};
use prometheus::Opts;
use proptest::prelude::*;

// It writes other keys, too.
#[expect(dead_code)]
#[path = "../../common/prometheus-multiprocess/src/key.rs"]
mod key;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_key_is_read_as_it_was_written_also_by_another_parser(
        family in ".*", sample in ".*", help in ".*", labels in proptest::collection::btree_map(".*", ".*", 0..5),
    ) {
        let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let text = key::write(&family, &sample, pairs.clone(), &help);
        prop_assert!(text.is_ascii());
        let key = key::Key::parse(text.as_bytes()).unwrap();
        prop_assert_eq!((&*key.family, &*key.sample, &*key.help), (&*family, &*sample, &*help));
        let read: BTreeMap<String, String> =
            key.labels.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        prop_assert_eq!(&read, &labels);
        let other: (String, String, BTreeMap<String, String>, String) = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(other, (family, sample, labels, help));
    }

    #[test]
    fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        key::Key::parse(&bytes);
    }

    #[test]
    fn what_another_writer_wrote_is_read(values in proptest::collection::vec("[\"\\\\/a\u{1f600}\n]*", 4)) {
        // With spaces elsewhere, characters that are not escaped, and labels that are not
        // sorted.
        let text = serde_json::json!([values[0], values[1], {"b": values[2], "a": values[3]}, ""]);
        let text = serde_json::to_string_pretty(&text).unwrap();
        let key = key::Key::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&*key.family, &*values[0]);
        prop_assert_eq!(&*key.labels[0].1, &*values[3]);
        prop_assert_eq!(&*key.labels[1].1, &*values[2]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_label_value_and_help_is_read_back_as_it_was_written(
        help in ".+",
        values in proptest::collection::btree_map((".*", ".*"), 0.0..1e9_f64, 0..20),
    ) {
        let directory = Directory::prepare(None).unwrap();
        let store = Store::open(directory.path()).unwrap();
        let counters = store.counter_vec(Opts::new("counters", help), &["b", "a"]).unwrap();
        for ((b, a), amount) in &values {
            counters.with_label_values(&[b, a]).inc_by(*amount);
        }
        let mut text = String::new();
        store.collector().unwrap().encode_text(&mut text).unwrap();
        let samples = text.split('\n').filter_map(|line| line.strip_prefix("counters_total{a="));
        let mut read = BTreeMap::new();
        for sample in samples {
            let (a, rest) = quoted(sample);
            let (b, rest) = quoted(rest.strip_prefix(",b=").unwrap());
            let amount = rest.strip_prefix("} ").unwrap().parse::<f64>().unwrap();
            read.insert((b, a), amount);
        }
        prop_assert_eq!(read, values);
    }
}

/// Reads a label value of the text format in its quotes, and gives the rest.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.strip_prefix('"').unwrap().chars();
    loop {
        match characters.next().unwrap() {
            '"' => return (value, characters.as_str()),
            '\\' => match characters.next().unwrap() {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            plain => value.push(plain),
        }
    }
}
