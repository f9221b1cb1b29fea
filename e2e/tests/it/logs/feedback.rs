//! The export does not produce records that would be exported again.

use std::{thread, time::Duration};

use anyhow::Result;
use collector::{Collector, Signal};
use e2e::{SOON, poll};

use super::{get, pushing_to, wait_for_access};
use crate::otlp::{PROTOCOLS, collector};

/// Twenty times the export interval.
const A_WHILE: Duration = Duration::from_secs(1);

/// Waits until there was no export for a while. With a feedback loop this never happens.
fn wait_for_silence(collector: &Collector) -> Result<()> {
    let exports = || collector.received().requests(Signal::Logs);
    poll("a while without an export", SOON, || {
        let before = exports();
        thread::sleep(A_WHILE);
        (exports() == before).then_some(())
    })
}

#[test]
fn an_idle_server_that_logs_everything_exports_nothing() -> Result<()> {
    for protocol in PROTOCOLS {
        // The directives name what must stay off: they do not win.
        for directives in ["trace", "trace,h2::codec=trace,tracing=trace,reqwest=trace"] {
            let collector = collector()?;
            let running = pushing_to(&collector, protocol)
                .env("RUST_LOG", "trace")
                .env("OTEL_RUST_LOG", directives)
                .start()?;
            get(&running, "/")?;
            wait_for_access(&collector, "/")?;
            wait_for_silence(&collector)?;
            let received = collector.received();
            let own = |scope: &str| {
                ["h2", "hyper", "reqwest", "tonic", "tower", "tracing"]
                    .iter()
                    .any(|name| scope.starts_with(name))
            };
            let found = received.logs().iter().find(|log| own(&log.scope));
            assert!(found.is_none(), "{found:?}");
            // The levels were on: the server's own traces have arrived.
            let mut scopes = received.logs().iter().map(|log| &log.scope);
            assert!(scopes.any(|scope| scope.starts_with("actix_http")));
        }
    }
    Ok(())
}
