//! Serves `/metrics` of a directory that other programs write to, such as a Python service under
//! gunicorn, uwsgi or celery, which stays as it is.

use std::{
    convert::Infallible,
    env, fs, io,
    os::unix::{fs::FileTypeExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_exposition::{Answer, Request as Wanted};
use prometheus_multiprocess::{DIRECTORY_VARIABLE, MultiProcessCollector};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    runtime,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    time::sleep,
};

/// Connections at a time; further ones wait in the queue of the socket.
const CONNECTIONS: usize = 64;

/// The time for the head of a request. A slow client must not keep a place.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The pause after an error of accept(2), such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves /metrics of a directory in the multiprocess format of Python's prometheus_client.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Directory with the metric files; it may be created later [env: PROMETHEUS_MULTIPROC_DIR].
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Address or host name to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,

    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 9464, value_parser = |text: &str| text
        .parse::<u16>()
        .map_err(|_| "expected a whole number from 0 to 65535"))]
    port: u16,

    /// Path of a Unix domain socket to listen on instead of host and port.
    #[arg(long)]
    uds: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if !error.use_stderr() => error.exit(),
        // The first paragraph has the facts.
        Err(error) => {
            let text = error.render().to_string();
            let facts = text.split("\n\n").next().unwrap_or_default();
            return fail(2, facts.trim_start_matches("error: "));
        }
    };
    let set = |path: &PathBuf| !path.as_os_str().is_empty();
    let variable = || env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from);
    let Some(directory) = options.dir.clone().or_else(variable).filter(set) else {
        let text = "is not set, expected the directory of the service's metric files";
        return fail(2, &format!("--dir ({DIRECTORY_VARIABLE}) {text}"));
    };
    match run(&options, directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

/// Prints an error on one line.
fn fail(code: u8, text: &str) -> ExitCode {
    let words: Vec<_> = text.split_whitespace().collect();
    eprintln!("error: {}", words.join(" "));
    ExitCode::from(code)
}

fn run(options: &Options, directory: PathBuf) -> io::Result<()> {
    let mut runtime = runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let metrics = MultiProcessCollector::new(&directory).map_err(io::Error::other)?;
        let listener = Listener::open(options).await?;
        let (process, shown) = (process::id(), directory.display());
        let address = listener.address()?;
        let ready = format!("ready on http://{address}, process {process}, directory {shown}");
        eprintln!("multiprocess-exporter: {ready}");
        tokio::select! {
            () = serve(&listener, metrics) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if let Some(path) = &options.uds {
            let _ = fs::remove_file(path);
        }
        Ok(())
    })
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Listener {
    async fn open(options: &Options) -> io::Result<Self> {
        let (host, port) = (options.host.as_str(), options.port);
        let (opened, asked) = match &options.uds {
            Some(path) => {
                let opened = remove_stale(path).and_then(|()| UnixListener::bind(path));
                let opened = opened.map(|listener| Self::Unix(listener, path.clone()));
                (opened, format!("--uds {}", path.display()))
            }
            None => {
                let opened = TcpListener::bind((host, port)).await;
                (
                    opened.map(Self::Tcp),
                    format!("--host {host} --port {port}"),
                )
            }
        };
        let named =
            |error: io::Error| io::Error::other(format!("cannot listen on {asked}: {error}"));
        opened.map_err(named)
    }

    fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Self::Unix(_, path) => Ok(format!("unix:{}", path.display())),
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    match UnixStream::connect(path) {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

async fn serve(listener: &Listener, metrics: MultiProcessCollector) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let metrics = metrics.clone();
        let service = service_fn(move |request| answer(request, metrics.clone()));
        tokio::spawn(async move {
            let _place = place;
            let mut http = http1::Builder::new();
            let http = http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            // An error is the client's or the network's.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    metrics: MultiProcessCollector,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let plain = |text: &str| Wanted::default().answer(text.to_owned());
    let (status, answer) = match request.uri().path() {
        "/metrics" | "/healthz" if !is_read => (StatusCode::METHOD_NOT_ALLOWED, plain("")),
        "/metrics" => {
            let header = |name| request.headers().get(name)?.to_str().ok();
            let (accept, encoding) = (header(header::ACCEPT), header(header::ACCEPT_ENCODING));
            let wanted = Wanted::new(accept, encoding, request.uri().query());
            match tokio::task::spawn_blocking(move || read(&metrics, &wanted)).await {
                Ok(Ok(answer)) => (StatusCode::OK, answer),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, plain("")),
            }
        }
        "/healthz" => (StatusCode::OK, plain("ok\n")),
        _ => (StatusCode::NOT_FOUND, plain("see /metrics\n")),
    };
    let length = answer.body.len();
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // For HEAD, too.
    headers.insert(header::CONTENT_LENGTH, length.into());
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if let Some(encoding) = answer.content_encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

fn read(metrics: &MultiProcessCollector, wanted: &Wanted) -> Result<Answer, prometheus::Error> {
    let mut text = String::new();
    metrics.encode_for(wanted.format, &mut text)?;
    Ok(wanted.answer(text))
}
