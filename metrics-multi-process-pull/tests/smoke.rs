//! Starts the program as a user would, and asks it over and over.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with two workers, killed at the end of the test whatever happens.
/// Its workers go when it is gone.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metrics-multi-process-pull"))
            .env_remove("PROMETHEUS_MULTIPROC_DIR")
            .env_remove("METRICS_PORT")
            .env_remove("RUST_LOG")
            .envs([
                ("BIND_HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("WEB_CONCURRENCY", "2"),
                ("ERROR_RATE", "0"),
            ])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        // The live view may come first.
        let ready = |line: &String| line.contains("ready on http://");
        let line = stderr.by_ref().lines().map_while(Result::ok).find(ready);
        let line = line.unwrap_or_default();
        // What comes after the ready line is read, so that the pipe never fills up.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let address = line.split_once("ready on http://").map(|(_, rest)| {
            let (address, _) = rest.split_once(',').unwrap();
            address.to_owned()
        });
        let Some(address) = address else {
            let _ = child.kill();
            panic!("no ready line: {line}");
        };
        Self { child, address }
    }

    /// The status and the body of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = &self.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn any_worker_answers_a_scrape_with_the_sum_over_all() {
    let mut program = Program::start();
    let mut pids = Vec::new();
    let mut requests = 0;
    // New connections go to either worker at random.
    let deadline = Instant::now() + PATIENCE;
    while pids.len() < 2 || requests < 20 {
        assert!(Instant::now() < deadline, "one worker gets everything");
        let (status, body) = program.get("/");
        assert_eq!(status, 200);
        assert!(body.starts_with("Hello from "), "{body}");
        requests += 1;
        if !pids.contains(&body) {
            pids.push(body);
        }
        let (status, text) = program.get("/metrics");
        assert_eq!(status, 200);
        let line = format!("num_requests_total {requests}.0");
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert_eq!(program.get("/healthz").0, 200);

    let pid = program.child.id().to_string();
    let sent = Command::new("kill").arg(&pid).status().unwrap();
    assert!(sent.success());
    assert_eq!(program.wait(), Some(0));
}
