//! A real browser: Debian's chromium, which chromedriver drives.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{SOON, real_part::real_part};
use fantoccini::{Client, ClientBuilder, key::Key, wd::WebDriverCompatibleCommand};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};
use url::{ParseError, Url};

/// A page is asked again after this time.
const STEP: Duration = Duration::from_millis(50);

/// A browser with one page. Dropping it ends the browser and its driver.
pub(crate) struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Child,
    /// Open, since the driver may print more.
    _output: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts a browser. Returns `None` if it is not installed.
    pub(crate) fn start() -> Result<Option<Self>> {
        let how_to_get = "Debian: apt-get install chromium chromium-driver";
        let Some(driver) = real_part("chromedriver", how_to_get)? else {
            return Ok(None);
        };
        if real_part("chromium", how_to_get)?.is_none() {
            return Ok(None);
        }
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = driver.stdout.take().context("chromedriver has no output")?;
        let mut output = BufReader::new(output);
        let port = port(&mut output);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut browser = Self {
            runtime,
            client: None,
            driver,
            _output: output,
        };
        let port = port.context("chromedriver names no port")?;
        let options = json!({"args": [
            // It runs as root in a container, where it has no sandbox and little shared memory.
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        ]});
        let capabilities = [("goog:chromeOptions".to_owned(), options)];
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.into_iter().collect());
        let driver = format!("http://127.0.0.1:{port}");
        let client = builder.connect(&driver);
        browser.client = Some(browser.runtime.block_on(client)?);
        Ok(Some(browser))
    }

    fn client(&self) -> Result<&Client> {
        self.client.as_ref().context("the browser has ended")
    }

    pub(crate) fn open(&self, url: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.goto(url))?)
    }

    /// The value of an expression of JavaScript.
    pub(crate) fn eval(&self, expression: &str) -> Result<Value> {
        let script = format!("return {expression};");
        let value = self.client()?.execute(&script, Vec::new());
        self.runtime.block_on(value).with_context(|| script.clone())
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&self, expression: &str) -> Result<()> {
        let client = self.client()?;
        let script = format!("return Boolean({expression});");
        let is_true = async {
            while client.execute(&script, Vec::new()).await? != Value::Bool(true) {
                tokio::time::sleep(STEP).await;
            }
            anyhow::Ok(())
        };
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(SOON * 2, is_true).await });
        match waited {
            Ok(done) => done,
            Err(_) => {
                let text = self.eval("document.body.innerText")?;
                anyhow::bail!("waited for {expression}: {text}")
            }
        }
    }

    /// Waits until a part of the page has a text.
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) -> Result<()> {
        let (selector, text) = (json!(selector), json!(text));
        self.wait_for(&format!(
            "[...document.querySelectorAll({selector})].some(part => part.innerText.includes({text}))"
        ))
    }

    /// The text of each element.
    pub(crate) fn texts(&self, selector: &str) -> Result<Vec<String>> {
        let selector = json!(selector);
        let texts = self.eval(&format!(
            "[...document.querySelectorAll({selector})].map(part => part.innerText)"
        ))?;
        Ok(serde_json::from_value(texts)?)
    }

    /// Presses keys, where the focus is.
    pub(crate) fn press(&self, keys: &str) -> Result<()> {
        let client = self.client()?;
        self.runtime.block_on(async {
            let focused = client.active_element().await?;
            Ok(focused.send_keys(keys).await?)
        })
    }

    /// Moves the focus with the tabulator until it is on an element that matches.
    pub(crate) fn tab_to(&self, selector: &str) -> Result<()> {
        let is_there = format!("document.activeElement.matches({})", json!(selector));
        for _ in 0..200 {
            if self.eval(&is_there)? == true {
                return Ok(());
            }
            self.press(&char::from(Key::Tab).to_string())?;
        }
        anyhow::bail!("the keyboard does not reach {selector}")
    }

    /// How the page is shown: the preferred colour scheme, and the width in pixels.
    pub(crate) fn emulate(&self, scheme: &str, width: u16, height: u64) -> Result<()> {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", media)?;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.command("Emulation.setDeviceMetricsOverride", metrics)?;
        Ok(())
    }

    /// The visible page as a WebP image.
    pub(crate) fn image(&self) -> Result<Vec<u8>> {
        let options = json!({"format": "webp", "quality": 70});
        let image = self.command("Page.captureScreenshot", options)?;
        let data = image["data"].as_str().context("no image")?;
        let image = BASE64_STANDARD.decode(data)?;
        ensure!(image.starts_with(b"RIFF"), "it is no WebP image");
        Ok(image)
    }

    /// A command of the DevTools protocol.
    fn command(&self, name: &str, parameters: Value) -> Result<Value> {
        let command = DevTools(json!({"cmd": name, "params": parameters}));
        Ok(self.runtime.block_on(self.client()?.issue_cmd(command))?)
    }
}

/// The port that the driver names when it is ready.
fn port(output: &mut BufReader<ChildStdout>) -> Option<u16> {
    let lines = output.lines().map_while(Result::ok);
    let mut ready = lines.filter(|line| line.contains("started successfully"));
    let line = ready.next()?;
    let port = line.split("on port ").nth(1)?;
    port.trim_end_matches('.').parse().ok()
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // The driver may have failed.
            let closed = async { tokio::time::timeout(SOON, client.close()).await };
            let _ = self.runtime.block_on(closed);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command of chromedriver beside the standard.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/goog/cdp/execute",
            session.unwrap_or_default()
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}
