//! Prometheus reads every format that it can ask for, and finds UTF-8 names in it.

use std::process::Command;

use anyhow::Result;
use e2e::{Load, Program, SOON, Temporary, poll, prometheus::Prometheus, real_part};

use super::REQUESTS;

/// Values of `scrape_protocols` in Prometheus 3.
const PROTOCOLS: [&str; 4] = [
    "OpenMetricsText1.0.0",
    "OpenMetricsText0.0.1",
    "PrometheusText1.0.0",
    "PrometheusText0.0.4",
];

/// A scrape configuration with one job for each setting, all of them with the same target.
pub(super) fn configuration(target: &str, jobs: &[(&str, String)]) -> String {
    let mut text = "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n".to_owned();
    text += "scrape_configs:\n";
    for (job, setting) in jobs {
        text += &format!(
            "  - job_name: {job}\n{setting}    static_configs:\n      - targets: [\"{target}\"]\n"
        );
    }
    text
}

/// Waits until the metadata of a job has a metric under this name. In OpenMetrics it is that of the family, such as
/// `num_requests`, in the text format that of the samples.
fn wait_for_metadata(prometheus: &Prometheus, job: &str, metric: &str) -> Result<()> {
    let path =
        format!("/api/v1/targets/metadata?match_target=%7Bjob=%22{job}%22%7D&metric={metric}");
    poll(&format!("metadata of {metric} in {job}"), SOON, || {
        let data = prometheus.get(&path).ok()?;
        (data[0]["type"] == "counter").then_some(())
    })
}

#[test]
fn every_release_of_prometheus_chooses_openmetrics() -> Result<()> {
    let running = Program::new("metrics-multi-process-pull").start()?;
    for prometheus in Prometheus::start_each(&[running.addr()?])? {
        wait_for_metadata(&prometheus, "e2e", "num_requests")?;
    }
    Ok(())
}

#[test]
fn prometheus_reads_the_same_samples_over_each_scrape_protocol() -> Result<()> {
    let running = Program::new("metrics-multi-process-pull")
        .env("ERROR_RATE", "0")
        .start()?;
    let jobs = PROTOCOLS.map(|name| (name, format!("    scrape_protocols: [{name}]\n")));
    let configuration = configuration(&running.addr()?.to_string(), &jobs);
    let Some(prometheus) = Prometheus::start_newest(&configuration, &[])? else {
        return Ok(());
    };
    let report = Load::on(running.addr()?).clients(4).requests(200).run()?;
    assert_eq!(report.answered, 200, "{report}");
    for protocol in PROTOCOLS {
        let job = format!("{{job=\"{protocol}\"}}");
        for (expression, expected) in [
            (format!("{REQUESTS}{job}"), 200.0),
            (
                format!("http_server_request_duration_seconds_count{job}"),
                200.0,
            ),
            (
                format!("count(http_server_request_duration_seconds_bucket{job})"),
                15.0,
            ),
            (format!("sum(worker_up{job})"), 2.0),
        ] {
            prometheus.wait_for(&expression, expected, SOON)?;
        }
        // Version 0.0.1 is answered with text.
        let family = match protocol {
            "OpenMetricsText1.0.0" => "num_requests",
            _ => REQUESTS,
        };
        wait_for_metadata(&prometheus, protocol, family)?;
    }
    Ok(())
}

#[test]
fn prometheus_finds_utf8_names_as_they_are_or_escaped() -> Result<()> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let directory = Temporary::new("utf8-names")?;
    let count = "from prometheus_client import Counter\n\
        Counter('http.requests', 'Requests', ['url.path']).labels('/ü').inc(3)";
    let output = Command::new(&python)
        .args(["-c", count])
        .env("PROMETHEUS_MULTIPROC_DIR", directory.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        _ => return real_part::skip(&format!("{python} has no prometheus_client")),
    }
    let exporter = Program::bin("prometheus-multiprocess", "multiprocess-exporter")
        .build_arg("--features=exporter")
        .option("--port", 0)
        .option("--dir", directory.path().display())
        .start()?;

    let escaped = "http_requests_total{url_path='/ü'}";
    let expected = [
        ("allow-utf-8", "{'http.requests_total','url.path'='/ü'}"),
        ("underscores", escaped),
        ("dots", "http_dot_requests_total{url_dot_path='/ü'}"),
        ("values", "U__http_2e_requests_total{U__url_2e_path='/ü'}"),
    ];
    let jobs = expected.map(|(scheme, _)| {
        let setting = format!("    metric_name_escaping_scheme: {scheme}\n");
        (scheme, setting)
    });
    let configuration = configuration(&exporter.addr()?.to_string(), &jobs);
    if let Some(newest) = Prometheus::start_newest(&configuration, &[])? {
        for (scheme, series) in expected {
            let of_job = series.replace('}', &format!(",job='{scheme}'}}"));
            newest.wait_for(&of_job, 3.0, SOON)?;
        }
    }
    for prometheus in Prometheus::start_each(&[exporter.addr()?])? {
        // Before Prometheus 3 a scraper does not ask for UTF-8 names.
        let series = match prometheus.version()?.starts_with("2.") {
            true => escaped,
            false => expected[0].1,
        };
        prometheus.wait_for(series, 3.0, SOON)?;
    }
    Ok(())
}
