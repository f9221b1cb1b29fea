//! Accepts connections, with limits on their number and on idle time.

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use http_body_util::Either;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{Scrape, grpc, http, intake::Intake, scrape, view};

/// Maximum number of connections. Further ones wait in the kernel's queue. A worker has one
/// connection for each signal.
const MAX_CONNECTIONS: usize = 512;

/// Timeout for the first bytes of a connection.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for a complete request head. It also closes idle connections, so it is longer than the
/// default export interval of 60 s.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);

/// Interval of HTTP/2 keep-alive pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long requests in progress may take once the collector stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long an idle connection may take to close, and the last response to be sent.
const LINGER: Duration = Duration::from_millis(250);

/// Interval of the check for complete traces.
const TICK: Duration = Duration::from_millis(250);

/// Pause after a failed accept, for example if the process has no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    /// A second port for HTTP.
    view: Option<TcpListener>,
}

impl Listeners {
    /// Registers non-blocking listeners with the current runtime.
    pub(crate) fn new(
        grpc: StdTcpListener,
        http: StdTcpListener,
        view: Option<StdTcpListener>,
    ) -> io::Result<Self> {
        Ok(Self {
            grpc: TcpListener::from_std(grpc)?,
            http: TcpListener::from_std(http)?,
            view: view.map(TcpListener::from_std).transpose()?,
        })
    }
}

#[derive(Clone, Copy)]
enum Port {
    Grpc,
    Http,
}

/// Serves until `stopped` is set, then waits for requests in progress.
pub(crate) async fn serve(
    listeners: Listeners,
    scrapes: Vec<Scrape>,
    intake: Arc<Intake>,
    mut stopped: watch::Receiver<bool>,
) {
    for scrape in scrapes {
        tokio::spawn(scrape::run(scrape, Arc::clone(&intake), stopped.clone()));
    }
    let mut connections = JoinSet::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let room = connections.len() < MAX_CONNECTIONS;
        let (accepted, port) = tokio::select! {
            accepted = listeners.grpc.accept(), if room => (accepted, Port::Grpc),
            accepted = listeners.http.accept(), if room => (accepted, Port::Http),
            accepted = accept(listeners.view.as_ref()), if room => (accepted, Port::Http),
            Some(_) = connections.join_next() => continue,
            _ = tick.tick() => { intake.tick(); continue }
            () = until(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(
                    stream,
                    peer,
                    port,
                    Arc::clone(&intake),
                    stopped.clone(),
                ));
            }
            Err(err) => {
                log::warn!("cannot accept a connection: {err}; retrying");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listeners);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, drained).await.is_err() {
        log::warn!("some clients stalled and were disconnected");
    }
}

/// Never returns without a listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    port: Port,
    intake: Arc<Intake>,
    mut stopped: watch::Receiver<bool>,
) {
    let is_http2 = tokio::select! {
        is_http2 = timeout(FIRST_BYTES_TIMEOUT, starts_with_http2(&stream)) => is_http2,
        () = until(&mut stopped) => return,
    };
    let Ok(Ok(is_http2)) = is_http2 else { return };
    match port {
        Port::Grpc => {
            let answer = |request| grpc::answer(request, peer, Arc::clone(&intake));
            drive(stream, is_http2, answer, stopped).await;
        }
        Port::Http => {
            let answer = |request| answer_http(request, peer, Arc::clone(&intake));
            drive(stream, is_http2, answer, stopped).await;
        }
    }
}

/// Answers a request for the live view, or receives.
async fn answer_http(
    request: Request<Incoming>,
    peer: SocketAddr,
    intake: Arc<Intake>,
) -> Response<view::Body> {
    if intake.has_view() && view::is_for(&request) {
        return view::answer(&request, &intake);
    }
    let answer = http::answer(request, peer, intake).await;
    answer.map(Either::Left)
}

/// Whether the client uses HTTP/2 with prior knowledge, as gRPC does. Its preface starts with `PRI`;
/// no HTTP/1 method does.
async fn starts_with_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; 3];
    loop {
        match stream.peek(&mut start).await? {
            0 => return Ok(false),
            seen if start[..seen] != b"PRI"[..seen] => return Ok(false),
            3 => return Ok(true),
            // After a partial preface the socket stays readable, so waiting for it would spin.
            _ => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the collector was dropped, which also means stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Answers the requests of one connection. An error closes only this connection.
async fn drive<A, F, B>(
    stream: TcpStream,
    is_http2: bool,
    answer: A,
    mut stopped: watch::Receiver<bool>,
) where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(stream);
    // One reference here, one in the service, and one in each request in progress.
    let in_flight = Arc::new(());
    let counted = Arc::clone(&in_flight);
    let service = service_fn(move |request| {
        let response = answer(request);
        let counted = Arc::clone(&counted);
        async move {
            let response = response.await;
            drop(counted);
            Ok::<_, Infallible>(response)
        }
    });
    let is_idle = || Arc::strong_count(&in_flight) <= 2;
    // Written twice because the two connection types have no common trait.
    if is_http2 {
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .max_concurrent_streams(64)
                .serve_connection(io, service)
        );
        tokio::select! {
            _ = connection.as_mut() => {}
            () = until(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                wind_down(connection, is_idle).await;
            }
        }
    } else {
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(io, service)
        );
        tokio::select! {
            _ = connection.as_mut() => {}
            () = until(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                wind_down(connection, is_idle).await;
            }
        }
    }
}

/// Waits until a connection has shut down. Does not wait for a client that only keeps it open.
async fn wind_down(mut connection: impl Future + Unpin, is_idle: impl Fn() -> bool) {
    while timeout(LINGER, &mut connection).await.is_err() && !is_idle() {}
}
