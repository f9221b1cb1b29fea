//! The checks of a round.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use bench::Random;
use common::multiprocess::{MultiProcessCollector, Store};
use e2e::Temporary;

use crate::{
    damage::{self, Damage},
    peer::{Python, files, identifier},
    script::{Script, Step},
    writer,
};

/// Python and our store run the same script, each in its own directory.
pub(crate) fn the_same_files(script: &Script, root: &Temporary, python: &mut Python) -> Result<()> {
    let [theirs, ours] = [root.directory("python")?, root.directory("ours")?];
    for worker in 0..script.workers {
        let steps: Vec<&Step> = script
            .steps
            .iter()
            .filter(|step| step.worker == worker)
            .collect();
        python.write(&theirs, &identifier(worker), script, &steps)?;
    }
    // Keep all workers until the end: live gauges of exited processes are not shown.
    let stores = stores(&ours, script.workers)?;
    // Same order of workers here: the order of their times determines the most recent value.
    for (worker, store) in stores.iter().enumerate() {
        for step in script.steps.iter().filter(|step| step.worker == worker) {
            writer::write(store, &script.metrics[step.metric], step)?;
        }
    }
    let expected = by_python(python, &theirs)?;
    same(&by_us(&theirs)?, &expected).context("we read what Python wrote")?;
    same(&by_python(python, &ours)?, &expected).context("Python reads what we wrote")?;
    same(&by_us(&ours)?, &expected).context("we read what we wrote")?;
    for path in files(&theirs)? {
        let name = path.file_name().context("a file has a name")?;
        same_bytes(&path, &ours.join(name))?;
    }
    Ok(())
}

/// Python's workers and ours alternate in one directory.
pub(crate) fn one_directory(
    script: &Script,
    root: &Temporary,
    python: &mut Python,
) -> Result<PathBuf> {
    let mixed = root.directory("mixed")?;
    let stores = stores(&mixed, script.workers)?;
    for (number, step) in script.steps.iter().enumerate() {
        if step.worker % 2 == 0 {
            writer::write(&stores[step.worker], &script.metrics[step.metric], step)?;
        } else {
            let identifier = (4711 + step.worker).to_string();
            python.write(&mixed, &identifier, script, &[step])?;
        }
        if number % 16 == 15 {
            same(&by_us(&mixed)?, &by_python(python, &mixed)?)
                .with_context(|| format!("both in one directory, after step {number}"))?;
        }
    }
    same(&by_us(&mixed)?, &by_python(python, &mixed)?).context("both in one directory")?;
    Ok(mixed)
}

/// One file is damaged, and then one of our workers continues with it.
pub(crate) fn damage(
    random: &mut Random,
    mixed: &Path,
    root: &Temporary,
    python: &mut Python,
) -> Result<()> {
    let directory = root.directory("damaged")?;
    for path in files(mixed)? {
        let name = path.file_name().context("a file has a name")?;
        // Our workers have exited, so we no longer show their live gauges, but Python would.
        let name_text = name.to_string_lossy();
        if !(name_text.starts_with("gauge_live") && name_text.contains("worker-")) {
            fs::copy(&path, directory.join(name))?;
        }
    }
    let files = files(&directory)?;
    let path = random.one_of(&files);
    // Only the damaged file may be missing.
    let damaged = fs::read(path)?;
    fs::remove_file(path)?;
    let others = by_us(&directory)?;
    fs::write(path, damaged)?;
    let what = damage::damage(path, random)?;
    let context = || format!("{what:?} {}", path.display());

    let text = scrape(&directory).with_context(context)?;
    let named = text.contains("multiprocess_bad_files{");
    let got = lines(&text);
    well_formed(&got).with_context(context)?;
    serves_the_others(&got, &others).with_context(context)?;
    if let Some(expected) = python.scrape(&directory)? {
        // A flipped bit can make an invalid name, which Python's reader does not reject.
        if !named && matches!(what, Damage::Truncated | Damage::Zeroed) {
            same(&got, &lines(&expected)).with_context(context)?;
        }
    } else {
        ensure!(
            named,
            "Python fails to read, but our scrape does not name {}",
            path.display()
        );
    }
    go_on(&directory, path, python).with_context(context)
}

/// A worker that takes over a damaged file keeps counting, and leaves a file that both readers accept.
fn go_on(directory: &Path, path: &Path, python: &mut Python) -> Result<()> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("not UTF-8")?;
    let is_first_of_ours = name.ends_with("_worker-0.db");
    if !is_first_of_ours || name.contains("live") {
        return Ok(());
    }
    let store = Store::open(directory)?;
    let after = store.counter(prometheus::Opts::new("after_the_damage", "Counted later"))?;
    after.inc();
    if !name.starts_with("counter_") {
        return Ok(());
    }
    let text = scrape(directory)?;
    ensure!(
        text.contains("after_the_damage_total 1.0\n"),
        "later counts are missing"
    );
    ensure!(
        !text.contains(&format!("file=\"{name}\"")),
        "the file is still reported as bad"
    );
    let theirs = python.scrape(directory)?;
    ensure!(
        theirs.is_some_and(|text| text.contains("after_the_damage_total 1.0\n")),
        "Python cannot read the file that our worker continued"
    );
    Ok(())
}

fn stores(directory: &Path, count: usize) -> Result<Vec<Store>> {
    let open = || Ok(Store::open(directory)?);
    (0..count).map(|_| open()).collect()
}

fn scrape(directory: &Path) -> Result<String> {
    let mut text = String::new();
    MultiProcessCollector::new(directory)?.encode_text(&mut text)?;
    Ok(text)
}

fn by_us(directory: &Path) -> Result<Vec<String>> {
    let text = scrape(directory)?;
    ensure!(!text.contains("multiprocess_bad_files{"), "a bad file");
    Ok(lines(&text))
}

fn by_python(python: &mut Python, directory: &Path) -> Result<Vec<String>> {
    let text = python.scrape(directory)?;
    Ok(lines(&text.context("Python cannot read the directory")?))
}

/// The sorted lines of a scrape, without the metrics that only our store has.
fn lines(text: &str) -> Vec<String> {
    let is_own = |line: &str| {
        let name = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        name.starts_with("multiprocess_")
    };
    let lines = text
        .split('\n')
        .filter(|line| !is_own(line) && !line.is_empty());
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

fn same(got: &[String], expected: &[String]) -> Result<()> {
    let short = |line: Option<&String>| line.map(|line| line.chars().take(300).collect::<String>());
    for index in 0..got.len().max(expected.len()) {
        let (got, expected) = (got.get(index), expected.get(index));
        ensure!(
            got == expected,
            "{:?} instead of {:?}",
            short(got),
            short(expected)
        );
    }
    Ok(())
}

fn well_formed(lines: &[String]) -> Result<()> {
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
        ensure!(matches!(value, Some(Ok(_))), "{line:?} has no value");
    }
    let distinct: BTreeSet<_> = lines
        .iter()
        .map(|line| line.rsplit_once(' ').map(|parts| parts.0))
        .collect();
    let comments = lines.iter().filter(|line| line.starts_with('#')).count();
    ensure!(
        comments + distinct.len() >= lines.len(),
        "a sample appears twice"
    );
    Ok(())
}

/// Checks that each series of the other files is present, with any value.
fn serves_the_others(got: &[String], others: &[String]) -> Result<()> {
    let name = |line: &String| line.rsplit_once(' ').map(|parts| parts.0.to_owned());
    let samples = |lines: &[String]| -> BTreeSet<String> {
        let samples = lines.iter().filter(|line| !line.starts_with('#'));
        samples.filter_map(name).collect()
    };
    let (got, others) = (samples(got), samples(others));
    let missing = others.difference(&got).next();
    ensure!(
        missing.is_none(),
        "{missing:?} is in a good file, but missing in the scrape"
    );
    Ok(())
}

/// Checks that files have the same entries in the same order, except for the store's own counter and timestamps.
fn same_bytes(theirs: &Path, ours: &Path) -> Result<()> {
    let [theirs_read, ours_read] = [entries(theirs)?, entries(ours)?];
    let is_own = |entry: &Vec<u8>| entry.windows(12).any(|bytes| bytes == b"[\"multiproce");
    let ours_read: Vec<_> = ours_read
        .into_iter()
        .filter(|entry| !is_own(entry))
        .collect();
    ensure!(
        theirs_read == ours_read,
        "{} and {} differ",
        theirs.display(),
        ours.display()
    );
    Ok(())
}

/// The raw entries of a file, without timestamps.
fn entries(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let number = |at: usize| -> Result<usize> {
        let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
        let number = field.map(|field| i32::from_ne_bytes(*field));
        Ok(usize::try_from(number.context("it ends early")?)?)
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Our start times are where Python has a time that it never reads.
    let is_timed = !name.starts_with("gauge_") || name.contains("mostrecent");
    let (used, mut at, mut entries) = (number(0)?, 8, Vec::new());
    while at < used {
        let end = at + (4 + number(at)?) / 8 * 8 + 8 + 16;
        let mut entry = bytes.get(at..end).context("it ends early")?.to_vec();
        if is_timed {
            let time = entry.len() - 8;
            entry[time..].fill(0);
        }
        entries.push(entry);
        at = end;
    }
    Ok(entries)
}
