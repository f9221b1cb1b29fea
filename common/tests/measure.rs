//! What an observer is told of requests, however they end.

use std::{cell::RefCell, convert::Infallible, panic::AssertUnwindSafe, rc::Rc, time::Duration};

use actix_web::{
    App, Error, HttpResponse,
    body::{BodySize, MessageBody, SizedStream, to_bytes},
    dev::{Service, ServiceResponse},
    error::ErrorNotFound,
    http::{self, StatusCode},
    test::{TestRequest, init_service},
    web::{self, Bytes},
};
use common::{
    CatchPanic,
    measure::{Measure, Method, Observer},
};
use futures_util::{FutureExt as _, future::poll_fn, stream};

/// What an observer was told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Began(Method),
    Ended(Method, Option<u16>),
}

use Told::{Began, Ended};

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<Told>>>);

impl Log {
    /// What was told since the last call.
    fn take(&self) -> Vec<Told> {
        self.0.take()
    }
}

impl Observer for Log {
    fn began(&self, method: Method) {
        self.0.borrow_mut().push(Began(method));
    }

    fn ended(&self, method: Method, status: Option<StatusCode>, _: Duration) {
        let status = status.map(|status| status.as_u16());
        self.0.borrow_mut().push(Ended(method, status));
    }
}

const CHUNKS: [&str; 3] = ["one", "two", "three"];

async fn hello() -> &'static str {
    "hello"
}

async fn refuse() -> Result<&'static str, Error> {
    Err(ErrorNotFound("no such order"))
}

async fn panic() -> &'static str {
    panic!("a handler that panics for the test")
}

async fn hang() -> &'static str {
    std::future::pending().await
}

async fn stream_chunks() -> HttpResponse {
    let chunks = CHUNKS.map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
    HttpResponse::Ok().streaming(stream::iter(chunks))
}

async fn stream_of_known_size() -> HttpResponse {
    let chunks = CHUNKS.map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
    HttpResponse::Ok().body(SizedStream::new(11, stream::iter(chunks)))
}

async fn stream_that_panics() -> HttpResponse {
    let panicking = poll_fn(|_| -> std::task::Poll<Result<Bytes, Infallible>> {
        panic!("a body that panics for the test")
    });
    HttpResponse::Ok().streaming(panicking.into_stream())
}

/// The application whose resources are observed, and the log.
async fn app() -> (
    impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = Error>,
    Log,
) {
    let log = Log::default();
    let observed = |path: &str| {
        let resource = web::resource(path).wrap(CatchPanic);
        resource.wrap(Measure::new(log.clone()))
    };
    let app = App::new()
        .service(observed("/hello").get(hello))
        .service(observed("/orders/{id}").get(refuse))
        .service(observed("/panic").get(panic))
        .service(observed("/hang").get(hang))
        .service(observed("/stream").get(stream_chunks))
        .service(observed("/sized").get(stream_of_known_size))
        .service(observed("/broken").get(stream_that_panics))
        .route("/healthz", web::get().to(hello));
    (init_service(app).await, log)
}

fn request(method: &str, path: &str) -> actix_http::Request {
    let method = http::Method::from_bytes(method.as_bytes()).unwrap();
    TestRequest::with_uri(path).method(method).to_request()
}

#[actix_web::test]
async fn a_request_ends_once_when_its_body_is_gone() {
    let (app, log) = app().await;
    let response = app.call(request("GET", "/hello")).await.unwrap();
    assert_eq!(log.take(), [Began(Method::Get)]);
    let body = to_bytes(response.into_body()).await.ok().unwrap();
    assert_eq!(body, "hello");
    assert_eq!(log.take(), [Ended(Method::Get, Some(200))]);
}

#[actix_web::test]
async fn an_error_and_a_method_that_is_not_allowed_end_with_their_status() {
    let (app, log) = app().await;
    for (method, path, status) in [
        ("GET", "/orders/1", 404),
        ("POST", "/hello", 405),
        ("HEAD", "/hello", 405),
    ] {
        let response = app.call(request(method, path)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        drop(response);
        let method = Method::from(&http::Method::from_bytes(method.as_bytes()).unwrap());
        assert_eq!(log.take(), [Began(method), Ended(method, Some(status))]);
    }
}

#[actix_web::test]
async fn a_handler_that_panics_answers_500_and_ends_once() {
    let (app, log) = app().await;
    for _ in 0..2 {
        let answer = app.call(request("GET", "/panic")).await;
        // The connection makes the answer of an error that reaches it.
        let response = answer.err().unwrap().error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body()).await.ok().unwrap();
        assert_eq!(body, "Internal Server Error");
        let expected = [Began(Method::Get), Ended(Method::Get, Some(500))];
        assert_eq!(log.take(), expected);
    }
}

#[actix_web::test]
async fn a_client_that_goes_away_before_the_answer_ends_the_request_without_a_status() {
    let (app, log) = app().await;
    // actix-web drops what it has begun when the connection is gone.
    assert!(app.call(request("GET", "/hang")).now_or_never().is_none());
    assert_eq!(log.take(), [Began(Method::Get), Ended(Method::Get, None)]);
}

#[actix_web::test]
async fn a_streamed_request_goes_on_until_the_last_chunk_was_taken_or_the_client_is_gone() {
    let (app, log) = app().await;
    let response = app.call(request("GET", "/stream")).await.unwrap();
    assert_eq!(log.take(), [Began(Method::Get)]);
    let body = to_bytes(response.into_body()).await.ok().unwrap();
    assert_eq!(body, CHUNKS.concat());
    assert_eq!(log.take(), [Ended(Method::Get, Some(200))]);

    let response = app.call(request("GET", "/stream")).await.unwrap();
    let mut body = Box::pin(response.into_body());
    let chunk = poll_fn(|context| body.as_mut().poll_next(context)).await;
    assert_eq!(chunk.unwrap().ok().unwrap(), "one");
    assert_eq!(log.take(), [Began(Method::Get)]);
    drop(body);
    assert_eq!(log.take(), [Ended(Method::Get, Some(200))]);
}

#[actix_web::test]
async fn the_size_of_a_body_stays_known() {
    let (app, _) = app().await;
    let response = app.call(request("GET", "/sized")).await.unwrap();
    assert_eq!(response.response().body().size(), BodySize::Sized(11));
    let response = app.call(request("GET", "/stream")).await.unwrap();
    assert_eq!(response.response().body().size(), BodySize::Stream);
}

#[actix_web::test]
async fn a_body_that_panics_ends_its_request_once() {
    let (app, log) = app().await;
    let response = app.call(request("GET", "/broken")).await.unwrap();
    let read = AssertUnwindSafe(to_bytes(response.into_body()));
    assert!(read.catch_unwind().await.is_err());
    let expected = [Began(Method::Get), Ended(Method::Get, Some(200))];
    assert_eq!(log.take(), expected);
}

#[actix_web::test]
async fn what_matches_no_observed_route_is_not_told() {
    let (app, log) = app().await;
    for path in ["/", "/nope", "/hello/more", "/healthz"] {
        app.call(request("GET", path)).await.unwrap();
    }
    assert_eq!(log.take(), []);
}

#[actix_web::test]
async fn a_method_that_a_client_made_up_is_other() {
    let (app, log) = app().await;
    for method in ["FOOBAR", "get", "PROPFIND"] {
        app.call(request(method, "/hello")).await.unwrap();
        let expected = [Began(Method::Other), Ended(Method::Other, Some(405))];
        assert_eq!(log.take(), expected, "{method}");
    }
    assert_eq!(Method::Other.as_str(), "_OTHER");
}

#[test]
fn the_list_of_methods_is_in_the_order_of_their_numbers_and_complete() {
    for (number, method) in Method::ALL.into_iter().enumerate() {
        assert_eq!(method as usize, number);
        let name = method.as_str().as_bytes();
        let parsed = Method::from(&http::Method::from_bytes(name).unwrap());
        assert_eq!(parsed, method);
    }
}
