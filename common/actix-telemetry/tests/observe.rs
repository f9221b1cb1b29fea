//! What the middleware reports of requests, however they end.

use std::{
    convert::Infallible,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    task::Poll,
};

use actix_telemetry::{Finished, HttpMetrics, Method, Observe, Scheme};
use actix_web::{
    App, Error, HttpResponse, ResponseError,
    body::{BodySize, MessageBody, SizedStream, to_bytes},
    dev::{Service, ServiceResponse},
    error::{ErrorBadGateway, ErrorNotFound},
    http::{self, StatusCode},
    middleware::{ErrorHandlerResponse, ErrorHandlers, NormalizePath},
    test::{TestRequest, init_service},
    web::{self, Bytes},
};
use futures_util::{FutureExt as _, future::poll_fn, stream};

/// What was reported: `+GET`, then `GET /route 200` with the type of the error.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Reported since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl HttpMetrics for Log {
    fn began(&self, method: Method, scheme: Scheme) {
        assert_eq!(scheme, Scheme::Http);
        self.push(format!("+{}", method.as_str()));
    }

    fn ended(&self, request: &Finished<'_>) {
        let method = request.method.as_str();
        let route = request.route.unwrap_or("-");
        let status = request.status.map_or(0, |status| status.as_u16());
        let mut line = format!("{method} {route} {status}");
        if let Some(error_type) = request.error_type {
            line += &format!(" {error_type}");
        }
        if request.duration.is_none() {
            line += " untimed";
        }
        assert_eq!(request.protocol_version, Some("1.1"));
        self.push(line);
    }
}

const CHUNKS: [&str; 3] = ["one", "two", "three"];

#[actix_web::get("/hello")]
async fn hello() -> &'static str {
    "hello"
}

#[derive(Debug)]
struct Sold;

impl fmt::Display for Sold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sold out")
    }
}

impl std::error::Error for Sold {}
impl ResponseError for Sold {}

fn chunks() -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(CHUNKS.map(|chunk| Ok(Bytes::from(chunk))))
}

fn routes(app: &mut web::ServiceConfig) {
    let refuse = async || Err::<String, _>(ErrorNotFound("no such order"));
    let panic = async || -> String { panic!("a handler that panics for the test") };
    let broken = async || {
        let panicking = poll_fn(|_| -> Poll<Result<Bytes, Infallible>> {
            panic!("a body that panics for the test")
        });
        HttpResponse::Ok().streaming(panicking.into_stream())
    };
    let events = async || {
        let events = HttpResponse::Ok().content_type("text/event-stream").take();
        { events }.streaming(chunks())
    };
    app.service(web::scope("/api").service(hello))
        .service(hello)
        .route("/orders/{id}", web::get().to(refuse))
        .route("/sizes/{size:x+}", web::get().to(async || "a size"))
        .route("/sold", web::get().to(async || Err::<String, _>(Sold)))
        .route(
            "/gateway",
            web::get().to(async || Err::<String, _>(ErrorBadGateway("x"))),
        )
        .route("/panic", web::get().to(panic))
        .route("/hang", web::get().to(std::future::pending::<String>))
        .route("/broken", web::get().to(broken))
        .route("/events", web::get().to(events))
        .route(
            "/upgrade",
            web::get().to(async || HttpResponse::SwitchingProtocols().finish()),
        )
        .route(
            "/none",
            web::get().to(async || HttpResponse::NoContent().finish()),
        )
        .route(
            "/stream",
            web::get().to(async || HttpResponse::Ok().streaming(chunks())),
        )
        .route(
            "/sized",
            web::get().to(async || HttpResponse::Ok().body(SizedStream::new(11, chunks()))),
        )
        .route("/healthz", web::route().to(async || "ok"));
}

type Request = actix_http::Request;

/// The application, observed as a whole, and the log.
async fn app() -> (
    impl Service<Request, Response = ServiceResponse<impl MessageBody>, Error = Error>,
    Log,
) {
    let log = Log::default();
    let observe = Observe::new()
        .metrics(log.clone())
        .skip(["/healthz"])
        .error::<Sold>();
    let app = App::new()
        .configure(routes)
        .wrap(NormalizePath::trim())
        .wrap(observe);
    (init_service(app).await, log)
}

fn request(method: &str, path: &str) -> Request {
    let method = http::Method::from_bytes(method.as_bytes()).unwrap();
    TestRequest::with_uri(path).method(method).to_request()
}

#[actix_web::test]
async fn a_request_ends_once_when_its_body_is_gone() {
    let (app, log) = app().await;
    let response = app.call(request("GET", "/hello")).await.unwrap();
    assert_eq!(log.take(), ["+GET"]);
    let body = to_bytes(response.into_body()).await.ok().unwrap();
    assert_eq!(body, "hello");
    assert_eq!(log.take(), ["GET /hello 200"]);
}

#[actix_web::test]
async fn the_route_is_the_pattern_of_scopes_and_macros_and_missing_where_none_matches() {
    let (app, log) = app().await;
    for (method, path, ended) in [
        ("GET", "/api/hello", "GET /api/hello 200"),
        ("GET", "/hello/", "GET /hello 200"),
        ("GET", "/orders/1", "GET /orders/{id} 404"),
        ("POST", "/orders/1", "POST /orders/{id} 404"),
        ("GET", "/sizes/xx", "GET /sizes/{size:x+} 200"),
        // A path that is a pattern does not match it.
        ("GET", "/sizes/{size:x+}", "GET - 404"),
        ("GET", "/nope/secret", "GET - 404"),
        ("GET", "/none", "GET /none 204"),
    ] {
        let response = app.call(request(method, path)).await.unwrap();
        let _ = to_bytes(response.into_body()).await;
        assert_eq!(
            log.take(),
            [format!("+{method}"), ended.to_owned()],
            "{path}"
        );
    }
}

#[actix_web::test]
async fn a_path_that_is_skipped_is_not_reported_and_its_panic_is_answered() {
    let (app, log) = app().await;
    let response = app.call(request("GET", "/healthz")).await.unwrap();
    assert_eq!(to_bytes(response.into_body()).await.ok().unwrap(), "ok");
    assert!(log.take().is_empty());
}

#[actix_web::test]
async fn a_handler_that_panics_is_answered_with_500() {
    let (app, log) = app().await;
    for _ in 0..2 {
        let answer = app.call(request("GET", "/panic")).await;
        // The connection makes the response of an error that reaches it.
        let response = answer.err().unwrap().error_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body()).await.ok().unwrap();
        assert_eq!(body, "Internal Server Error");
        assert_eq!(log.take(), ["+GET", "GET /panic 500 panic"]);
    }
}

#[actix_web::test]
async fn the_type_of_an_error_is_reported_if_it_was_registered_and_else_the_status() {
    let (app, log) = app().await;
    for (path, ended) in [
        ("/sold", "GET /sold 500 observe::Sold"),
        ("/gateway", "GET /gateway 502 502"),
    ] {
        let response = app.call(request("GET", path)).await.unwrap();
        let _ = to_bytes(response.into_body()).await;
        assert_eq!(log.take(), ["+GET", ended]);
    }
}

#[actix_web::test]
async fn an_error_is_known_also_where_another_middleware_replaces_the_response() {
    fn replace<B>(response: ServiceResponse<B>) -> actix_web::Result<ErrorHandlerResponse<B>> {
        let page = HttpResponse::InternalServerError().body("a page for people");
        let response = response.into_response(page.map_into_right_body());
        Ok(ErrorHandlerResponse::Response(response))
    }

    let log = Log::default();
    let observe = Observe::new().metrics(log.clone()).error::<Sold>();
    let pages = ErrorHandlers::new().handler(StatusCode::INTERNAL_SERVER_ERROR, replace);
    let app = App::new()
        .configure(routes)
        .wrap(observe.record_errors())
        .wrap(pages);
    let app = init_service(app.wrap(observe)).await;
    for (path, ended) in [
        ("/sold", "GET /sold 500 observe::Sold"),
        ("/hello", "GET /hello 200"),
        ("/panic", "GET /panic 500 panic"),
    ] {
        if let Ok(response) = app.call(request("GET", path)).await {
            let _ = to_bytes(response.into_body()).await;
        }
        assert_eq!(log.take(), ["+GET", ended]);
    }
}

#[actix_web::test]
async fn a_client_that_leaves_before_the_response_cancels_the_request() {
    let (app, log) = app().await;
    // actix-web drops what it has begun when the connection is gone.
    assert!(app.call(request("GET", "/hang")).now_or_never().is_none());
    assert_eq!(log.take(), ["+GET", "GET /hang 0 cancelled"]);
}

#[actix_web::test]
async fn a_streamed_response_ends_with_its_last_chunk_or_when_the_client_leaves() {
    let (app, log) = app().await;
    let response = app.call(request("GET", "/stream")).await.unwrap();
    assert_eq!(log.take(), ["+GET"]);
    let body = to_bytes(response.into_body()).await.ok().unwrap();
    assert_eq!(body, CHUNKS.concat());
    assert_eq!(log.take(), ["GET /stream 200"]);

    let response = app.call(request("GET", "/stream")).await.unwrap();
    let mut body = Box::pin(response.into_body());
    let chunk = poll_fn(|context| body.as_mut().poll_next(context)).await;
    assert_eq!(chunk.unwrap().ok().unwrap(), "one");
    assert_eq!(log.take(), ["+GET"]);
    drop(body);
    assert_eq!(log.take(), ["GET /stream 200 cancelled"]);
}

#[actix_web::test]
async fn the_life_of_an_upgrade_or_an_event_stream_is_no_duration() {
    let (app, log) = app().await;
    for (path, ended) in [
        ("/events", "GET /events 200 untimed"),
        ("/upgrade", "GET /upgrade 101 untimed"),
    ] {
        let response = app.call(request("GET", path)).await.unwrap();
        drop(response);
        assert_eq!(log.take(), ["+GET", ended]);
    }
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
    assert_eq!(log.take(), ["+GET", "GET /broken 200 cancelled"]);
}

#[actix_web::test]
async fn a_method_that_a_client_made_up_is_other() {
    let (app, log) = app().await;
    for method in ["FOOBAR", "get", "PROPFIND"] {
        drop(app.call(request(method, "/hello")).await.unwrap());
        assert_eq!(log.take(), ["+_OTHER", "_OTHER /hello 404"], "{method}");
    }
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
