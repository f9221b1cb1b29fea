//! One connection of the load, and the classification of its failures.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout_at},
};

use tokio_util::either::Either;

use super::report::{Failure, Kind};
use crate::{Address, http::Answer};

/// How long to wait for a free local port if all are in TIME_WAIT, or for room in the queue of a Unix domain socket.
const PLACE_WAIT: Duration = Duration::from_millis(20);

/// A connection, and information about the server's side.
pub(super) struct Client {
    stream: Either<TcpStream, UnixStream>,
    port: u16,
    /// Whether the server has answered on this connection.
    answered: bool,
    /// The process that answered.
    pid: Option<u32>,
    received: Vec<u8>,
}

impl Client {
    /// Connects. Retries if there is no free local port, which is not the server's fault. Also retries if the queue of a
    /// Unix domain socket is full; for TCP the kernel retries itself.
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
                // Nagle's algorithm would distort latencies. If the option cannot be set, the load still works.
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

    /// Sends one request and waits for the complete response.
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
        // Read even after a failed write: the server may have answered before it closed the connection.
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

    /// Classifies a connection that failed during a request.
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

    /// Waits until the server closes the connection, as announced. Returns whether it closed without a reset.
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
