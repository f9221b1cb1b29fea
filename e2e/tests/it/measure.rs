//! `common::measure` behind a real server: each request that begins also ends, once, whatever handlers and clients do.

use std::{
    convert::Infallible,
    future::{pending, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::{
    App, Handler, HttpResponse, HttpServer, Responder,
    body::{BodySize, MessageBody},
    dev::{HttpServiceFactory, ServerHandle},
    error::ErrorBadGateway,
    http::StatusCode,
    rt::System,
    web::{self, Bytes},
};
use anyhow::{Context as _, Result};
use common::measure::{Measure, Method, Observer};
use e2e::{
    SOON,
    http::{self, Connection},
    poll,
};

/// What an observer was told.
#[derive(Clone, Debug, Default)]
struct Seen {
    began: Vec<Method>,
    ended: Vec<(Method, Option<u16>)>,
}

#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Seen>>);

impl Witness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Witness {
    fn began(&self, method: Method) {
        self.seen().began.push(method);
    }

    fn ended(&self, method: Method, status: Option<StatusCode>, _: Duration) {
        let status = status.map(|status| status.as_u16());
        self.seen().ended.push((method, status));
    }
}

/// A server whose routes misbehave, each in its way. It stops when it is dropped.
struct Server {
    addr: SocketAddr,
    witness: Witness,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Result<Self> {
        let witness = Witness::default();
        let observer = witness.clone();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            System::new().block_on(async {
                let app = move || App::new().configure(|app| routes(app, &observer));
                // Where a client's leaving is noticed, the handler is dropped in the middle.
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server.h1_allow_half_closed(false).bind("127.0.0.1:0");
                let server = server.expect("loopback has a free port");
                let addr = server.addrs()[0];
                let server = server.run();
                tell.send((addr, server.handle())).expect("the test waits");
                server.await.expect("the server runs until it is stopped");
            });
        });
        let (addr, handle) = told.recv().context("the server did not start")?;
        Ok(Self {
            addr,
            witness,
            handle,
            thread: Some(thread),
        })
    }

    /// Waits until as many requests have ended as have begun, and returns the methods and statuses of all.
    fn all_ended(&self, count: usize) -> Result<Vec<(Method, Option<u16>)>> {
        poll("every request to end", SOON, || {
            let seen = self.witness.seen();
            (seen.began.len() == count && seen.ended.len() == count).then(|| seen.ended.clone())
        })
        .with_context(|| format!("{:?}", self.witness.seen()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        System::new().block_on(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            // A panic of the server has made the test fail already.
            let _ = thread.join();
        }
    }
}

fn routes(app: &mut web::ServiceConfig, witness: &Witness) {
    let bad_gateway = || ready(Err::<String, _>(ErrorBadGateway("nobody there")));
    app.service(measured("/ok", witness, async || "fine"))
        .service(measured("/panic", witness, panics))
        .service(measured("/error", witness, bad_gateway))
        .service(measured("/never", witness, pending::<String>))
        .service(measured("/endless", witness, async || {
            HttpResponse::Ok().body(Endless)
        }));
}

fn measured<H>(path: &str, witness: &Witness, handler: H) -> impl HttpServiceFactory + use<H>
where
    H: Handler<(), Output: Responder + 'static>,
{
    web::resource(path)
        .wrap(common::CatchPanic)
        .wrap(Measure::new(witness.clone()))
        .to(handler)
}

async fn panics() -> String {
    panic!("the test asks for it")
}

/// A body that begins at once and has no end.
struct Endless;

impl MessageBody for Endless {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(Some(Ok(Bytes::from_static(&[b'x'; 16 * 1024]))))
    }
}

#[test]
fn a_panic_is_a_500_to_client_and_observer_alike() -> Result<()> {
    let server = Server::start()?;
    for _ in 0..3 {
        assert_eq!(http::get(server.addr, "/panic")?.status, 500);
    }
    assert_eq!(http::get(server.addr, "/ok")?.status, 200);
    let mut expected = vec![(Method::Get, Some(500)); 3];
    expected.push((Method::Get, Some(200)));
    assert_eq!(server.all_ended(4)?, expected);
    Ok(())
}

#[test]
fn an_error_of_a_handler_has_the_status_that_the_client_gets() -> Result<()> {
    let server = Server::start()?;
    assert_eq!(http::get(server.addr, "/error")?.status, 502);
    assert_eq!(server.all_ended(1)?, [(Method::Get, Some(502))]);
    Ok(())
}

#[test]
fn a_method_that_a_client_made_up_is_other() -> Result<()> {
    let server = Server::start()?;
    http::request(server.addr, "PURGE", "/ok")?;
    http::request(server.addr, "DELETE", "/ok")?;
    let expected = [(Method::Other, Some(200)), (Method::Delete, Some(200))];
    assert_eq!(server.all_ended(2)?, expected);
    Ok(())
}

#[test]
fn a_route_that_does_not_exist_is_not_observed() -> Result<()> {
    let server = Server::start()?;
    assert_eq!(http::get(server.addr, "/nowhere")?.status, 404);
    http::get(server.addr, "/ok")?;
    assert_eq!(server.all_ended(1)?.len(), 1);
    Ok(())
}

#[test]
fn a_client_that_leaves_before_the_answer_ends_its_request() -> Result<()> {
    let server = Server::start()?;
    for _ in 0..5 {
        let mut connection = Connection::open(server.addr)?;
        connection.send_get("/never")?;
        let begun = server.witness.seen().ended.len() + 1;
        poll("the request to begin", SOON, || {
            (server.witness.seen().began.len() == begun).then_some(())
        })?;
        drop(connection);
        server.all_ended(begun)?;
    }
    assert_eq!(server.all_ended(5)?, [(Method::Get, None); 5]);
    Ok(())
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_answer_ends_its_request() -> Result<()> {
    let server = Server::start()?;
    for count in 1..=5 {
        let mut connection = Connection::open(server.addr)?;
        connection.send_get("/endless")?;
        // It has no length, so that it is no response to this client: all that matters is that it has begun.
        assert!(connection.receive().is_err());
        drop(connection);
        server.all_ended(count)?;
    }
    assert_eq!(server.all_ended(5)?, [(Method::Get, Some(200)); 5]);
    Ok(())
}
