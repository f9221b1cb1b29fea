//! Filters, keyboard, pause and a restart: the page keeps what its reader does.

use anyhow::Result;
use e2e::{SOON, Signal};
use fantoccini::key::Key;

use super::{Shown, example};

#[test]
fn filters_and_the_keyboard_find_a_trace() -> Result<()> {
    let Some(shown) = Shown::start(&example("traces"))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    shown.ask("/chain", 5)?;
    shown.ask("/", 5)?;
    browser.wait_for_text("#traces .name", "GET /chain")?;
    browser.tab_to("input[name=route]")?;
    browser.press("/chain")?;
    let only =
        "[...document.querySelectorAll('#traces .name')].every(n => n.innerText === 'GET /chain')";
    browser.wait_for(&format!("location.search.includes('route=') && {only}"))?;
    // The focus and the text stay while the page is updated.
    shown.ask("/", 3)?;
    assert_eq!(browser.eval("document.activeElement.value")?, "/chain");
    browser.tab_to("#traces a")?;
    browser.press(&char::from(Key::Enter).to_string())?;
    browser.wait_for_text("#waterfall .caption", "trace")?;
    browser.tab_to("#waterfall summary")?;
    browser.press(&char::from(Key::Enter).to_string())?;
    browser.wait_for("document.querySelector('#waterfall details').open")?;
    let opened = browser.eval("location.search")?;
    browser.eval("history.back()")?;
    browser.wait_for("!document.querySelector('#waterfall .panel')")?;
    assert_ne!(browser.eval("location.search")?, opened);
    assert_eq!(
        browser.eval("document.querySelector('input[name=route]').value")?,
        "/chain"
    );
    Ok(())
}

#[test]
fn a_paused_tail_of_logs_goes_on_later() -> Result<()> {
    let Some(shown) = Shown::start(&example("logs"))? else {
        return Ok(());
    };
    let browser = &shown.browser;
    shown.ask("/", 2)?;
    browser.wait_for_text("#logs .log", "Request received")?;
    browser.eval("document.getElementById('pause').click()")?;
    let before = browser.texts("#logs .log")?;
    shown.ask("/", 20)?;
    // Another part of the page shows that they have arrived.
    browser.wait_for(
        "/ ([4-9]\\d|\\d{3,}) log records/.test(document.getElementById('losses').innerText)",
    )?;
    assert_eq!(browser.texts("#logs .log")?, before);
    browser.eval("document.getElementById('pause').click()")?;
    browser.wait_for(&format!(
        "document.querySelectorAll('#logs .log').length > {}",
        before.len()
    ))
}

#[test]
fn an_open_page_goes_on_after_a_restart_of_the_service() -> Result<()> {
    let Some(mut shown) = Shown::start(&example("metrics-push"))? else {
        return Ok(());
    };
    let address = shown.url.trim_start_matches("http://").to_owned();
    shown.browser.open(&format!("{}/?level=warn", shown.url))?;
    shown.browser.wait_for_text("#live", "live")?;
    shown.service.signal(Signal::SIGTERM)?;
    shown.service.wait_exit(SOON)?;
    shown.service.wait_gone(SOON)?;
    shown
        .browser
        .wait_for_text("#live", "waiting for the service")?;
    // Another one at the same address, as in a next run.
    let config = collector::Config {
        http: address.parse()?,
        view: true,
        ..collector::Config::silent()
    };
    let _collector = collector::Collector::start(config)?;
    shown.browser.wait_for_text("#live", "live")?;
    shown
        .browser
        .wait_for_text("#head", "nothing has arrived yet")?;
    assert_eq!(
        shown
            .browser
            .eval("document.querySelector('select[name=level]').value")?,
        "warn"
    );
    Ok(())
}
