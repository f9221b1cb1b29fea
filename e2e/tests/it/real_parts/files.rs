//! The files in `deploy/` are valid for their programs.

use std::process::Command;

use anyhow::Result;
use e2e::{
    otelcol::{self, deploy},
    real_part::real_part,
};

const PROMTOOL: &str = "Debian: apt-get install prometheus";
const PYPI: &str = "pip install -r e2e/requirements.txt";

/// Runs a command that has to succeed.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    assert!(output.status.success(), "{command:?}: {words}");
    words
}

#[test]
fn the_collector_accepts_its_configurations() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    for name in ["otel-collector.yaml", "otel-collector-agent.yaml"] {
        succeeds(
            Command::new(&executable)
                .args(["validate", "--config"])
                .arg(deploy(name))
                .env("GATEWAY_ENDPOINT", "http://gateway.example:4318")
                .env("QUEUE_DIRECTORY", std::env::temp_dir()),
        );
    }
    Ok(())
}

#[test]
fn the_rules_pass_their_tests_and_prometheus_accepts_its_configuration() -> Result<()> {
    let Some(promtool) = real_part("promtool", PROMTOOL)? else {
        return Ok(());
    };
    succeeds(
        Command::new(&promtool)
            .args(["check", "config"])
            .arg(deploy("prometheus.yml")),
    );
    let tests = deploy("rules/tests.yml");
    let words = succeeds(Command::new(&promtool).args(["test", "rules"]).arg(tests));
    assert!(words.contains("SUCCESS"), "{words}");
    Ok(())
}

#[test]
fn the_kubernetes_manifests_follow_the_schema() -> Result<()> {
    let Some(validate) = real_part("kubernetes-validate", PYPI)? else {
        return Ok(());
    };
    for name in ["kubernetes/pull.yaml", "kubernetes/push.yaml"] {
        succeeds(Command::new(&validate).args(["--strict"]).arg(deploy(name)));
    }
    Ok(())
}

#[test]
fn a_linter_accepts_the_containerfile() -> Result<()> {
    let Some(hadolint) = real_part("hadolint", PYPI)? else {
        return Ok(());
    };
    succeeds(Command::new(&hadolint).arg(deploy("Containerfile")));
    Ok(())
}
