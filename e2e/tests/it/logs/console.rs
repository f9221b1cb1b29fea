//! The console has one line for each record, for any request data.

use anyhow::Result;
use e2e::{Running, SOON, console::Stream};

use super::{get, logs, pushing_to, send};
use crate::{
    otlp::{Protocol, collector},
    support::stop,
};

fn silent() -> e2e::Program {
    logs().env("OTEL_LOGS_EXPORTER", "none")
}

/// Waits for the access line of a path, and returns all of stderr.
fn text_after(running: &Running, path: &str) -> Result<String> {
    running.wait_for_line(
        |line| line.contains(path) && line.contains(" access] "),
        SOON,
    )?;
    Ok(running.console().text(Stream::Err))
}

#[test]
fn a_client_cannot_forge_a_line_or_move_the_cursor() -> Result<()> {
    let running = silent().start()?;
    let hostile = "x\r\n[2026-01-01T00:00:00Z ERROR 1 forged] by\x1b[2J\x1b]0;title\x07\u{9b}1A\u{2028}\u{202e}end";
    let agent = "User-Agent: \u{9b}31m\u{202e}forged\r\n";
    send(&running, "POST /demo/echo", agent, hostile)?;
    send(&running, "GET /%0a[2026]%1b[31m/forged", "", "")?;
    let text = text_after(&running, "%1b[31m/forged")?;
    let started = |line: &str| line.starts_with("[20") || line.starts_with("logs: ready on");
    assert!(text.lines().all(started), "{text}");
    assert!(
        !text
            .lines()
            .any(|line| line.contains(" 1 forged] by") && !line.contains(" logs::demo] "))
    );
    let is_bad = |character: char| {
        (character.is_control() && character != '\n') || "\u{2028}\u{202e}".contains(character)
    };
    assert!(!text.contains(is_bad), "{text:?}");
    Ok(())
}

#[test]
fn key_values_are_on_the_console_and_cannot_be_forged() -> Result<()> {
    let running = silent().start()?;
    get(&running, "/demo/values")?;
    send(&running, "POST /demo/echo", "", "x\" said=forged")?;
    let text = text_after(&running, "/demo/echo")?;
    let line = r#"typed values user=x n=3 ratio=0.5 paid=true basket="#;
    assert!(text.contains(line), "{text}");
    assert!(text.contains(r#" said="x\" said=forged""#), "{text}");
    Ok(())
}

#[test]
fn console_and_export_have_separate_filters_with_the_same_syntax() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http)
        .env("RUST_LOG", "off,access=info")
        .env("OTEL_RUST_LOG", "off,logs::demo=info")
        .start()?;
    get(&running, "/demo/values")?;
    let text = text_after(&running, "/demo/values")?;
    assert!(!text.contains("typed values"), "{text}");
    super::wait_for(&collector, "the values", |log| log.body() == "typed values")?;
    let received = collector.received();
    assert!(received.logs().iter().all(|log| log.scope == "logs::demo"));
    Ok(())
}

#[test]
fn the_console_exporter_prints_one_json_line_for_each_record() -> Result<()> {
    let mut running = logs()
        .env("OTEL_LOGS_EXPORTER", "console")
        .env("OTEL_SERVICE_NAME", "shop")
        .env("ERROR_RATE", "1")
        .start()?;
    send(&running, "GET /", super::TRACEPARENT, "")?;
    send(&running, "POST /demo/echo", "", "two\nlines")?;
    stop(&mut running)?;
    let text = running.console().text(Stream::Out);
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line);
    let records = text.lines().map(parse).collect::<Result<Vec<_>, _>>()?;
    let bodies: Vec<_> = records.iter().map(|record| &record["body"]).collect();
    assert_eq!(
        bodies,
        [
            "Request received",
            "the internal work was not done",
            "GET / 200",
            "a client said two\nlines",
            "POST /demo/echo 200",
        ]
    );
    let error = &records[1];
    assert_eq!(error["severity_number"], 17);
    assert_eq!(error["severity_text"], "ERROR");
    assert_eq!(error["attributes"]["http.route"], "/");
    assert_eq!(error["trace_id"], format!("0x{}", super::TRACE));
    assert_eq!(error["span_id"], format!("0x{}", super::SPAN));
    assert_eq!(error["trace_flags"], 1);
    assert_eq!(error["scope"], "logs::routes");
    assert_eq!(error["resource"]["attributes"]["service.name"], "shop");
    assert!(error["resource"]["attributes"]["process.pid"].is_u64());
    let time = error["timestamp"].as_str().unwrap_or_default();
    assert_eq!(
        (time.len(), &time[26..]),
        ("2026-11-22T11:00:00.000000Z".len(), "Z")
    );
    assert_eq!(records[3]["trace_id"], format!("0x{}", "0".repeat(32)));
    Ok(())
}

#[test]
fn without_an_exporter_records_go_only_to_the_console() -> Result<()> {
    for (variable, value) in [
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_SDK_DISABLED", "true"),
    ] {
        let mut running = logs().env(variable, value).start()?;
        get(&running, "/")?;
        text_after(&running, "GET / 200")?;
        stop(&mut running)?;
        assert_eq!(running.console().text(Stream::Out), "");
        assert_eq!(
            running
                .console()
                .count(|line| line.starts_with("collector")),
            0
        );
    }
    Ok(())
}
