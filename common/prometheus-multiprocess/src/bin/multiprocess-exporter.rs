//! Serves `/metrics` of a metrics directory, for example beside a gunicorn service.
//!
//!     multiprocess-exporter [--dir DIR] [--host HOST] [--port PORT | --uds PATH]
//!
//! The service and its directory stay as they are. Anybody who can connect can read the metrics, so
//! the default is the loopback address.

use std::{
    env,
    error::Error,
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::FileTypeExt,
        net::{UnixListener, UnixStream},
    },
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use prometheus_multiprocess::{CONTENT_TYPE, DIRECTORY_VARIABLE, MultiProcessCollector};

const USAGE: &str =
    "usage: multiprocess-exporter [--dir DIR] [--host HOST] [--port PORT | --uds PATH]

  --dir DIR    metrics directory [env: PROMETHEUS_MULTIPROC_DIR]
  --host HOST  address to listen on [default: 127.0.0.1]
  --port PORT  port from 0 to 65535, 0 takes a free one [default: 9100]
  --uds PATH   Unix domain socket to listen on instead";

/// Connections that are served at once; further ones wait in the backlog.
const THREADS: usize = 16;
/// A client has this long for its request, and for reading the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the head of a request.
const MAX_HEAD: usize = 8192;

struct Options {
    directory: String,
    host: String,
    port: u16,
    uds: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match parse(&arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        directory: env::var(DIRECTORY_VARIABLE).unwrap_or_default(),
        host: "127.0.0.1".to_owned(),
        port: 9100,
        uds: None,
    };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (flag.as_str(), rest.next().cloned()),
        };
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| format!("{flag}: expected a value; see --help"));
        match flag {
            "--dir" => options.directory = value?,
            "--host" => options.host = value?,
            "--uds" => options.uds = Some(value?),
            "--port" => {
                let value = value?;
                let expected = |_| format!("--port {value}: expected a number from 0 to 65535");
                options.port = value.parse().map_err(expected)?;
            }
            _ => return Err(format!("{flag}: no such option; see --help")),
        }
    }
    if options.directory.is_empty() {
        return Err(format!(
            "set --dir or {DIRECTORY_VARIABLE} to the metrics directory"
        ));
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let collector = MultiProcessCollector::new(&options.directory)?;
    if let Some(path) = &options.uds {
        let listener = bind(path).map_err(|error| format!("--uds {path}: {error}"))?;
        eprintln!("serving /metrics of {} on {path}", options.directory);
        serve(&collector, || listener.accept().map(|(stream, _)| stream));
    } else {
        let address = (options.host.as_str(), options.port);
        let failed = |error| format!("--host {} --port {}: {error}", address.0, address.1);
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr()?;
        eprintln!("serving {} on http://{address}/metrics", options.directory);
        serve(&collector, || listener.accept().map(|(stream, _)| stream));
    }
    Ok(())
}

/// Binds a socket, also where one was left by a program that was killed.
fn bind(path: &str) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refuses = |error: &io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if is_socket
        && UnixStream::connect(path)
            .err()
            .as_ref()
            .is_some_and(refuses)
    {
        fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// Answers connections for ever.
fn serve<S: Stream>(collector: &MultiProcessCollector, accept: impl Fn() -> io::Result<S> + Sync) {
    let work = || loop {
        match accept() {
            // A client that goes away hears nothing more.
            Ok(mut stream) => drop(answer(&mut stream, collector)),
            // Out of descriptors, most likely.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
}

fn answer(stream: &mut impl Stream, collector: &MultiProcessCollector) -> io::Result<()> {
    let head = read_head(stream)?;
    let mut words = head.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next();
    let mut body = String::new();
    let status = match (method, path) {
        ("GET" | "HEAD", Some("/metrics")) => match collector.encode_text(&mut body) {
            Ok(()) => "200 OK",
            Err(_) => "500 Internal Server Error",
        },
        (_, Some("/metrics")) => "405 Method Not Allowed\r\nAllow: GET, HEAD",
        _ => "404 Not Found",
    };
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    if method != "HEAD" {
        response.push_str(&body);
    }
    stream.limit(TIMEOUT)?;
    stream.write_all(response.as_bytes())
}

/// Reads the head of a request, in the time that a client has for it.
fn read_head(stream: &mut impl Stream) -> io::Result<String> {
    let end = Instant::now() + TIMEOUT;
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        // A timeout of zero is none.
        stream.limit(left.max(Duration::from_millis(1)))?;
        match stream.read(&mut bytes)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ if left.is_zero() || head.len() > MAX_HEAD => return Err(ErrorKind::TimedOut.into()),
            read => head.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A connection of either family.
trait Stream: Read + Write {
    /// Limits the time of each read and write.
    fn limit(&self, time: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Stream for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}
