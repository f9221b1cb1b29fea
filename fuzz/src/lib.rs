//! What the targets share: inputs to begin with, and real collectors whose output is checked.
//!
//! A target talks to them over loopback as any client does, so that what it finds can happen. All of it runs in the
//! fuzzer's process: a panic anywhere ends it, and code that is reached for the first time is noticed.

pub mod seeds;

use std::io::{self, Write};

use collector::{Collector, Config, Format};

/// Starts one collector that prints text and one that prints JSON; both check what they print.
pub fn collectors() -> [Collector; 2] {
    let outputs: [(Format, Box<dyn Write + Send>); 2] = [
        (Format::Text, Box::new(Text)),
        (Format::Json, Box::new(JsonLines::default())),
    ];
    outputs.map(|(format, output)| {
        let config = Config {
            format,
            output,
            color: false,
            body_limit: 64 * 1024,
            keep_records: 100,
            ..Config::default()
        };
        Collector::start(config).expect("loopback has free ports")
    })
}

/// Text for a person: whatever a client sends, it cannot move the cursor or forge a line of its own.
struct Text;

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).expect("the output is text");
        let control = text.chars().find(|char| char.is_control() && *char != '\n');
        assert_eq!(control, None, "in {text:?}");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One JSON document on each line, whatever a client sends.
#[derive(Default)]
struct JsonLines(Vec<u8>);

impl Write for JsonLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            // Skipped output is announced in a line of its own.
            if line.starts_with(b"{") {
                let parsed = serde_json::from_slice::<serde_json::Value>(&line);
                assert!(
                    parsed.is_ok(),
                    "{parsed:?} in {}",
                    String::from_utf8_lossy(&line)
                );
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
