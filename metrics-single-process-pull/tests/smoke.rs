//! The program answers, and counts what it answered. Everything that it needs is here, so that the test can be copied with
//! the crate.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The program as a process, killed when the test ends.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start() -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metrics-single-process-pull"))
            .env_remove("METRICS_PORT")
            .env("BIND_HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("ERROR_RATE", "0")
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("there is no stderr")?;
        let mut running = Self {
            child,
            address: String::new(),
        };
        // The live view may come first.
        let lines = BufReader::new(stderr).lines().map_while(|line| line.ok());
        let mut ready = lines.filter(|line| line.contains("ready on http://"));
        let line = ready.next().ok_or("it was never ready")?;
        let (_, rest) = line.split_once("ready on http://").ok_or(line.clone())?;
        let (address, _) = rest.split_once(',').ok_or(line.clone())?;
        running.address = address.to_owned();
        Ok(running)
    }

    /// The response to a `GET`, head and body.
    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails only if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_answered_is_counted() -> Result<()> {
    let running = Running::start()?;
    for _ in 0..3 {
        assert!(running.get("/")?.contains("Hello from"));
    }
    let metrics = running.get("/metrics")?;
    assert!(metrics.contains("\nnum_requests_total 3\n"), "{metrics}");
    assert!(metrics.contains("\nerror_count_total 0\n"), "{metrics}");
    Ok(())
}
