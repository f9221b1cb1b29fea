//! An invalid telemetry setting logs one warning and uses the default. An invalid flag or variable of our own stops the
//! program.

use anyhow::{Context as _, Result};
use e2e::{Program, SOON, console::Stream, http};

use crate::support::stop;

/// Invalid settings, each with a program that reads it.
const UNUSABLE: [(&str, &str, &str); 26] = [
    ("metrics-push", "RUST_LOG", "shop=loud"),
    ("metrics-push", "OTEL_METRICS_EXPORTER", "carrier-pigeon"),
    ("metrics-push", "OTEL_METRICS_EXPORTER", "prometheus"),
    ("metrics-push", "OTEL_METRIC_EXPORT_INTERVAL", "often"),
    ("metrics-push", "OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ("metrics-push", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ("metrics-push", "OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
    ("metrics-push", "OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    (
        "metrics-push",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "localhost:4318",
    ),
    (
        "metrics-push",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "https://localhost:4318",
    ),
    (
        "metrics-push",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "http://local host",
    ),
    ("metrics-push", "OTEL_RESOURCE_ATTRIBUTES", "a=%ff"),
    ("metrics-push", "OTEL_SDK_DISABLED", "perhaps"),
    ("logs", "RUST_LOG", "logs=loud"),
    ("logs", "OTEL_RUST_LOG", "logs=loud"),
    ("logs", "OTEL_LOGS_EXPORTER", "paper"),
    ("logs", "OTEL_BLRP_MAX_QUEUE_SIZE", "none"),
    ("logs", "OTEL_BLRP_SCHEDULE_DELAY", "-1"),
    (
        "logs",
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "long",
    ),
    ("traces", "OTEL_TRACES_EXPORTER", "paper"),
    ("traces", "OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ("traces", "OTEL_PROPAGATORS", "tracecontext,b3"),
    ("traces", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000"),
    ("traces", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ("all-signals", "OTEL_RUST_LOG", "shop=loud"),
    (
        "all-signals",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
        "http/json",
    ),
];

#[test]
fn an_invalid_telemetry_setting_is_one_warning_and_the_service_serves() -> Result<()> {
    for (program, variable, value) in UNUSABLE {
        warned(Program::new(program), variable, value)
            .with_context(|| format!("{variable}={value}"))?;
    }
    let ratio = Program::new("traces").env("OTEL_TRACES_SAMPLER", "traceidratio");
    for value in ["10%", "2", "-0.5"] {
        warned(ratio.clone(), "OTEL_TRACES_SAMPLER_ARG", value)?;
    }
    Ok(())
}

fn warned(program: Program, variable: &str, value: &str) -> Result<()> {
    let running = program
        .env("ERROR_RATE", "0")
        .env(variable, value)
        .start()?;
    let warning =
        |line: &str| line.contains("WARN") && line.contains(variable) && line.contains("using");
    let line = running.wait_for_line(warning, SOON)?;
    // The console quotes, and a quoted value stays readable.
    assert!(
        line.contains(value.split('=').next().unwrap_or(value)),
        "{line}"
    );
    assert_eq!(http::get(running.addr()?, "/")?.status, 200);
    let console = running.console().clone();
    stop(running)?;
    // On stdout the collector prints what arrives, the warning among it.
    let printed = console.text(Stream::Err);
    let count = printed.lines().filter(|line| warning(line)).count();
    assert_eq!(count, 1, "{console}");
    Ok(())
}

#[test]
fn values_are_case_insensitive_and_trimmed() -> Result<()> {
    for (program, variable, value) in [
        ("metrics-push", "OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP "),
        ("metrics-push", "OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC\r"),
        ("metrics-push", "OTEL_METRICS_EXPORTER", "OTLP"),
        ("traces", "OTEL_TRACES_SAMPLER", "Always_On"),
        ("traces", "OTEL_PROPAGATORS", "TraceContext"),
        ("traces", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2 "),
        ("logs", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0"),
        ("logs", "OTEL_BLRP_SCHEDULE_DELAY", "0"),
    ] {
        let running = Program::new(program)
            .env("ERROR_RATE", "0")
            .env(variable, value);
        let running = running.start()?;
        assert_eq!(http::get(running.addr()?, "/")?.status, 200);
        let console = running.console().clone();
        stop(running)?;
        assert_eq!(console.count(|line| line.contains("WARN")), 0, "{console}");
    }
    Ok(())
}

#[test]
fn secrets_of_an_endpoint_and_of_headers_are_never_printed() -> Result<()> {
    for program in ["metrics-push", "logs", "traces", "all-signals"] {
        let running = Program::new(program)
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://user:s3cret@127.0.0.1:9/t0ken?key=qu3ry",
            )
            .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=h3ader,b@d=h3ader")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
            .start()?;
        http::get(running.addr()?, "/")?;
        running.wait_for_line(|line| line.contains("do not arrive"), SOON)?;
        let console = running.console().clone();
        stop(running)?;
        for secret in ["s3cret", "t0ken", "qu3ry", "h3ader"] {
            assert_eq!(
                console.count(|line| line.contains(secret)),
                0,
                "{program}: {console}"
            );
        }
    }
    Ok(())
}

#[test]
fn an_invalid_value_of_our_own_variable_is_one_line_and_exit_code_2() -> Result<()> {
    for (program, variable, value) in [
        ("metrics-push", "ERROR_RATE", "1.5"),
        ("metrics-push", "ERROR_RATE", "NaN"),
        ("logs", "ERROR_RATE", "often"),
        ("traces", "CHAIN_URL", "https://example.org"),
        ("all-signals", "CHAIN_URL", "localhost:5101"),
        ("traces", "TRACERESPONSE", "perhaps"),
        ("all-signals", "METRICS", "both"),
        ("all-signals", "METRICS_PORT", "tcp://10.0.0.1:9100"),
        (
            "metrics-multi-process-pull",
            "METRICS_PORT",
            "tcp://10.0.0.1:9100",
        ),
    ] {
        let ended = Program::new(program).env(variable, value).run(SOON)?;
        let stderr = &ended.stderr;
        assert_eq!(ended.status.code(), Some(2), "{variable}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{variable}: {stderr}");
        // A flag's variable goes by the flag's name.
        let flag = variable.to_lowercase().replace('_', "-");
        assert!(
            stderr.contains(variable) || stderr.contains(&flag),
            "{stderr}"
        );
        assert!(stderr.contains(value), "{stderr}");
        assert_eq!(ended.stdout, "");
    }
    Ok(())
}

#[test]
fn an_empty_variable_of_our_own_counts_as_unset() -> Result<()> {
    let mut program = Program::new("metrics-multi-process-pull");
    for variable in [
        "WEB_CONCURRENCY",
        "METRICS_PORT",
        "BIND_HOST",
        "BIND_UDS",
        "ERROR_RATE",
        "PROMETHEUS_MULTIPROC_DIR",
    ] {
        program = program.env(variable, "");
    }
    let running = program.start()?;
    assert_eq!(http::get(running.addr()?, "/metrics")?.status, 200);
    assert_eq!(running.console().text(Stream::Out), "");
    stop(running)?;
    Ok(())
}
