//! The directory and its life.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use prometheus::Opts;
use prometheus_multiprocess::{Directory, DirectoryError, GaugeMode, GaugeOpts, Store};

use crate::support::{Peer, Temporary, files, names, scrape, value};

#[test]
fn a_missing_directory_is_created_private_and_left_when_the_caller_named_it() {
    let parent = Temporary::new();
    let path = parent.join("a/b");
    let directory = Directory::prepare(Some(&path)).unwrap();
    assert_eq!(directory.path(), path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    for file in files(&path) {
        let mode = fs::metadata(path.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "files are private");
    }
    drop(directory);
    assert!(path.is_dir());
}

#[test]
fn a_directory_of_our_own_choice_is_removed_at_the_end() {
    let directory = Directory::prepare(None).unwrap();
    let second = Directory::prepare(None).unwrap();
    let path = directory.path().to_owned();
    assert_ne!(path, second.path());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let store = Store::open(&path).unwrap();
    store.counter(Opts::new("counter", "Help")).unwrap().inc();
    let inode = fs::metadata(&path).unwrap().ino();
    drop((store, directory));
    // Another test may use the path next.
    assert!(fs::metadata(&path).map_or(true, |next| next.ino() != inode));
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_with_what_to_do() {
    let parent = Temporary::new();
    let file = parent.join("file");
    fs::write(&file, "").unwrap();
    let refused = Directory::prepare(Some(&file)).map(drop).unwrap_err();
    assert!(
        matches!(refused, DirectoryError::NotADirectory { .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains(file.to_str().unwrap()),
        "{refused}"
    );

    let first = Directory::prepare(Some(&parent.join("shared"))).unwrap();
    let refused = Directory::prepare(Some(first.path()))
        .map(drop)
        .unwrap_err();
    assert!(matches!(refused, DirectoryError::InUse { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains(&std::process::id().to_string()),
        "{refused}"
    );

    let refused = Store::open(&file).map(drop).unwrap_err();
    assert!(refused.to_string().contains("not a directory"), "{refused}");

    // Root may write everywhere, and alone can give a link away.
    let link = parent.join("link");
    symlink(first.path(), &link).unwrap();
    if nix::unistd::geteuid().is_root() {
        let nobody = nix::unistd::Uid::from_raw(65_534);
        std::os::unix::fs::lchown(&link, Some(nobody.as_raw()), None).unwrap();
        let refused = Directory::prepare(Some(&link)).map(drop).unwrap_err();
        assert!(
            matches!(refused, DirectoryError::ForeignLink { uid: 65_534, .. }),
            "{refused}"
        );
    } else {
        let locked = parent.join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
        let refused = Directory::prepare(Some(&locked)).map(drop).unwrap_err();
        assert!(refused.to_string().contains("write"), "{refused}");
    }
}

#[test]
fn a_new_run_clears_what_ours_left_and_nothing_else() {
    let parent = Temporary::new();
    let path = parent.path();
    for foreign in ["counter_4711.db", "notes.txt", "gauge_livesum_worker-x.db"] {
        fs::write(path.join(foreign), "foreign").unwrap();
    }
    let mut survivor = Peer::worker(path);
    survivor.tell("counter counter 5");
    let store = Store::open(path).unwrap();
    assert_eq!(store.identifier().as_deref(), Some("worker-1"));
    store
        .counter(Opts::new("counter", "A metric"))
        .unwrap()
        .inc();
    store
        .gauge(GaugeOpts::new("gauge", "Help").mode(GaugeMode::LiveSum))
        .unwrap()
        .inc();
    drop(store);

    let directory = Directory::prepare(Some(path)).unwrap();
    let found: Vec<String> = names(path)
        .into_iter()
        .filter(|name| name.ends_with(".db"))
        .collect();
    let expected = [
        "counter_4711.db",
        "counter_master.db",
        "gauge_livesum_worker-x.db",
    ];
    assert_eq!(found, expected);
    assert!(path.join("notes.txt").exists());
    drop((directory, survivor));
}

#[test]
fn a_worker_that_outlives_a_killed_master_does_not_count_in_the_next_run() {
    let parent = Temporary::new();
    let path = parent.path();
    let mut survivor = Peer::worker(path);
    survivor.tell("counter counter 100");
    let directory = Directory::prepare(Some(path)).unwrap();
    let mut worker = Peer::worker(path);
    worker.tell("counter counter 1");
    survivor.tell("counter counter 100");
    survivor.tell("series by_value late");
    let check = || {
        directory.sweep().unwrap();
        let text = scrape(path);
        assert_eq!(value(&text, "counter_total"), 1.0, "{text}");
        assert!(!text.contains("by_value"), "{text}");
        assert!(!path.join("counter_worker-0.db").exists());
    };
    check();
    survivor.kill();
    check();
    assert!(!path.join("worker-0").exists(), "nothing of it is left");
    let mut successor = Peer::worker(path);
    assert_eq!(successor.ask("identifier"), "worker-0");
    successor.tell("counter counter 1");
    assert_eq!(value(&scrape(path), "counter_total"), 2.0);
}

#[test]
fn the_master_has_metrics_of_its_own() {
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    assert_eq!(directory.store().identifier().as_deref(), Some("master"));
    directory
        .store()
        .gauge(GaugeOpts::new("workers", "Help"))
        .unwrap()
        .set(2.0);
    assert_eq!(
        value(&scrape(parent.path()), "workers{pid=\"master\"}"),
        2.0
    );
}

#[test]
fn links_that_somebody_removed_or_replaced_are_renewed_by_the_sweep() {
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    let store = Store::open(parent.path()).unwrap();
    let counter = store.counter(Opts::new("counter", "Help")).unwrap();
    let link = parent.join("counter_worker-0.db");
    let is_linked = || {
        let inode = |path| fs::metadata(path).unwrap().ino();
        inode(parent.join("worker-0/counter.db")) == inode(link.clone())
    };
    assert!(is_linked());

    fs::remove_file(&link).unwrap();
    counter.inc();
    assert_eq!(value(&scrape(parent.path()), "counter_total"), 1.0);
    assert!(!link.exists(), "a scrape changes nothing");
    directory.sweep().unwrap();
    assert!(is_linked());

    // A backup that is put back.
    fs::copy(&link, parent.join("copy")).unwrap();
    fs::rename(parent.join("copy"), &link).unwrap();
    counter.inc();
    assert_eq!(value(&scrape(parent.path()), "counter_total"), 2.0);
    directory.sweep().unwrap();
    assert!(is_linked());

    drop((store, counter));
    fs::remove_dir_all(parent.join("worker-0")).unwrap();
    directory.sweep().unwrap();
    assert!(!link.exists(), "it leads to nothing that counts");
}

#[test]
fn an_ended_process_loses_its_live_gauges_and_nothing_else() {
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    let mut worker = Peer::worker(parent.path());
    for mode in GaugeMode::ALL {
        worker.tell(&format!("gauge gauge_{0} {0} 3", mode.as_str()));
    }
    worker.tell("counter counter 7");
    let shown = |text: &str, mode: GaugeMode| text.contains(&format!("\ngauge_{}", mode.as_str()));
    let before = scrape(parent.path());
    assert!(
        GaugeMode::ALL.into_iter().all(|mode| shown(&before, mode)),
        "{before}"
    );

    worker.kill();
    let after = scrape(parent.path());
    for mode in GaugeMode::ALL {
        assert_eq!(
            shown(&after, mode),
            !mode.is_live(),
            "{}:\n{after}",
            mode.as_str()
        );
    }
    assert!(
        parent.join("gauge_livesum_worker-0.db").exists(),
        "no hook has run"
    );
    directory.sweep().unwrap();
    let live: Vec<String> = files(parent.path())
        .into_iter()
        .filter(|name| name.contains("_live"))
        .collect();
    assert_eq!(live, Vec::<String>::new());
    let swept = scrape(parent.path());
    assert_eq!(swept, after);
    assert_eq!(value(&swept, "counter_total"), 7.0);
}
