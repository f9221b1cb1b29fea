//! Files that are not what they should be cost their own series at most.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use prometheus::Opts;
use prometheus_exposition::Format;
use prometheus_multiprocess::{MultiProcessCollector, Store};

use crate::support::{Random, Temporary, samples, scrape, value};

/// A file of Python's: one counter with the value 1 for each label value.
fn valid(values: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    for value in values {
        let key = format!(r#"["c", "c_total", {{"v": "{value}"}}, "Help"]"#);
        push_entry(&mut bytes, key.as_bytes(), 1.0);
    }
    let used = bytes.len() as i32;
    bytes[..4].copy_from_slice(&used.to_ne_bytes());
    bytes.resize(65_536, 0);
    bytes
}

fn push_entry(bytes: &mut Vec<u8>, key: &[u8], value: f64) {
    bytes.extend_from_slice(&(key.len() as i32).to_ne_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&b"        "[..8 - (key.len() + 4) % 8]);
    bytes.extend_from_slice(&value.to_ne_bytes());
    bytes.extend_from_slice(&0_f64.to_ne_bytes());
}

fn with_used(mut bytes: Vec<u8>, used: i32) -> Vec<u8> {
    bytes[..4].copy_from_slice(&used.to_ne_bytes());
    bytes
}

fn used(bytes: &[u8]) -> i32 {
    i32::from_ne_bytes(bytes[..4].try_into().unwrap())
}

fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let two = valid(&["1", "2"]);
    let end = used(&two);
    let mut long = two.clone();
    long[8..12].copy_from_slice(&1_000_000_i32.to_ne_bytes());
    let mut negative = two.clone();
    negative[8..12].copy_from_slice(&(-1_i32).to_ne_bytes());
    let mut text = valid(&["1"]);
    let at = used(&text) as usize;
    let mut not_json = text[..at].to_vec();
    push_entry(&mut not_json, b"not json", 5.0);
    push_entry(
        &mut not_json,
        br#"["c", "c_total", {"v": "2"}, "Help"]"#,
        1.0,
    );
    text = with_used(not_json.clone(), not_json.len() as i32);
    vec![
        ("counter_1.db", Vec::new(), "empty"),
        ("counter_2.db", vec![1, 0], "empty"),
        (
            "counter_3.db",
            two[..end as usize - 30].to_vec(),
            "truncated",
        ),
        (
            "counter_4.db",
            with_used(two.clone(), end + 1000),
            "corrupt entry",
        ),
        ("counter_5.db", long, "corrupt entry"),
        ("counter_6.db", negative, "corrupt entry"),
        ("counter_7.db", text, "key is not JSON"),
        ("counter_8.db", with_used(two.clone(), -8), "corrupt header"),
        ("foo_2.db", two.clone(), "unknown name"),
        ("notes.db", b"notes".to_vec(), "unknown name"),
        ("gauge_sometimes_3.db", two.clone(), "unknown name"),
        ("histogram_9.db", two, "type differs from another file's"),
    ]
}

#[test]
fn each_bad_file_is_named_and_the_rest_is_served() {
    for (name, bytes, reason) in bad_files() {
        let directory = Temporary::new();
        let store = Store::open(directory.path()).unwrap();
        store
            .counter_vec(Opts::new("c", "Help"), &["v"])
            .unwrap()
            .with_label_values(&["1"])
            .inc();
        fs::write(directory.join(name), bytes).unwrap();
        let text = scrape(directory.path());
        let bad = format!("multiprocess_bad_files{{file=\"{name}\",reason=\"{reason}\"}}");
        assert_eq!(value(&text, &bad), 1.0, "{name}:\n{text}");
        assert!(value(&text, "c_total{v=\"1\"}") >= 1.0, "{name}:\n{text}");
        assert!(value(&text, "c_total{v=\"1\"}") <= 2.0, "{name}:\n{text}");
    }
}

#[test]
fn entries_around_a_bad_one_count() {
    let directory = Temporary::new();
    let (_, bytes, _) = bad_files().remove(6);
    fs::write(directory.join("counter_7.db"), bytes).unwrap();
    let text = scrape(directory.path());
    assert_eq!(value(&text, "c_total{v=\"1\"}"), 1.0);
    assert_eq!(value(&text, "c_total{v=\"2\"}"), 1.0);
}

#[test]
fn a_file_that_is_just_being_created_is_not_bad() {
    let directory = Temporary::new();
    fs::write(directory.join("counter_1.db"), vec![0; 65_536]).unwrap();
    assert_eq!(scrape(directory.path()), "");
}

#[test]
fn names_and_labels_in_a_file_cannot_forge_lines() {
    let directory = Temporary::new();
    let mut bytes = vec![0; 8];
    let key = r#"["a\nb", "a\nb 1\nforged_total", {"x\"} 9\ny": "v\n\"} 7\nforged_total 5"}, "Help\nforged_total 6"]"#;
    push_entry(&mut bytes, key.as_bytes(), 1.0);
    let end = bytes.len() as i32;
    fs::write(directory.join("counter_1.db"), with_used(bytes, end)).unwrap();
    fs::write(directory.join("evil\n\"name_total 1.db"), "").unwrap();
    let text = scrape(directory.path());
    let forged = text
        .lines()
        .filter(|line| line.starts_with("forged") || line.starts_with("name"))
        .count();
    assert_eq!(forged, 0, "{text}");
    assert_eq!(samples(&text).len(), 2, "{text}");
}

#[test]
fn names_that_become_one_when_they_are_escaped_are_told_apart() {
    let directory = Temporary::new();
    let mut bytes = vec![0; 8];
    for (key, value) in [
        (
            r#"["lab", "lab_total", {"a.b": "1", "a_b": "2"}, "h"]"#,
            3.0,
        ),
        (r#"["lab", "lab_total", {"a_b": "2"}, "h"]"#, 4.0),
        (r#"["http.requests", "http.requests_total", {}, "h"]"#, 1.0),
        (r#"["http_requests", "http_requests_total", {}, "h"]"#, 2.0),
        (r#"["fine", "fine_total", {}, "h"]"#, 5.0),
        (
            r#"["sglang:tokens", "sglang:tokens_total", {"x": "1"}, "h"]"#,
            6.0,
        ),
    ] {
        push_entry(&mut bytes, key.as_bytes(), value);
    }
    let end = bytes.len() as i32;
    fs::write(directory.join("counter_1.db"), with_used(bytes, end)).unwrap();
    let mut bytes = vec![0; 8];
    push_entry(&mut bytes, br#"["fine_total", "fine_total", {}, "h"]"#, 7.0);
    let end = bytes.len() as i32;
    fs::write(directory.join("gauge_sum_1.db"), with_used(bytes, end)).unwrap();
    let text = scrape(directory.path());
    assert_eq!(value(&text, "lab_total{a_b=\"2\"}"), 4.0, "{text}");
    assert_eq!(
        value(&text, "lab_total{U__a_2e_b=\"1\",a_b=\"2\"}"),
        3.0,
        "{text}"
    );
    assert_eq!(value(&text, "http_requests_total"), 2.0, "{text}");
    assert_eq!(value(&text, "U__http_2e_requests_total"), 1.0, "{text}");
    assert_eq!(value(&text, "fine_total"), 5.0, "{text}");
    assert_eq!(text.matches("TYPE fine_total").count(), 1, "{text}");
    assert_eq!(text.matches(" http_requests_total ").count(), 2, "{text}");
    assert_eq!(value(&text, "sglang:tokens_total{x=\"1\"}"), 6.0, "{text}");
    let bad = "multiprocess_bad_files{file=\"gauge_sum_1.db\",reason=\"name of another metric\"}";
    assert_eq!(value(&text, bad), 1.0, "{text}");
    assert_eq!(samples(&text).len(), 7, "{text}");
    let mut text = String::new();
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    collector.encode_for(Format::default(), &mut text).unwrap();
    assert_eq!(value(&text, "{\"http.requests_total\"}"), 1.0, "{text}");
    assert_eq!(
        value(&text, "lab_total{\"a.b\"=\"1\",a_b=\"2\"}"),
        3.0,
        "{text}"
    );
}

#[test]
fn what_is_no_file_is_named_and_does_not_stop_the_scrape() {
    let directory = Temporary::new();
    fs::create_dir(directory.join("counter_1.db")).unwrap();
    nix::unistd::mkfifo(
        &directory.join("counter_2.db"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    symlink("nowhere", directory.join("counter_3.db")).unwrap();
    let not_utf8 = std::ffi::OsStr::from_bytes(b"counter_\xff.db");
    fs::write(directory.path().join(not_utf8), "").unwrap();
    let text = scrape(directory.path());
    for file in ["counter_1.db", "counter_2.db"] {
        let bad = format!("multiprocess_bad_files{{file=\"{file}\",reason=\"not a file\"}}");
        assert_eq!(value(&text, &bad), 1.0, "{text}");
    }
    let bad = "multiprocess_bad_files{file=\"counter_\u{fffd}.db\",reason=\"unknown name\"}";
    assert_eq!(value(&text, bad), 1.0, "{text}");
}

#[test]
fn a_thousand_bad_files_do_not_fill_the_scrape() {
    let directory = Temporary::new();
    for number in 0..1000 {
        fs::write(directory.join(&format!("counter_{number:04}.db")), "").unwrap();
    }
    let text = scrape(directory.path());
    assert_eq!(samples(&text).len(), 101);
    assert_eq!(
        value(
            &text,
            "multiprocess_bad_files{file=\"_overflow\",reason=\"\"}"
        ),
        900.0
    );
}

#[test]
fn a_corrupt_file_of_our_own_keeps_the_values_before_the_damage() {
    let directory = Temporary::new();
    let fill = |amount: f64| {
        let store = Store::open(directory.path()).unwrap();
        let counters = store.counter_vec(Opts::new("c", "Help"), &["v"]).unwrap();
        for value in ["1", "2", "3"] {
            counters.with_label_values(&[value]).inc_by(amount);
        }
    };
    fill(1.0);
    let path = directory.join("worker-0/counter.db");
    let mut bytes = fs::read(&path).unwrap();
    let third = bytes
        .windows(8)
        .position(|window| window == br#""v": "3""#)
        .unwrap();
    let length = third / 8 * 8;
    let start = (0..length)
        .rev()
        .find(|&at| bytes[at..].starts_with(b"[\"c\", "))
        .unwrap()
        - 4;
    bytes[start..start + 4].copy_from_slice(&i32::MAX.to_ne_bytes());
    fs::write(&path, &bytes).unwrap();
    let text = scrape(directory.path());
    assert_eq!(value(&text, "c_total{v=\"2\"}"), 1.0);
    assert!(text.contains("reason=\"corrupt entry\""), "{text}");

    fill(10.0);
    let text = scrape(directory.path());
    assert_eq!(value(&text, "c_total{v=\"2\"}"), 11.0);
    assert_eq!(value(&text, "c_total{v=\"3\"}"), 10.0);
    assert!(!text.contains("multiprocess_bad_files"), "{text}");
    assert_eq!(
        fs::read(directory.join("worker-0/counter.corrupt")).unwrap(),
        bytes
    );
}

#[test]
fn an_entry_whose_key_is_damaged_goes_and_those_around_it_count_on() {
    let directory = Temporary::new();
    let fill = || {
        let store = Store::open(directory.path()).unwrap();
        let counters = store.counter_vec(Opts::new("c", "Help"), &["v"]).unwrap();
        for value in ["first", "second", "third"] {
            counters.with_label_values(&[value]).inc();
        }
    };
    fill();
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let collect = || {
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        text
    };
    let path = directory.join("worker-0/counter.db");
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes
        .windows(6)
        .position(|window| window == b"second")
        .unwrap();
    // What a crash of the machine leaves of a block that was not written.
    bytes[second..second + 6].fill(0);
    fs::write(&path, &bytes).unwrap();
    assert!(collect().contains("reason=\"key is not JSON\""));

    fill();
    for text in [collect(), scrape(directory.path())] {
        assert_eq!(value(&text, "c_total{v=\"first\"}"), 2.0, "{text}");
        assert_eq!(value(&text, "c_total{v=\"second\"}"), 1.0, "{text}");
        assert_eq!(value(&text, "c_total{v=\"third\"}"), 2.0, "{text}");
        assert!(!text.contains("multiprocess_bad_files"), "{text}");
    }
    assert_eq!(
        fs::read(directory.join("worker-0/counter.corrupt")).unwrap(),
        bytes
    );
}

#[test]
fn a_file_that_changes_under_a_collector_is_read_anew() {
    let directory = Temporary::new();
    let path = directory.join("counter_1.db");
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let collect = || {
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        text
    };
    fs::write(&path, valid(&["1", "2"])).unwrap();
    assert_eq!(samples(&collect()).len(), 2);
    fs::write(&path, valid(&["3", "2"])).unwrap();
    assert_eq!(value(&collect(), "c_total{v=\"3\"}"), 1.0);
    assert_eq!(samples(&collect()).len(), 2);
    fs::write(&path, valid(&["3"])).unwrap();
    assert_eq!(samples(&collect()).len(), 1);
    fs::write(&path, &valid(&["3"])[..20]).unwrap();
    assert!(collect().contains("truncated"));
    fs::remove_file(&path).unwrap();
    assert_eq!(collect(), "");
}

#[test]
fn no_damage_makes_a_scrape_fail() {
    let mut random = Random::new(1);
    let directory = Temporary::new();
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let seeds: Vec<Vec<u8>> = bad_files().into_iter().map(|(_, bytes, _)| bytes).collect();
    let names = [
        "counter_1.db",
        "gauge_all_1.db",
        "gauge_mostrecent_1.db",
        "histogram_1.db",
        "summary_1.db",
    ];
    for round in 0..3000 {
        let mut bytes = random.one_of(&seeds).clone();
        bytes.truncate(400);
        for _ in 0..random.below(8) {
            damage(&mut bytes, &mut random);
        }
        fs::write(directory.join(random.one_of::<&str>(&names)), &bytes).unwrap();
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        check(&text, directory.path(), round);
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => bytes[at] = random.next() as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes.truncate(at),
        3 => {
            bytes.remove(at);
        }
        _ => {
            let at = at & !3;
            let number = *random.one_of(&[0, 1, 8, -1, i32::MAX, i32::MIN, 64, 4096]);
            if let Some(field) = bytes.get_mut(at..at + 4) {
                field.copy_from_slice(&number.to_ne_bytes());
            }
        }
    }
}

/// The text is well formed, and what a fresh collector says.
fn check(text: &str, directory: &Path, round: usize) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
        assert!(matches!(value, Some(Ok(_))), "round {round}: {line}");
    }
    if round.is_multiple_of(10) {
        assert_eq!(text, scrape(directory), "round {round}");
    }
}
