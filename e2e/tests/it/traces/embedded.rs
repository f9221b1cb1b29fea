//! Without configuration the program starts the embedded collector, which prints traces as trees.

use anyhow::Result;
use e2e::console::Stream;

use super::{get, send, traces};
use crate::{otlp::with_dead_proxy, support::stop};

#[test]
fn a_trace_is_printed_as_a_tree_also_behind_a_dead_proxy() -> Result<()> {
    for protocol in ["http/protobuf", "grpc"] {
        let program = traces()
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
        let mut running = with_dead_proxy(program)?.start()?;
        get(&running, "/chain")?;
        stop(&mut running)?;
        let printed = running.console().text(Stream::Out);
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), 5, "{printed}");
        assert!(lines[0].contains(" 4 spans of 1 worker"), "{printed}");
        for (line, start) in lines[1..].iter().zip([
            "  GET /chain  server 200 ",
            "  └─ GET  client 200 ",
            "     └─ GET /  server 200 ",
            "        └─ internal work  internal ",
        ]) {
            assert!(line.starts_with(start), "{printed}");
            let pid = format!("[traces pid {} (", printed_pid(line));
            assert!(line.contains(&pid), "{printed}");
        }
    }
    Ok(())
}

fn printed_pid(line: &str) -> u32 {
    let (_, rest) = line.split_once(" pid ").unwrap_or_default();
    let pid = rest.split(' ').next().unwrap_or_default();
    pid.parse().unwrap_or_default()
}

#[test]
fn request_data_forges_no_line_of_a_tree() -> Result<()> {
    let mut running = traces().start()?;
    let agent = "User-Agent: \u{202e}\u{9b}31m forged\r\n";
    send(&running, "BREW /%0a%1b[2J", agent)?;
    stop(&mut running)?;
    let printed = running.console().text(Stream::Out);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    let strange = |character: char| character.is_control() && character != '\n';
    assert!(
        !printed.contains(strange) && !printed.contains('\u{202e}'),
        "{printed}"
    );
    Ok(())
}
