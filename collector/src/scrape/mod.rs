//! Reads `/metrics` of a service every second, for the live view.

mod fetch;
mod otlp;
mod text;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use hyper::Uri;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::intake::Intake;

const INTERVAL: Duration = Duration::from_secs(1);

/// A service whose `/metrics` a collector reads every second.
pub struct Scrape {
    name: String,
    source: Source,
}

type Read = dyn Fn() -> Result<String, Box<dyn Error + Send + Sync>> + Send + Sync;

enum Source {
    Url(Uri),
    Read(Box<Read>),
}

impl Scrape {
    /// The target with this URL, such as `http://localhost:5100/metrics`.
    ///
    /// # Errors
    ///
    /// Returns what is expected if it is not an `http://` URL without userinfo.
    pub fn url(url: &str) -> Result<Self, String> {
        let parsed: Option<Uri> = url.parse().ok();
        let is_http = |url: &Uri| url.scheme_str() == Some("http");
        let is_plain = |url: &Uri| url.authority().is_some_and(|to| !to.as_str().contains('@'));
        let Some(url) = parsed.filter(|url| is_http(url) && is_plain(url)) else {
            return Err("expected a URL such as http://localhost:5100/metrics".to_owned());
        };
        Ok(Self {
            name: url
                .authority()
                .map_or_else(String::new, |to| to.to_string()),
            source: Source::Url(url),
        })
    }

    /// What this function returns, the text of `/metrics` of this process. It must not block.
    pub fn text<E>(read: impl Fn() -> Result<String, E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self {
            name: "unknown_service".to_owned(),
            source: Source::Read(Box::new(move || read().map_err(Into::into))),
        }
    }

    async fn read(&self, limit: usize) -> Result<String, String> {
        match &self.source {
            Source::Url(url) => fetch::get(url, limit).await,
            Source::Read(read) => read().map_err(|err| err.to_string()),
        }
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scrape").field(&self.name).finish()
    }
}

/// Reads until the collector stops. A failure is logged once, until it works again.
pub(crate) async fn run(scrape: Scrape, intake: Arc<Intake>, mut stopped: watch::Receiver<bool>) {
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut has_failed = false;
    let every_second = async {
        loop {
            interval.tick().await;
            let name = &scrape.name;
            match scrape.read(intake.body_limit()).await {
                Ok(text) => {
                    intake.take_scrape(&otlp::request(&text, name));
                    if has_failed {
                        log::info!("the scrape of {name} works again");
                    }
                    has_failed = false;
                }
                Err(err) => {
                    if !has_failed {
                        log::warn!("cannot scrape {name}: {err}; trying again every second");
                    }
                    has_failed = true;
                }
            }
        }
    };
    tokio::select! {
        () = every_second => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}
