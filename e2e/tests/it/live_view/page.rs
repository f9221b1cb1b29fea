//! What the page looks like, and that nothing that was received becomes a part of it.

use anyhow::Result;
use collector::{Collector, Config};
use e2e::http;
use serde_json::json;

use super::{Shown, browser::Browser, example};

#[test]
fn both_colour_schemes_and_a_phone_are_readable() -> Result<()> {
    let Some(shown) = Shown::start(&example("all-signals"))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    shown.ask("/", 20)?;
    browser.wait_for_text("#metrics", "num_requests")?;
    browser.wait_for_text("#traces .name", "GET /")?;
    browser.eval("document.querySelector('#traces a').click()")?;
    browser.wait_for_text("#waterfall .caption", "trace")?;
    let mut backgrounds = Vec::new();
    for (scheme, width) in [
        ("light", 1_280),
        ("dark", 1_280),
        ("dark", 390),
        ("light", 320),
    ] {
        browser.emulate(scheme, width, 900)?;
        backgrounds.push(browser.eval("getComputedStyle(document.body).backgroundColor")?);
        let wide = browser.eval("document.documentElement.scrollWidth - innerWidth")?;
        assert_eq!(wide, 0, "the page is wider than {width}");
        let overlapping = browser.eval(
            "[...document.querySelectorAll('.axis span')].some(label => {
                const chart = label.closest('.axes').querySelector('svg').getBoundingClientRect();
                return label.getBoundingClientRect().right > chart.left;
            })",
        )?;
        assert_eq!(overlapping, false, "a label lies on data at {width}");
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    assert_eq!(backgrounds[1], backgrounds[2]);
    Ok(())
}

const HOSTILE: &str =
    "</title><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u{202e}";

#[test]
fn hostile_telemetry_is_text() -> Result<()> {
    let Some(browser) = Browser::start()? else {
        return Ok(());
    };
    let config = Config {
        view: true,
        keep_records: 0,
        ..Config::silent()
    };
    let collector = Collector::start(config)?;
    let address = collector.http_addr();
    let text = |key: &str| json!({"key": key, "value": {"stringValue": HOSTILE}});
    let id = "0af7651916cd43dd8448eb211c80319c";
    let span = json!({
        "traceId": id, "spanId": "b7ad6b7169203331", "name": HOSTILE, "kind": 2,
        "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": [text("http.route"), text(HOSTILE)],
    });
    let spans = json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name"), text("process.pid")]},
        "scopeSpans": [{"spans": [span]}],
    }]});
    let body = spans.to_string();
    let length = body.len();
    let mut connection = http::Connection::open(address)?;
    connection.send(&format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ))?;
    assert_eq!(connection.receive()?.status, 200);
    browser.open(&format!("http://{address}/?trace={id}"))?;
    browser.wait_for_text("#live", "live")?;
    browser.wait_for_text("#waterfall .name", "<script>")?;
    browser.wait_for_text("h1", "<script>")?;
    assert_eq!(browser.eval("typeof window.hacked")?, "undefined");
    assert_eq!(browser.eval("document.querySelectorAll('img').length")?, 0);
    assert_eq!(browser.eval("document.scripts.length")?, 1);
    Ok(())
}
