//! Nothing configured: the program brings a collector of its own and shows what its workers push.

use std::net::TcpListener;

use anyhow::Result;
use e2e::{Program, console::Stream};

use super::{get, logs, stop};

#[test]
fn what_the_workers_push_is_printed_to_the_last_record_also_behind_a_dead_proxy() -> Result<()> {
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

/// Proxies at a port where nobody listens, in all spellings.
fn with_dead_proxy(mut program: Program) -> Result<Program> {
    let unused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        let proxy = format!("http://{unused}");
        program = program.env(name, &proxy).env(&name.to_lowercase(), &proxy);
    }
    Ok(program)
}
