//! The live view in a real browser, with real services behind it.
//!
//! With `SCREENSHOTS=1` the tests write the images that the READMEs show.

pub(crate) mod browser;
mod input;
mod page;
mod services;

use std::{env, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e::{Load, Program, Running, SOON};

use self::browser::Browser;
use crate::workspace;

/// Largest image of a README, in bytes.
const MAX_IMAGE: usize = 150 * 1024;

/// How long there is load before an image is taken, so that the charts have a shape.
const LOAD: Duration = Duration::from_secs(40);

/// Whether images are to be written.
pub(crate) fn takes_images() -> bool {
    env::var("SCREENSHOTS").is_ok_and(|value| value == "1")
}

/// Starts a service with the collector that it embeds. Returns it and the URL of its live view.
pub(crate) fn start(program: &Program) -> Result<(Running, String)> {
    let service = program.start()?;
    let line = service.wait_for_line(|line| line.contains("live view on http://"), SOON)?;
    let (_, url) = line.split_once("live view on ").context("no URL")?;
    Ok((service, url.to_owned()))
}

/// A service and its page.
struct Shown {
    browser: Browser,
    service: Running,
    url: String,
}

impl Shown {
    /// Starts a service and opens its live view. Returns `None` without a browser.
    fn start(program: &Program) -> Result<Option<Self>> {
        let Some(browser) = Browser::start()? else {
            return Ok(None);
        };
        let (service, url) = start(program)?;
        browser.open(&url)?;
        browser.wait_for_text("#live", "live")?;
        Ok(Some(Self {
            browser,
            service,
            url,
        }))
    }

    /// Sends requests on new connections, so that every worker gets some.
    fn ask(&self, path: &str, requests: u64) -> Result<()> {
        let load = Load::on(self.service.addr()?).clients(2).keep_alive(false);
        let report = load.path(path).requests(requests).run()?;
        assert_eq!(report.answered, requests, "{report}");
        Ok(())
    }

    /// Takes the image of a README: writes it if `SCREENSHOTS=1`, after some load. Always checks that it is small.
    fn take_image(&self, package: &str, path: &str, height: u64) -> Result<()> {
        let is_wanted = takes_images();
        if is_wanted {
            let load = Load::on(self.service.addr()?).every(Duration::from_millis(30));
            load.path(path).at_most(LOAD).run()?;
        }
        self.browser.emulate("light", 1_080, height)?;
        self.browser.eval("scrollTo(0, 0)")?;
        let image = self.browser.image()?;
        ensure!(image.len() < MAX_IMAGE, "{} bytes", image.len());
        if is_wanted {
            fs::write(
                workspace::root().join(package).join("live-view.webp"),
                image,
            )?;
        }
        Ok(())
    }
}

/// A program of the workspace with two workers, on a free port.
fn example(name: &str) -> Program {
    Program::new(name).env("OTEL_METRIC_EXPORT_INTERVAL", "500")
}
