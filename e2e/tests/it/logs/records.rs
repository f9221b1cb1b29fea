//! Records follow the logs data model.

use anyhow::{Context, Result};
use collector::proto::common::v1::any_value::Value;

use super::{get, int, pushing_to, send, text, wait_for, wait_for_access};
use crate::otlp::{PROTOCOLS, collector};

#[test]
fn a_record_has_time_severity_scope_body_and_the_resource_of_its_worker() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = pushing_to(&collector, protocol).start()?;
        let pid = get(&running, "/")?.pid().context("no pid")?;
        let log = wait_for(&collector, "the handler's record", |log| {
            log.body() == "Request received"
        })?;
        assert_eq!(log.scope, "logs::routes");
        assert_eq!(log.record.severity_number, 9);
        assert_eq!(log.record.severity_text, "INFO");
        assert_ne!(log.record.time_unix_nano, 0);
        assert_eq!(
            log.record.time_unix_nano,
            log.record.observed_time_unix_nano
        );
        assert_eq!((log.trace_id(), log.span_id()), Default::default());
        let resource = |key| log.instance.resource_attribute(key);
        assert_eq!(resource("service.name"), Some("logs"));
        assert_eq!(resource("process.pid"), Some(pid.to_string().as_str()));
        assert!(resource("service.instance.id").is_some_and(|id| id.len() == 36));
    }
    Ok(())
}

#[test]
fn every_record_of_a_request_says_method_route_and_path() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    get(&running, "/demo/burst/1")?;
    wait_for_access(&collector, "/demo/burst/1")?;
    let received = collector.received();
    let mut bodies = Vec::new();
    for log in received.logs() {
        if text(log, "url.path").is_some() {
            assert_eq!(text(log, "http.request.method"), Some("GET"));
            assert_eq!(text(log, "http.route"), Some("/demo/burst/{count}"));
            bodies.push(log.body());
        }
    }
    bodies.sort();
    assert_eq!(bodies, ["GET /demo/burst/1 200", "one of many"]);
    Ok(())
}

#[test]
fn an_access_line_has_status_duration_client_and_user_agent() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let agent = "User-Agent: test/1\r\n";
    assert_eq!(send(&running, "BREW /nowhere", agent, "")?.status, 404);
    let log = wait_for_access(&collector, "/nowhere")?;
    assert_eq!(int(&log, "http.response.status_code"), Some(404));
    let duration = log.attribute("access.duration");
    assert!(matches!(duration, Some(Value::DoubleValue(took)) if *took > 0.0));
    assert_eq!(text(&log, "client.address"), Some("127.0.0.1"));
    assert_eq!(text(&log, "user_agent.original"), Some("test/1"));
    // A client can make up methods, and no route belongs to this path.
    assert_eq!(text(&log, "http.request.method"), Some("_OTHER"));
    assert_eq!(log.attribute("http.route"), None);
    Ok(())
}

#[test]
fn a_health_check_is_not_logged() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    assert_eq!(get(&running, "/healthz")?.body, "ok");
    get(&running, "/")?;
    wait_for_access(&collector, "/")?;
    let received = collector.received();
    let mut paths = received.logs().iter().map(|log| text(log, "url.path"));
    assert!(paths.all(|path| path != Some("/healthz")));
    Ok(())
}

#[test]
fn key_values_keep_their_types_nested_ones_too() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    get(&running, "/demo/values")?;
    let log = wait_for(&collector, "the values", |log| log.body() == "typed values")?;
    assert_eq!(text(&log, "user"), Some("x"));
    assert_eq!(int(&log, "n"), Some(3));
    assert_eq!(log.attribute("ratio"), Some(&Value::DoubleValue(0.5)));
    assert_eq!(log.attribute("paid"), Some(&Value::BoolValue(true)));
    let Some(Value::KvlistValue(basket)) = log.attribute("basket") else {
        panic!("{:?}", log.attribute("basket"));
    };
    let field = |key| {
        let mut fields = basket.values.iter();
        let field = fields.find(|field| field.key == key)?;
        field.value.as_ref()?.value.as_ref()
    };
    assert_eq!(field("total"), Some(&Value::DoubleValue(4.5)));
    let Some(Value::ArrayValue(items)) = field("items") else {
        panic!("{:?}", field("items"));
    };
    assert_eq!(items.values.len(), 2);
    Ok(())
}

#[test]
fn the_internal_error_is_an_exception_with_its_chain_of_causes() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0])
        .env("ERROR_RATE", "1")
        .start()?;
    assert_eq!(get(&running, "/")?.status, 200);
    let log = wait_for(&collector, "the error", |log| {
        log.record.severity_number == 17
    })?;
    assert_eq!(log.record.severity_text, "ERROR");
    assert_eq!(
        text(&log, "exception.type"),
        Some("logs::routes::WorkError")
    );
    let message = "the internal work was not done";
    assert_eq!(text(&log, "exception.message"), Some(message));
    let causes = format!("{message}\ncaused by: a random error occurred");
    assert_eq!(text(&log, "exception.stacktrace"), Some(causes.as_str()));
    assert_eq!(text(&log, "http.route"), Some("/"));
    Ok(())
}

#[test]
fn a_value_of_a_megabyte_is_truncated_with_a_mark() -> Result<()> {
    let collector = collector()?;
    let limit = "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT";
    let running = pushing_to(&collector, PROTOCOLS[0])
        .env(limit, "1000")
        .start()?;
    let megabyte = "ö".repeat(500_000);
    assert_eq!(
        send(&running, "POST /demo/echo", "", &megabyte)?.status,
        200
    );
    let log = wait_for(&collector, "the value", |log| {
        log.attribute("said").is_some()
    })?;
    let value = text(&log, "said").context("no text")?;
    for text in [value, &log.body()] {
        assert_eq!(text.chars().count(), 1000);
        assert!(text.ends_with("… [truncated]"), "{text}");
    }
    let line = |line: &str| line.contains("a client said");
    let line = running.wait_for_line(line, e2e::SOON)?;
    assert!(line.chars().count() < 2500, "{line}");
    Ok(())
}
