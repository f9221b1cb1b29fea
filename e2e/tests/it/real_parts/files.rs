//! The files in `deploy/` are valid for their programs.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use e2e::{
    otelcol::{self, deploy},
    prometheus,
    real_part::real_part,
};

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
    let configurations: [&[&str]; 3] = [
        &["otel-collector.yaml"],
        &["otel-collector-agent.yaml"],
        &["otel-collector.yaml", "otel-collector-backends.yaml"],
    ];
    for names in configurations {
        let mut validate = Command::new(&executable);
        validate
            .arg("validate")
            .env("GATEWAY_ENDPOINT", "http://gateway.example:4318")
            .env("QUEUE_DIRECTORY", std::env::temp_dir())
            .env("TRACES_ENDPOINT", "http://traces.example:4318")
            .env("LOGS_ENDPOINT", "http://logs.example:3100/otlp");
        for name in names {
            validate.arg("--config").arg(deploy(name));
        }
        succeeds(&mut validate);
    }
    Ok(())
}

#[test]
fn the_collector_has_every_metric_that_alerts_and_panels_ask_of_it() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    // Many appear only after a fault, so they are looked up by their names in the program.
    let program = fs::read(executable)?;
    let program = String::from_utf8_lossy(&program);
    let mut asked = BTreeSet::new();
    for name in [
        "rules/alerts.yml",
        "rules/recording.yml",
        "grafana/dashboard.json",
    ] {
        let text = fs::read_to_string(deploy(name))?;
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        asked.extend(
            words
                .filter(|word| word.starts_with("otelcol_"))
                .map(str::to_owned),
        );
    }
    assert!(asked.len() > 10, "{asked:?}");
    for metric in asked {
        let instrument = metric.trim_end_matches("_total");
        assert!(program.contains(instrument), "{metric}");
    }
    Ok(())
}

#[test]
fn the_runbook_has_a_section_for_each_alert_in_their_order() -> Result<()> {
    let alerts = fs::read_to_string(deploy("rules/alerts.yml"))?;
    let of = |prefix: &str| -> Vec<String> {
        let values = alerts.lines().map(str::trim);
        values
            .filter_map(|line| line.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    };
    let runbook = fs::read_to_string(deploy("RUNBOOK.md"))?;
    let sections: Vec<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert_eq!(of("- alert: "), sections);
    let links = sections
        .iter()
        .map(|section| format!("deploy/RUNBOOK.md#{}", section.to_lowercase()));
    assert_eq!(of("runbook_url: "), links.collect::<Vec<_>>());
    Ok(())
}

#[test]
fn the_manifests_start_the_release_of_the_collector_that_the_tests_run() -> Result<()> {
    let manifest = fs::read_to_string(deploy("otel-collector-builder.yaml"))?;
    let release = manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix("version: "));
    let release = release.context("no version")?;
    let mut images = Vec::new();
    for name in ["kubernetes/push.yaml", "compose.yaml"] {
        let text = fs::read_to_string(deploy(name))?;
        let tags = text
            .lines()
            .filter_map(|line| line.split_once("opentelemetry-collector-contrib:"));
        images.extend(tags.map(|(_, tag)| tag.to_owned()));
    }
    assert_eq!(images, [release; 3]);
    Ok(())
}

#[test]
fn the_rules_pass_their_tests_and_prometheus_accepts_its_configuration() -> Result<()> {
    for promtool in prometheus::executables("promtool")? {
        check_configurations(&promtool, &["prometheus.yml", "compose/prometheus.yml"]);
        let tests = deploy("rules/tests.yml");
        let words = succeeds(Command::new(&promtool).args(["test", "rules"]).arg(tests));
        assert!(words.contains("SUCCESS"), "{words}");
    }
    // Debian's has neither discovery in Kubernetes nor OTLP.
    if let Some(promtool) = prometheus::newest("promtool")? {
        check_configurations(
            &promtool,
            &["kubernetes/prometheus.yml", "prometheus-3.yml"],
        );
    }
    Ok(())
}

fn check_configurations(promtool: &Path, names: &[&str]) {
    for name in names {
        succeeds(
            Command::new(promtool)
                .args(["check", "config"])
                .arg(deploy(name)),
        );
    }
}

#[test]
fn every_prometheus_takes_the_same_metrics_of_workers_from_the_collector() -> Result<()> {
    let mut kept = BTreeSet::new();
    for name in [
        "prometheus.yml",
        "compose/prometheus.yml",
        "kubernetes/prometheus.yml",
    ] {
        let text = fs::read_to_string(deploy(name))?;
        let regex = text
            .lines()
            .map(str::trim)
            .find(|line| line.contains("|worker_("));
        kept.insert(regex.context(name)?.to_owned());
    }
    assert_eq!(kept.len(), 1, "{kept:#?}");
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
