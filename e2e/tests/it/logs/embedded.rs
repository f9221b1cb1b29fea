//! Without configuration the program starts the embedded collector, which prints the pushed records.

use anyhow::Result;
use e2e::console::Stream;

use super::{get, logs};
use crate::{otlp::with_dead_proxy, support::stop};

#[test]
fn all_pushed_records_are_printed_also_behind_a_dead_proxy() -> Result<()> {
    for protocol in ["http/protobuf", "grpc"] {
        let program = logs()
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_BLRP_SCHEDULE_DELAY", "3600000");
        let mut running = with_dead_proxy(program)?.start()?;
        get(&running, "/")?;
        stop(&mut running)?;
        let printed = running.console().text(Stream::Out);
        assert!(
            printed.contains("INFO  logs::routes Request received"),
            "{printed}"
        );
        assert!(printed.contains("INFO  access GET / 200"), "{printed}");
    }
    Ok(())
}
