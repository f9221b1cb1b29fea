//! Each part of the page, with a service that sends it.

use anyhow::Result;
use e2e::{Signal, process};

use super::{Shown, example};

#[test]
fn a_kill_and_a_reload_are_seen_on_the_boxes_of_the_workers() -> Result<()> {
    let Some(shown) = Shown::start(&example("metrics-push").option("--workers", 2))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    browser.wait_for("document.querySelectorAll('.worker .state').length === 2")?;
    browser.wait_for(
        "[...document.querySelectorAll('.state')].every(s => s.innerText === 'serving')",
    )?;
    let old = shown.service.ready()?.serving();
    for pid in &old {
        browser.wait_for_text(".worker header", &format!("pid {pid}"))?;
    }
    shown.ask("/", 40)?;
    browser.wait_for_text("#metrics", "num_requests")?;
    process::send(old[0], Signal::SIGKILL)?;
    browser.wait_for_text(
        "#workers .marks .bad",
        &format!("(pid {}) was killed by a signal", old[0]),
    )?;
    browser.wait_for(&format!(
        "![...document.querySelectorAll('.worker header')].some(h => h.innerText.includes('pid {}'))",
        old[0]
    ))?;
    assert_eq!(browser.texts(".worker b")?, ["worker 0", "worker 1"]);
    assert!(browser.eval("document.querySelectorAll('.worker .mark').length")? != 0);
    shown.ask("/", 20)?;
    browser.wait_for_text("#service .caption", "/s")?;
    shown.take_image("metrics-push", "/", 800)?;
    shown.service.signal(Signal::SIGHUP)?;
    browser.wait_for_text("#workers .marks", "reload: success")
}

#[test]
fn a_trace_opens_with_its_spans_and_its_log_records() -> Result<()> {
    let Some(shown) = Shown::start(&example("all-signals"))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    shown.ask("/", 20)?;
    browser.wait_for_text("#traces .name", "GET /")?;
    browser.wait_for_text("#logs .log", "Request received")?;
    // From a record to its trace.
    browser.eval("document.querySelector('#logs .log a').click()")?;
    browser.wait_for_text("#waterfall .caption", "trace")?;
    browser.wait_for_text("#waterfall .name", "internal_work")?;
    browser.wait_for_text("#waterfall .log", "Request received")?;
    browser.wait_for_text("#waterfall .on", "worker ")?;
    assert_eq!(browser.texts(".worker b")?, ["worker 0", "worker 1"]);
    shown.take_image("all-signals", "/", 1_200)?;
    browser.eval("document.querySelector('#waterfall summary').click()")?;
    browser.wait_for_text("#waterfall .attributes", "http.route")
}

#[test]
fn a_call_to_another_worker_is_one_trace() -> Result<()> {
    let Some(shown) = Shown::start(&example("traces"))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    browser.wait_for_text(".worker .state", "serving")?;
    shown.ask("/chain", 20)?;
    browser.wait_for_text("#traces .name", "GET /chain")?;
    browser.wait_for_text("#service .caption", "p95")?;
    browser.eval("[...document.querySelectorAll('#traces a')].find(a => a.innerText.includes('/chain')).click()")?;
    browser.wait_for("document.querySelectorAll('#waterfall .bar').length >= 4")?;
    shown.take_image("traces", "/chain", 1_150)
}

#[test]
fn log_records_arrive_on_the_page_and_their_workers_are_shown() -> Result<()> {
    let Some(shown) = Shown::start(&example("logs"))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    browser.wait_for_text(".worker .state", "serving")?;
    shown.ask("/", 20)?;
    browser.wait_for_text("#logs .log", "Request received")?;
    browser.wait_for_text("#logs .on", "worker ")?;
    browser.wait_for_text("#service .caption", "p95")?;
    shown.take_image("logs", "/", 1_000)
}

#[test]
fn the_pull_examples_show_the_same_page() -> Result<()> {
    for (name, workers) in [
        ("metrics-multi-process-pull", 2),
        ("metrics-single-process-pull", 1),
    ] {
        let Some(shown) = Shown::start(&example(name))? else {
            return Ok(());
        };
        let browser = &shown.browser;
        browser.wait_for(&format!(
            "document.querySelectorAll('.worker').length === {workers}"
        ))?;
        shown.ask("/", 100)?;
        browser.wait_for_text("#metrics strong", "100")?;
        browser.wait_for_text("#service .caption", "p95")?;
        browser.wait_for_text("#head", name)?;
        shown.take_image(name, "/", 1_000)?;
    }
    Ok(())
}
