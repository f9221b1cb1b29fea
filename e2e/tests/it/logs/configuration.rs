//! Mistakes are told before anything is started.

use anyhow::Result;
use e2e::SOON;

use super::logs;

#[test]
fn a_bad_value_is_one_line_that_names_the_variable_and_the_value() -> Result<()> {
    for (variable, value) in [
        ("RUST_LOG", "logs=loud"),
        ("OTEL_RUST_LOG", "logs=loud"),
        ("OTEL_LOGS_EXPORTER", "paper"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "localhost:4318"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "none"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "1000000"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1"),
        ("ERROR_RATE", "often"),
    ] {
        let ended = logs().env(variable, value).run(SOON)?;
        let stderr = &ended.stderr;
        assert_eq!(ended.status.code(), Some(2), "{variable}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{variable}: {stderr}");
        assert!(stderr.contains(variable), "{stderr}");
        assert!(stderr.contains(value), "{stderr}");
    }
    Ok(())
}

#[test]
fn the_routes_that_do_harm_are_served_only_on_demand() -> Result<()> {
    let running = e2e::Program::new("logs")
        .env("OTEL_LOGS_EXPORTER", "none")
        .start()?;
    for path in ["/demo/crash", "/demo/panic", "/demo/values"] {
        assert_eq!(super::get(&running, path)?.status, 404, "{path}");
    }
    Ok(())
}
