//! The same queries give the same answers for all three scenarios under the same load.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::{
    DURATIONS, REQUESTS,
    scenarios::{JOBS, SENT, Scenarios},
};

/// The bounds of `http.server.request.duration` in the HTTP semantic conventions, in seconds.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The window of the rules, in seconds.
const WINDOW: f64 = 300.0;

#[test]
fn the_same_rules_hold_for_push_and_for_pull_from_one_process_and_from_many() -> Result<()> {
    for scenarios in Scenarios::under_load()? {
        assert_totals(&scenarios)?;
        assert_labels(&scenarios)?;
        assert_rates(&scenarios)?;
        assert_latencies(&scenarios)?;
        scenarios.wait_until("job:workers:sum", |workers| workers == &[2.0, 2.0, 1.0])?;
        scenarios.wait_until("job:worker_restarts:increase10m", is_zero)?;
        scenarios.wait_until("job:http_server_active_requests:sum", is_zero)?;
        scenarios.wait_until("job:http_server_responses_5xx:ratio_rate5m", is_zero)?;
    }
    Ok(())
}

fn is_zero(values: &[f64; 3]) -> bool {
    values == &[0.0; 3]
}

/// Checks results that do not depend on time, so they must be equal.
fn assert_totals(scenarios: &Scenarios) -> Result<()> {
    for expression in [
        format!("sum by (job) ({REQUESTS})"),
        format!("sum by (job) ({DURATIONS})"),
        "sum by (job) (http_server_request_duration_seconds_bucket{le='+Inf'})".to_owned(),
        format!(
            "sum by (job) ({DURATIONS}{{http_request_method='GET',http_route='/',http_response_status_code='200',url_scheme='http'}})"
        ),
    ] {
        assert_eq!(scenarios.by_job(&expression)?, [SENT; 3], "{expression}");
    }
    Ok(())
}

/// Checks that the labels used by rules and the buckets are the same.
fn assert_labels(scenarios: &Scenarios) -> Result<()> {
    let buckets = "count by (job, le) (http_server_request_duration_seconds_bucket)";
    let buckets = scenarios.prometheus.query(buckets)?;
    // As text, too: only then can they be added up over jobs.
    for bound in BOUNDS {
        let jobs = buckets
            .keys()
            .filter(|labels| labels["le"] == format!("{bound:?}"));
        assert_eq!(jobs.count(), JOBS.len(), "{bound:?}: {buckets:?}");
    }
    for job in JOBS {
        let mut bounds: Vec<f64> = buckets
            .keys()
            .filter(|labels| labels["job"] == job)
            .filter_map(|labels| labels["le"].parse().ok())
            .collect();
        bounds.sort_by(f64::total_cmp);
        let (last, rest) = bounds.split_last().context("no buckets")?;
        assert_eq!((rest, *last), (&BOUNDS[..], f64::INFINITY), "{job}");

        let series = scenarios
            .prometheus
            .query(&format!("{DURATIONS}{{job='{job}'}}"))?;
        let names: BTreeSet<&str> = series
            .keys()
            .flat_map(|labels| labels.keys())
            .map(String::as_str)
            .collect();
        for label in [
            "http_request_method",
            "http_route",
            "http_response_status_code",
            "url_scheme",
        ] {
            assert!(names.contains(label), "{job} has no {label}: {names:?}");
        }
    }
    Ok(())
}

/// Checks rates. They may differ by one export and one scrape at the ends of the window.
fn assert_rates(scenarios: &Scenarios) -> Result<()> {
    // Prometheus extrapolates what lies in the window to its ends, by a scrape at most. The longer it has scraped, every
    // 250 ms, the less that is: 10 % after five seconds.
    let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 0.1;
    scenarios.wait_until("job:num_requests:rate5m", |rates| {
        rates.iter().all(|rate| near(*rate * WINDOW, SENT))
    })?;

    // What a rule says of errors is what the counters say.
    let counted =
        scenarios.by_job("sum by (job) (error_count_total) / sum by (job) (num_requests_total)")?;
    let ratios =
        scenarios.wait_until("job:error_count_per_num_requests:ratio_rate5m", |ratios| {
            ratios
                .iter()
                .zip(counted)
                .all(|(ratio, counted)| near(*ratio, counted))
        })?;
    // By chance alone this fails once in 10 to the power of 20 runs.
    assert!(
        ratios.iter().all(|ratio| (0.3..0.7).contains(ratio)),
        "{ratios:?}"
    );
    Ok(())
}

/// Checks durations. They differ, but the server's must not exceed the client's, within the resolution of a bucket.
fn assert_latencies(scenarios: &Scenarios) -> Result<()> {
    let limits = JOBS.map(|job| {
        let slowest = scenarios.slowest[job].as_secs_f64();
        let bucket = BOUNDS.iter().find(|bound| **bound >= slowest);
        bucket.copied().unwrap_or(f64::INFINITY)
    });
    for part in ["p50", "p95", "p99"] {
        let rule = format!("job:http_server_request_duration_seconds:{part}_rate5m");
        scenarios.wait_until(&rule, |quantiles| {
            let within = |(quantile, limit): (&f64, f64)| *quantile > 0.0 && *quantile <= limit;
            quantiles.iter().zip(limits).all(within)
        })?;
    }
    Ok(())
}
