//! Tests of Taskfile.yml with the real `task`: output, started programs, and that no process remains.

use std::{env, fs, path::PathBuf};

use anyhow::{Result, ensure};
use e2e::{Program, SOON, Signal, Temporary, cargo, http, program::Ended, real_part::real_part};

use crate::workspace;

/// Exit code of `task` for a failed precondition.
const REFUSED: i32 = 201;

/// `task`, with a `cargo` that starts the programs that the tests have built.
struct Task {
    executable: PathBuf,
    home: Temporary,
}

impl Task {
    /// Returns `None` if `task` is not installed.
    fn new() -> Result<Option<Self>> {
        let how_to_get = "pip install -r e2e/requirements.txt";
        let Some(executable) = real_part("task", how_to_get)? else {
            return Ok(None);
        };
        let home = Temporary::new("task")?;
        let scenarios = workspace::scenarios()?;
        let programs: Vec<_> = scenarios
            .iter()
            .map(|name| (name.as_str(), "", &[][..]))
            .collect();
        cargo::stand_in(home.path(), &programs)?;
        Ok(Some(Self { executable, home }))
    }

    fn with(&self, args: &[&str]) -> Program {
        let path = env::var("PATH").unwrap_or_default();
        let root = workspace::root().display();
        let task = Program::found(&self.executable)
            .option("--dir", root)
            .env("PATH", format!("{}:{path}", self.home.path().display()))
            .env("PORT", "0");
        args.iter().fold(task, |task, arg| task.arg(arg))
    }

    fn run(&self, args: &[&str]) -> Result<Ended> {
        self.with(args).run(SOON)
    }
}

#[test]
fn the_list_has_every_scenario_with_its_description() -> Result<()> {
    let Some(task) = Task::new()? else {
        return Ok(());
    };
    let listed = task.run(&["list"])?;
    assert!(listed.status.success(), "{}", listed.stderr);
    let expected: Vec<_> = workspace::members()?
        .iter()
        .filter(|member| member.is_scenario())
        .map(|member| format!("{:<30} {}", member.name, member.description))
        .collect();
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
fn without_arguments_task_lists_every_task_with_its_description() -> Result<()> {
    let Some(task) = Task::new()? else {
        return Ok(());
    };
    let listed = task.run(&[])?;
    assert!(listed.status.success(), "{}", listed.stderr);
    let mut expected: Vec<_> = "example list collector load bench test lint check clean"
        .split(' ')
        .map(str::to_owned)
        .collect();
    let by_name = |name: &String| format!("example:{name}");
    expected.extend(workspace::scenarios()?.iter().map(by_name));
    for name in expected {
        let described = listed.stdout.lines().find_map(|line| {
            let rest = line.strip_prefix(&format!("* {name}:"))?;
            Some(rest.trim()).filter(|rest| !rest.is_empty())
        });
        assert!(described.is_some(), "no {name} in {}", listed.stdout);
    }
    Ok(())
}

#[test]
fn a_missing_or_unknown_name_is_answered_with_the_list_of_examples() -> Result<()> {
    let Some(task) = Task::new()? else {
        return Ok(());
    };
    for (args, words) in [
        (&["example"][..], "name an example to run"),
        (&["example", "--"], "name an example to run"),
        (&["example", "--", "no-such"], "unknown example 'no-such'"),
        (&["example", "--", "common"], "unknown example 'common'"),
    ] {
        let refused = task.run(args)?;
        assert_eq!(refused.status.code(), Some(REFUSED), "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        for name in workspace::scenarios()? {
            let command = format!("task example -- {name}");
            assert!(refused.stderr.contains(&command), "{}", refused.stderr);
        }
    }
    Ok(())
}

#[test]
fn a_name_is_never_executed_by_the_shell() -> Result<()> {
    let Some(task) = Task::new()? else {
        return Ok(());
    };
    let directory = Temporary::new("injected")?;
    let file = directory.path().join("file").display().to_string();
    for name in [
        "logs; touch FILE",
        "$(touch FILE)",
        "`touch FILE`",
        "logs' ; touch FILE ; '",
        "\" ; touch FILE ; \"",
        "logs\ntouch FILE",
        "| touch FILE",
        "--manifest-path=FILE",
        "{{shell \"touch FILE\"}}",
    ] {
        let name = name.replace("FILE", &file);
        for args in [
            &["example", "--", &name][..],
            &["--force", "example", "--", &name],
            &[&format!("example:{name}")],
        ] {
            let refused = task.run(args)?;
            // With an equals sign it is a variable for task, which then lists the tasks.
            let is_refused = !refused.status.success() || args[0].contains('=');
            assert!(is_refused, "{args:?}: {}", refused.stdout);
        }
    }
    let made: Vec<_> = fs::read_dir(directory.path())?.collect();
    assert!(made.is_empty(), "{made:?}");
    Ok(())
}

#[test]
fn each_example_starts_answers_and_stops_with_nothing_left() -> Result<()> {
    let Some(task) = Task::new()? else {
        return Ok(());
    };
    for name in workspace::scenarios()? {
        for args in [
            &["example", "--", &name, "--", "--graceful-timeout", "9"][..],
            &[&format!("example:{name}"), "--", "--graceful-timeout", "9"],
        ] {
            let mut running = task.with(args).start()?;
            assert_eq!(running.ready()?.program, name);
            assert_eq!(http::get(running.addr()?, "/")?.status, 200);
            // As Ctrl-C does: task passes on no signal that it alone gets.
            running.signal_group(Signal::SIGINT)?;
            running.wait_exit(SOON)?;
            running.wait_gone(SOON)?;
        }
    }
    Ok(())
}

#[test]
fn no_task_starts_anything_in_the_background() -> Result<()> {
    let taskfile = fs::read_to_string(workspace::root().join("Taskfile.yml"))?;
    // task's own shell cannot end what it has started so.
    for line in taskfile.lines() {
        let is_background = line.trim_end().ends_with('&') || line.contains(" & ");
        ensure!(!is_background, "{line}");
    }
    Ok(())
}
