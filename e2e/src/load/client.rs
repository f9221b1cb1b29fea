//! One connection of the load, and what its failures mean.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout_at},
};

use tokio_util::either::Either;

use super::report::{Failure, Kind};
use crate::{Address, http::Answer};

/// How long to wait for a free local port when all are in TIME_WAIT, or for a place in a Unix domain socket's queue.
const PLACE_WAIT: Duration = Duration::from_millis(20);

/// A connection, and what is known of its other end.
pub(super) struct Client {
    stream: Either<TcpStream, UnixStream>,
    port: u16,
    /// Whether it has answered before.
    answered: bool,
    /// The process that did.
    pid: Option<u32>,
    received: Vec<u8>,
}

impl Client {
    /// Connects. A lack of local ports is the load's own affair, so it is waited out; and so is a full queue, which for
    /// a port the kernel waits out.
    pub(super) async fn connect(address: &Address, deadline: Instant) -> Result<Self, Failure> {
        let failure = |kind, reason: String| Failure {
            kind,
            port: 0,
            pid: None,
            reason,
        };
        loop {
            match timeout_at(deadline, connect(address)).await {
                Ok(Ok(stream)) => return Ok(Self::new(stream)),
                Ok(Err(error))
                    if matches!(
                        error.kind(),
                        io::ErrorKind::AddrNotAvailable | io::ErrorKind::WouldBlock
                    ) =>
                {
                    sleep(PLACE_WAIT).await;
                }
                Ok(Err(error)) => return Err(failure(Kind::Refused, error.to_string())),
                Err(_) => return Err(failure(Kind::TimedOut, "no connection".to_owned())),
            }
        }
    }

    fn new(stream: Either<TcpStream, UnixStream>) -> Self {
        let port = match &stream {
            Either::Left(stream) => {
                // Without it the load measures Nagle's algorithm; where it cannot be set, only latency suffers.
                let _ = stream.set_nodelay(true);
                stream.local_addr().map_or(0, |addr| addr.port())
            }
            Either::Right(_) => 0,
        };
        Self {
            stream,
            port,
            answered: false,
            pid: None,
            received: Vec::new(),
        }
    }

    /// Sends one request and waits for the whole response.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        match timeout_at(deadline, self.try_exchange(request)).await {
            Ok(Ok(answer)) => {
                self.answered = true;
                self.pid = answer.pid.or(self.pid);
                Ok(answer)
            }
            Ok(Err(reason)) => Err(self.failure(self.kind(), reason)),
            Err(_) => Err(self.failure(Kind::TimedOut, "no whole response".to_owned())),
        }
    }

    async fn try_exchange(&mut self, request: &[u8]) -> Result<Answer, String> {
        self.received.clear();
        // An error of the write is not the last word: the server may have answered before it closed.
        let written = self.stream.write_all(request).await;
        loop {
            if let Some((answer, length)) =
                Answer::parse(&self.received).map_err(|error| format!("{error:#}"))?
            {
                if length < self.received.len() {
                    return Err("more than one response".to_owned());
                }
                return Ok(answer);
            }
            match (self.stream.read_buf(&mut self.received).await, &written) {
                (Ok(0), Ok(())) => return Err("the end".to_owned()),
                (Ok(0), Err(error)) => return Err(format!("cannot send: {error}")),
                (Ok(_), _) => {}
                (Err(error), _) => return Err(error.to_string()),
            }
        }
    }

    /// What a connection that broke during a request means.
    fn kind(&self) -> Kind {
        match (self.received.is_empty(), self.answered) {
            (false, _) => Kind::Partial,
            (true, true) => Kind::Reused,
            (true, false) => Kind::Fresh,
        }
    }

    fn failure(&self, kind: Kind, reason: String) -> Failure {
        Failure {
            kind,
            port: self.port,
            pid: self.pid,
            reason,
        }
    }

    /// Waits until the server closes the connection, as it has announced, and tells whether it did so cleanly.
    pub(super) async fn closes_cleanly(mut self, deadline: Instant) -> bool {
        let mut byte = [0];
        matches!(
            timeout_at(deadline, self.stream.read(&mut byte)).await,
            Ok(Ok(0))
        )
    }
}

async fn connect(address: &Address) -> io::Result<Either<TcpStream, UnixStream>> {
    match address {
        Address::Tcp(address) => TcpStream::connect(address).await.map(Either::Left),
        Address::Unix(path) => UnixStream::connect(path).await.map(Either::Right),
    }
}
