//! Sends arbitrary bodies over OTLP/HTTP. Each must get a response that OTLP defines.
//!
//! The first byte selects the signal, and whether the body is sent plain, plain but declared as gzip, or compressed.
#![no_main]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use collector::Collector;
use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 3] = ["/v1/metrics", "/v1/logs", "/v1/traces"];

static STATE: OnceLock<Mutex<State>> = OnceLock::new();

struct State {
    _collectors: [Collector; 2],
    clients: [Client; 2],
}

fuzz_target!(init: fuzz::seeds::write(fuzz::messages), |bytes: &[u8]| {
    let Some((choice, body)) = bytes.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let (body, encoding) = match choice / 3 % 3 {
        0 => (body.to_vec(), ""),
        1 => (body.to_vec(), "Content-Encoding: gzip\r\n"),
        _ => (gzip(body), "Content-Encoding: gzip\r\n"),
    };
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: fuzz\r\nContent-Type: application/x-protobuf\r\n{encoding}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let state = STATE.get_or_init(|| Mutex::new(State::start()));
    let mut state = state.lock().expect("a panic ends the process");
    let statuses = state
        .clients
        .each_mut()
        .map(|client| client.exchange(&request));
    assert!(
        [200, 400, 413].contains(&statuses[0]),
        "HTTP {}",
        statuses[0]
    );
    assert_eq!(statuses[0], statuses[1]);
});

impl State {
    fn start() -> Self {
        let collectors = fuzz::collectors();
        let clients = collectors
            .each_ref()
            .map(|collector| Client::of(collector.http_addr()));
        Self {
            _collectors: collectors,
            clients,
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

/// A keep-alive connection.
struct Client {
    addr: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    fn of(addr: SocketAddr) -> Self {
        Self { addr, stream: None }
    }

    /// Sends a request and returns the status of the response.
    fn exchange(&mut self, request: &[u8]) -> u16 {
        let mut stream = self.stream.take().unwrap_or_else(|| self.connect());
        stream
            .write_all(request)
            .expect("the collector reads the request");
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let count = match stream.read(&mut chunk) {
                // Interrupted by the fuzzer's alarm signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.expect("the collector answers in time"),
            };
            assert!(
                count > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&received)
            );
            received.extend_from_slice(&chunk[..count]);
            let end = received.windows(4).position(|window| window == b"\r\n\r\n");
            let Some(end) = end else { continue };
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length =
                field("content-length: ").map_or(0, |length| length.parse().expect("a number"));
            if received.len() - (end + 4) >= length {
                if field("connection: close").is_none() {
                    self.stream = Some(stream);
                }
                return head
                    .split(' ')
                    .nth(1)
                    .and_then(|status| status.parse().ok())
                    .expect("a status");
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("the collector accepts");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("the time is not zero");
        stream
    }
}
