//! A minimal HTTP/1.1 client that controls every byte sent and sees every byte received.
//!
//! A client library hides what the tests are about: half a request, a connection that is reset or closed cleanly, and in
//! which of its states. Responses are parsed by `httparse`.

use std::{
    fmt,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use anyhow::{Context, Result, bail};

use crate::{Address, poll::SOON};

/// Maximum number of header lines. The programs send fewer than ten.
const HEADERS: usize = 64;

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names, in lower case, and values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body. Invalid UTF-8 is replaced.
    pub body: String,
}

impl Response {
    /// Parses a response at the start of `bytes`, and returns it with its length. `None` means that it is incomplete.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not HTTP, or have no `Content-Length`, which the programs always send.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let Some(frame) = Frame::parse(bytes, &mut headers)? else {
            return Ok(None);
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers = frame.headers.iter();
        let response = Self {
            status: frame.status,
            headers: headers
                .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
                .collect(),
            body: text(frame.body),
        };
        Ok(Some((response, frame.length)))
    }

    /// The value of the first header with this name, which must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(header, _)| header == name)?;
        Some(value)
    }

    /// Whether the response has `Connection: close`.
    pub fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The pid of the server, if the body is `Hello from PID!`.
    pub fn pid(&self) -> Option<u32> {
        pid(self.body.as_bytes())
    }
}

/// The parts of a response that a load needs. Parsing it allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) pid: Option<u32>,
}

impl Answer {
    /// Like [`Response::parse`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let frame = Frame::parse(bytes, &mut headers)?;
        Ok(frame.map(|frame| {
            let closes = |value: &[u8]| value.eq_ignore_ascii_case(b"close");
            let answer = Self {
                status: frame.status,
                closes: header(frame.headers, "connection").is_some_and(closes),
                pid: pid(frame.body),
            };
            (answer, frame.length)
        }))
    }
}

/// A complete response in the receive buffer.
struct Frame<'a> {
    status: u16,
    headers: &'a [httparse::Header<'a>],
    body: &'a [u8],
    /// Length of head and body in bytes.
    length: usize,
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8], headers: &'a mut [httparse::Header<'a>]) -> Result<Option<Self>> {
        let mut head = httparse::Response::new(headers);
        let parsed = head.parse(bytes).context("this is not HTTP")?;
        let httparse::Status::Complete(start) = parsed else {
            return Ok(None);
        };
        let length =
            header(head.headers, "content-length").context("there is no Content-Length")?;
        let length = str::from_utf8(length)?.parse::<usize>();
        let length = start.saturating_add(length.context("Content-Length is no number")?);
        Ok(bytes.get(start..length).map(|body| Self {
            status: head.code.unwrap_or_default(),
            headers: head.headers,
            body,
            length,
        }))
    }
}

fn header<'a>(headers: &'a [httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    let mut headers = headers.iter();
    let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(header.value)
}

fn pid(body: &[u8]) -> Option<u32> {
    let pid = body.strip_prefix(b"Hello from ")?.strip_suffix(b"!")?;
    str::from_utf8(pid).ok()?.parse().ok()
}

/// Sends one `GET` on a new connection.
///
/// # Errors
///
/// Those of [`request`].
pub fn get(address: impl Into<Address>, path: &str) -> Result<Response> {
    request(address, "GET", path)
}

/// Sends a `GET` with HTTP/1.0 and returns the body, for any status. With HTTP/1.0 the body ends with the connection and
/// is not chunked.
///
/// # Errors
///
/// Returns an error if the server is unreachable or does not answer with HTTP.
pub fn get_until_close(address: impl Into<Address>, path: &str) -> Result<String> {
    let address = address.into();
    let mut connection = Connection::open(address.clone())?;
    connection.send(&format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))?;
    let mut answer = String::new();
    connection.stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n");
    let (_, body) = body.with_context(|| format!("this is not HTTP: {answer:?}"))?;
    Ok(body.to_owned())
}

/// Sends one request on a new connection.
///
/// # Errors
///
/// Returns an error if the server is unreachable or does not send a complete response.
pub fn request(address: impl Into<Address>, method: &str, path: &str) -> Result<Response> {
    let address = address.into();
    let mut connection = Connection::open(address.clone())?;
    connection.send(&format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    ))?;
    connection.receive()
}

trait Stream: Read + Write + fmt::Debug + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

fn connect(address: &Address) -> Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, SOON)
                .with_context(|| format!("cannot connect to {address}"))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SOON))?;
            stream.set_write_timeout(Some(SOON))?;
            Ok(Box::new(stream))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)
                .with_context(|| format!("cannot connect to {}", path.display()))?;
            stream.set_read_timeout(Some(SOON))?;
            stream.set_write_timeout(Some(SOON))?;
            Ok(Box::new(stream))
        }
    }
}

/// A connection that a test uses step by step. Reads and writes time out after [`SOON`].
#[derive(Debug)]
pub struct Connection {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not accept.
    pub fn open(address: impl Into<Address>) -> Result<Self> {
        Ok(Self {
            stream: connect(&address.into())?,
            received: Vec::new(),
        })
    }

    /// Sends any bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the server has closed the connection.
    pub fn send(&mut self, bytes: &str) -> Result<()> {
        self.stream
            .write_all(bytes.as_bytes())
            .context("cannot send")
    }

    /// Sends a `GET` that keeps the connection open.
    ///
    /// # Errors
    ///
    /// Returns an error if the server has closed the connection.
    pub fn send_get(&mut self, path: &str) -> Result<()> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Waits for one complete response.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection ends or [`SOON`] passes first.
    pub fn receive(&mut self) -> Result<Response> {
        loop {
            if let Some((response, length)) = Response::parse(&self.received)? {
                self.received.drain(..length);
                return Ok(response);
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).with_context(|| {
                format!("no whole response after {} bytes", self.received.len())
            })?;
            if count == 0 {
                bail!(
                    "the connection ended after {} bytes of a response",
                    self.received.len()
                );
            }
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Waits until the server closes the connection without sending more data.
    ///
    /// # Errors
    ///
    /// Returns an error if the server sends data, if it resets the connection, or if [`SOON`] passes.
    pub fn wait_closed(&mut self) -> Result<()> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) if self.received.is_empty() => Ok(()),
            Ok(_) => bail!("the server sent more data instead of closing"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                bail!("still open after {SOON:?}")
            }
            Err(error) => Err(error).context("no clean close"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: Close\r\n\r\nHello from 42!HTTP";

    #[test]
    fn a_response_ends_where_its_length_says() {
        let (response, length) = Response::parse(RESPONSE).unwrap().unwrap();
        assert_eq!((response.status, response.pid()), (200, Some(42)));
        assert!(response.closes());
        let (answer, same_length) = Answer::parse(RESPONSE).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.pid, answer.closes, same_length),
            (200, Some(42), true, length)
        );
        assert_eq!(&RESPONSE[length..], b"HTTP");
    }

    #[test]
    fn every_beginning_of_a_response_waits_for_more() {
        let whole = RESPONSE.len() - "HTTP".len();
        for length in 0..whole {
            assert_eq!(
                Response::parse(&RESPONSE[..length]).unwrap(),
                None,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_response_without_a_length_is_an_error() {
        assert!(Response::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Response::parse(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
    }
}
