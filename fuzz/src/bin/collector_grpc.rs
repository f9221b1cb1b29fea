//! Sends arbitrary messages over OTLP/gRPC. Each must get a status that OTLP defines.
//!
//! The first byte selects the signal, whether the message is declared as gzip, and whether the remaining bytes are framed
//! for gRPC or sent as raw frames.
#![no_main]

use std::{
    net::SocketAddr,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use collector::Collector;
use h2::client::{self, SendRequest};
use http::Request;
use libfuzzer_sys::fuzz_target;
use tokio::{
    net::TcpStream,
    runtime::{self, Runtime},
    time::timeout,
};

const PATHS: [&str; 3] = [
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
];

/// Timeout for a response.
const PATIENCE: Duration = Duration::from_secs(15);

/// OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED (for an unsupported compression).
const STATUSES: [&str; 4] = ["0", "3", "8", "12"];

static STATE: OnceLock<Mutex<State>> = OnceLock::new();

struct State {
    runtime: Runtime,
    _collectors: [Collector; 2],
    addrs: [SocketAddr; 2],
    connections: [Option<SendRequest<Bytes>>; 2],
}

fuzz_target!(init: fuzz::seeds::write(fuzz::messages), |bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let is_gzip = choice / 3 % 2 == 1;
    let message = if choice / 6 % 4 == 3 {
        Bytes::copy_from_slice(rest)
    } else {
        framed(rest, is_gzip)
    };
    let state = STATE.get_or_init(|| Mutex::new(State::start()));
    let mut state = state.lock().expect("a panic ends the process");
    for collector in 0..2 {
        let status = state.call(collector, path, is_gzip, message.clone());
        assert!(STATUSES.contains(&&*status), "gRPC status {status}");
    }
});

/// Adds the gRPC prefix, a flag and a length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut frame = vec![u8::from(is_compressed)];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

impl State {
    fn start() -> Self {
        let collectors = fuzz::collectors();
        Self {
            runtime: runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("there are descriptors left"),
            addrs: collectors.each_ref().map(Collector::grpc_addr),
            _collectors: collectors,
            connections: [None, None],
        }
    }

    /// The `grpc-status` of a call.
    fn call(
        &mut self,
        collector: usize,
        path: &'static str,
        is_gzip: bool,
        message: Bytes,
    ) -> String {
        let addr = self.addrs[collector];
        let connection = &mut self.connections[collector];
        let call = async {
            let sender = match connection.take() {
                Some(sender) => sender,
                None => connect(addr).await,
            };
            let mut sender = sender.ready().await.expect("the connection is open");
            let mut request = Request::post(format!("http://{addr}{path}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            if is_gzip {
                request = request.header("grpc-encoding", "gzip");
            }
            let request = request.body(()).expect("all parts are valid");
            let (response, mut body) = sender
                .send_request(request, false)
                .expect("a request can be sent");
            // The collector may have refused and reset the stream already.
            let _ = body.send_data(message, true);
            let (head, mut body) = response.await.expect("there is an answer").into_parts();
            let mut status = head.headers.get("grpc-status").cloned();
            while let Some(chunk) = body.data().await {
                let length = chunk.expect("the answer is whole").len();
                let _ = body.flow_control().release_capacity(length);
            }
            if let Some(trailers) = body.trailers().await.expect("the answer is whole") {
                status = trailers.get("grpc-status").cloned().or(status);
            }
            *connection = Some(sender);
            let status = status.expect("an answer of gRPC has a status");
            status.to_str().expect("a status is a number").to_owned()
        };
        self.runtime
            .block_on(async { timeout(PATIENCE, call).await })
            .expect("there is an answer in time")
    }
}

async fn connect(addr: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr)
        .await
        .expect("the collector accepts");
    stream.set_nodelay(true).expect("it is a TCP socket");
    let (sender, connection) = client::handshake(stream)
        .await
        .expect("the collector speaks HTTP/2");
    tokio::spawn(async move {
        // The next request on this connection reports an error.
        let _ = connection.await;
    });
    sender
}
