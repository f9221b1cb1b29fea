//! A real Prometheus scrapes the program and answers the queries of the contract.

use anyhow::{Context, Result};
use e2e::{Load, SOON, http, poll, prometheus::Prometheus};

use super::{metrics_addr, pull, pull_with_metrics_port};

#[test]
fn a_real_prometheus_answers_the_queries_of_the_contract() -> Result<()> {
    for program in [pull(), pull_with_metrics_port()] {
        let running = program
            .env("ERROR_RATE", "1")
            .env("OTEL_SERVICE_NAME", "shop")
            .start()?;
        let servers = Prometheus::start_each(&[metrics_addr(&running)?])?;
        let wait_for = |expression, expected| {
            let mut servers = servers.iter();
            servers.try_for_each(|server| server.wait_for(expression, expected, SOON))
        };
        // The counters are there before the first request, so that the increase is seen.
        wait_for("num_requests_total", 0.0)?;
        for (requests, sum) in [(100, 100.0), (200, 300.0)] {
            let load = Load::on(running.addr()?).clients(8).requests(requests);
            assert_eq!(load.run()?.answered, requests);
            // A labelled series is born with its first request, and a rate needs a sample before the increase.
            wait_for("sum(http_server_request_duration_seconds_count)", sum)?;
        }
        http::request(running.addr()?, "FOO", "/")?;

        for (expression, expected) in [
            ("num_requests_total", 300.0),
            ("error_count_total", 300.0),
            ("sum(error_count_total) / sum(num_requests_total)", 1.0),
            (r#"http_requests_total{http_request_method="GET"}"#, 300.0),
            (
                r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="/",http_response_status_code="200",url_scheme="http"}"#,
                300.0,
            ),
            (
                r#"http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="405"}"#,
                1.0,
            ),
            (
                r#"http_server_request_duration_seconds_bucket{http_request_method="GET",le="+Inf"}"#,
                300.0,
            ),
            ("sum(http_server_active_requests)", 0.0),
            (
                r#"sum by (service_name) (num_requests_total * on (instance, job) group_left (service_name) target_info{service_name="shop"})"#,
                300.0,
            ),
            ("up", 1.0),
        ] {
            wait_for(expression, expected)?;
        }
        for expression in [
            "rate(num_requests_total[1m])",
            "histogram_quantile(0.95, sum by (le) (rate(http_server_request_duration_seconds_bucket[1m])))",
        ] {
            for prometheus in &servers {
                let value = poll(expression, SOON, || {
                    let value = prometheus.value(expression).ok()??;
                    (value > 0.0).then_some(value)
                });
                assert!(value.context(expression)?.is_finite(), "{expression}");
            }
        }
    }
    Ok(())
}
