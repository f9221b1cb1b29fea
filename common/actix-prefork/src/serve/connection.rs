//! The stream of a connection: it does not wait for its client for ever, and does not close
//! as idle while a request is on its way.

use std::{
    future::Future as _,
    io,
    os::fd::RawFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::KeepAlive;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take},
    time::{Instant, Sleep, sleep},
};

use super::{
    exchange::{Exchange, Phase},
    patience::Patience,
    settings::{Settings, Timeouts},
};

/// How often a connection looks at its limits.
const TICK: Duration = Duration::from_secs(1);

/// How long a connection that was refused stays open so that the client can read why.
const LINGER: Duration = Duration::from_secs(1);

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection of one client.
pub(crate) struct Connection<T> {
    /// Limits each read to what the exchange has room for.
    stream: Take<T>,
    /// That of the stream, which is open for as long.
    descriptor: RawFd,
    exchange: Rc<Exchange>,
    /// How long it may be idle between two requests, if that is limited.
    keep_alive: Option<Duration>,
    timeouts: Timeouts,
    /// Wakes the connection to look at its limits.
    tick: Pin<Box<Sleep>>,
    /// Whether the tick knows whom to wake.
    is_ticking: bool,
    sending: Patience,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A part of a head was read that may be all of it.
    Full,
    /// No more is read.
    Closed,
    /// As `Closed`, and the client was told why. What it still sends is thrown away for
    /// a moment, since a reset would overtake the answer.
    Refused,
}

impl<T: AsyncRead> Connection<T> {
    pub(crate) fn new(
        stream: T,
        descriptor: RawFd,
        exchange: Rc<Exchange>,
        settings: &Settings,
    ) -> Self {
        Self {
            stream: stream.take(0),
            descriptor,
            exchange,
            keep_alive: match settings.keep_alive {
                KeepAlive::Timeout(time) => Some(time),
                KeepAlive::Os | KeepAlive::Disabled => None,
            },
            timeouts: settings.timeouts,
            tick: Box::pin(sleep(TICK)),
            is_ticking: false,
            sending: Patience::new(settings.timeouts.send),
            state: State::Open,
        }
    }

    pub(crate) fn stream(&self) -> &T {
        self.stream.get_ref()
    }

    pub(crate) fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Whether nothing more is read.
    fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Refused)
    }

    fn writer(&mut self) -> Pin<&mut T> {
        Pin::new(self.stream.get_mut())
    }

    /// Reads no more for now: the service has enough to do.
    fn wait_for_service(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.exchange.park(cx, true);
        if self.exchange.phase() == Phase::Service {
            return Poll::Pending;
        }
        // Whoever reads decodes what there is before it reads again.
        if self.state == State::Open {
            self.state = State::Full;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.exchange.extend_head() {
            self.state = State::Open;
        } else {
            self.refuse(cx, TOO_LARGE);
        }
        Poll::Ready(())
    }

    /// Waits for the client, and is ready when that has been for too long.
    fn wait_for_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let phase = self.exchange.phase();
        let closes_idle = self.exchange.closes_idle();
        let ticks = self.tick(cx, phase);
        let waits_for_service = phase == Phase::Service && (closes_idle || !ticks);
        self.exchange.park(cx, waits_for_service);
        match phase {
            Phase::Idle if closes_idle || self.is_time_over(phase) => {
                // A request may have come that the runtime does not know of yet, to a
                // process that was stopped for a while or a thread that was blocked.
                if self.has_more() {
                    return Poll::Pending;
                }
                self.state = State::Closed;
            }
            Phase::Head if self.is_time_over(phase) => self.refuse(cx, TOO_SLOW),
            Phase::Discard if self.is_time_over(phase) => self.state = State::Closed,
            _ => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Sees to it that the connection looks at its limits, where it has any, and says
    /// whether it will.
    fn tick(&mut self, cx: &mut Context<'_>, phase: Phase) -> bool {
        if self.tick.is_elapsed() {
            if phase == Phase::Service {
                return false;
            }
            self.tick.as_mut().reset(Instant::now() + TICK);
            self.is_ticking = false;
        }
        // Once is enough, since a task has the same waker for life.
        if !std::mem::replace(&mut self.is_ticking, true) {
            let _ = self.tick.as_mut().poll(cx);
        }
        true
    }

    fn is_time_over(&self, phase: Phase) -> bool {
        let limit = match phase {
            Phase::Idle if self.exchange.has_had_a_request() => self.keep_alive,
            _ => Some(self.timeouts.head).filter(|time| !time.is_zero()),
        };
        limit.is_some_and(|limit| self.exchange.age() >= limit)
    }

    fn has_more(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.descriptor, &mut [0], flags) != Err(Errno::EAGAIN)
    }

    fn refuse(&mut self, cx: &mut Context<'_>, answer: &[u8]) {
        // There is room for it where no other answer waits, and if there is not, the
        // client does not read.
        let _ = self.writer().poll_write(cx, answer);
        self.state = State::Refused;
        self.tick.as_mut().reset(Instant::now() + LINGER);
    }

    /// Throws away what the client sends until it ends or the time is over.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut thrown = [0; 4096];
        self.stream.set_limit(u64::MAX);
        loop {
            let mut buffer = ReadBuf::new(&mut thrown);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.tick.as_mut().poll(cx),
            }
        }
    }

    /// What a write has come to, which is an error if the client reads too slowly.
    fn sent(
        &mut self,
        cx: &mut Context<'_>,
        sent: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(Ok(bytes)) => self.sending.went_on(bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.sending.wait(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        sent
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_over() && this.exchange.room() == 0 {
            ready!(this.wait_for_service(cx));
        }
        if this.is_over() {
            return Poll::Ready(Ok(()));
        }
        this.state = State::Open;
        let before = buffer.filled().len();
        this.stream.set_limit(this.exchange.room() as u64);
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending => this.wait_for_client(cx).map(Ok),
            read => {
                this.exchange.read(buffer.filled().len() - before);
                read
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = this.writer().poll_write(cx, bytes);
        this.sent(cx, sent)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = this.writer().poll_write_vectored(cx, bytes);
        this.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.writer().poll_shutdown(cx))?;
        if this.state == State::Refused {
            ready!(this.linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
