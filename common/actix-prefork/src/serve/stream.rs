//! The kinds of streams that a connection may have.

use std::{
    any::Any,
    io,
    net::SocketAddr,
    os::fd::{AsRawFd as _, RawFd},
};

use actix_http::Protocol;
use actix_web::rt::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::settings::Settings;

/// A stream of either kind of socket.
pub(crate) type Socket = Either<TcpStream, UnixStream>;

/// What HTTP is spoken over.
#[cfg(not(feature = "rustls-0_23"))]
pub(crate) type Stream = Socket;
#[cfg(feature = "rustls-0_23")]
pub(crate) type Stream = Either<Socket, Box<tokio_rustls::server::TlsStream<Socket>>>;

pub(crate) fn descriptor(socket: &Socket) -> RawFd {
    match socket {
        Either::Left(stream) => stream.as_raw_fd(),
        Either::Right(stream) => stream.as_raw_fd(),
    }
}

pub(crate) fn peer(socket: &Socket) -> Option<SocketAddr> {
    match socket {
        Either::Left(stream) => stream.peer_addr().ok(),
        Either::Right(_) => None,
    }
}

fn socket_as_any(socket: &Socket) -> &dyn Any {
    match socket {
        Either::Left(stream) => stream,
        Either::Right(stream) => stream,
    }
}

/// The stream as a hook sees it.
#[cfg(not(feature = "rustls-0_23"))]
pub(crate) fn as_any(stream: &Stream) -> &dyn Any {
    socket_as_any(stream)
}

#[cfg(feature = "rustls-0_23")]
pub(crate) fn as_any(stream: &Stream) -> &dyn Any {
    match stream {
        Either::Left(socket) => socket_as_any(socket),
        Either::Right(stream) => &**stream,
    }
}

/// Does what comes before HTTP.
#[cfg(not(feature = "rustls-0_23"))]
pub(crate) async fn handshake(socket: Socket, _: &Settings) -> io::Result<(Stream, Protocol)> {
    Ok((socket, Protocol::Http1))
}

#[cfg(feature = "rustls-0_23")]
pub(crate) async fn handshake(
    socket: Socket,
    settings: &Settings,
) -> io::Result<(Stream, Protocol)> {
    let Some(tls) = &settings.tls else {
        return Ok((Either::Left(socket), Protocol::Http1));
    };
    let stream = tokio::time::timeout(settings.tls_handshake_timeout, tls.accept(socket)).await??;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((Either::Right(Box::new(stream)), protocol))
}
