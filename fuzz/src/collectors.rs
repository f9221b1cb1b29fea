//! Real collectors whose output is checked.

use std::io::{self, Write};

use collector::{Collector, Config, Format};

/// Starts one collector that prints text and one that prints JSON. Both outputs are checked.
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

/// Checks the text output: no request data may move the cursor or forge a line.
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

/// Checks the JSON output: each line must be one JSON document.
#[derive(Default)]
struct JsonLines(Vec<u8>);

impl Write for JsonLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            // A notice about skipped output is not JSON.
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
