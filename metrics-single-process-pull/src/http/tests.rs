//! Requests that no route of the service makes: panics, errors, disconnects.

use std::{
    future::{Future as _, pending, poll_fn},
    pin::pin,
    task::Poll,
};

use actix_http::Request;
use actix_web::{
    App, HttpResponse,
    dev::Service,
    error::ErrorUnauthorized,
    http::Method,
    middleware::from_fn,
    test::{TestRequest, call_service, init_service, read_body},
    web,
};
use common::telemetry::Observe;
use prometheus::{TextEncoder, proto::MetricFamily};

use super::*;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_server_request_duration_seconds";
const ACTIVE: &str = "http_server_active_requests";

/// A registry and the HTTP metrics in it.
struct Measured(Registry, HttpMetrics);

impl Measured {
    fn new() -> Self {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        Self(registry, metrics)
    }

    fn family(&self, name: &str) -> Option<MetricFamily> {
        let mut families = self.0.gather().into_iter();
        families.find(|family| family.name() == name)
    }

    /// The series of a family as `METHOD ROUTE STATUS`, sorted, with their counts.
    fn counts(&self, name: &str) -> Vec<(String, u64)> {
        let family = self.family(name).unwrap_or_default();
        let series = family.get_metric().iter().map(|metric| {
            let values = metric.get_label().iter().map(|label| label.value());
            let values: Vec<_> = values.take(3).collect();
            let [method, status, route] = values[..] else {
                panic!("{metric:?}");
            };
            let histogram = metric.get_histogram().get_sample_count();
            let count = histogram + metric.get_counter().get_value() as u64;
            (format!("{method} {route} {status}"), count)
        });
        let mut series: Vec<_> = series.collect();
        series.sort();
        series
    }

    /// Asserts that the counter and the histogram have exactly these series, and
    /// that no request is active.
    #[track_caller]
    fn assert_counts(&self, expected: &[(&str, u64)]) {
        let text = TextEncoder::new().encode_to_string(&self.0.gather());
        let expected: Vec<_> = expected
            .iter()
            .map(|(series, count)| ((*series).to_owned(), *count))
            .collect();
        assert_eq!(self.counts(REQUESTS), expected, "{text:?}");
        assert_eq!(self.counts(DURATION), expected, "{text:?}");
        assert_eq!(self.active(), 0, "{text:?}");
    }

    fn active(&self) -> i64 {
        let family = self.family(ACTIVE).unwrap_or_default();
        let values = family.get_metric().iter();
        values
            .map(|gauge| gauge.get_gauge().get_value() as i64)
            .sum()
    }
}

/// An application with all the routes, measured.
async fn app(
    Measured(_, http): &Measured,
) -> impl Service<Request, Response = ServiceResponse<impl MessageBody>, Error = Error> {
    let observe = Observe::new().metrics(http.active.clone());
    let resource = |path| web::resource(path).wrap(observe.record_errors());
    let app = App::new()
        .service(
            resource("/orders/{id}")
                .wrap(from_fn(answer_errors))
                .to(HttpResponse::Ok),
        )
        .service(
            resource(r"/codes/{id:\d+}")
                .wrap(from_fn(answer_errors))
                .to(HttpResponse::Ok),
        )
        .service(resource("/panic").wrap(from_fn(answer_errors)).to(panic))
        .service(resource("/error").wrap(from_fn(answer_errors)).to(error))
        .service(
            resource("/reject")
                .wrap(from_fn(reject))
                .wrap(from_fn(answer_errors))
                .to(panic),
        )
        .service(resource("/never").to(pending::<HttpResponse>))
        .service(web::scope("/api").service(web::resource("/get").get(HttpResponse::Ok)))
        .wrap(observe.clone())
        .wrap(http.finished.clone())
        .wrap(from_fn(fold_method));
    init_service(app).await
}

async fn panic() -> HttpResponse {
    panic!("a request asked for it")
}

async fn error() -> Result<HttpResponse, Error> {
    Err(ErrorUnauthorized("who is it?"))
}

async fn reject(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.path() == "/reject" {
        return Err(ErrorUnauthorized("not today"));
    }
    next.call(request).await
}

fn get(path: &str) -> Request {
    TestRequest::with_uri(path).to_request()
}

#[actix_web::test]
async fn the_labels_are_the_pattern_the_method_and_the_status() {
    let measured = Measured::new();
    let app = app(&measured).await;
    for path in [
        "/orders/1",
        "/orders/2",
        "/orders/3?q=4",
        "/codes/1",
        "/codes/2",
        "/api/get",
    ] {
        assert_eq!(call_service(&app, get(path)).await.status(), 200);
    }
    measured.assert_counts(&[
        ("GET /api/get 200", 1),
        (r"GET /codes/{id:\d+} 200", 2),
        ("GET /orders/{id} 200", 3),
    ]);
}

#[actix_web::test]
async fn requests_that_match_no_route_are_one_series_without_a_route() {
    let measured = Measured::new();
    let app = app(&measured).await;
    for path in ["/", "/nope", "/orders", "/orders/1/2", "/api", "/api/nope"] {
        assert_eq!(call_service(&app, get(path)).await.status(), 404, "{path}");
    }
    measured.assert_counts(&[("GET  404", 6)]);
}

#[actix_web::test]
async fn a_method_that_a_client_made_up_is_other() {
    let measured = Measured::new();
    let app = app(&measured).await;
    for name in ["FOO", "BAR", "get", "_OTHER"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        for path in ["/orders/1", "/api/get"] {
            let request = TestRequest::with_uri(path).method(method.clone());
            call_service(&app, request.to_request()).await;
        }
    }
    let request = TestRequest::with_uri("/api/get").method(Method::DELETE);
    call_service(&app, request.to_request()).await;
    measured.assert_counts(&[
        ("DELETE /api/get 405", 1),
        ("_OTHER /api/get 405", 4),
        ("_OTHER /orders/{id} 200", 4),
    ]);
}

#[actix_web::test]
async fn a_panic_is_answered_and_counted_as_500() {
    let measured = Measured::new();
    let app = app(&measured).await;
    for _ in 0..3 {
        let response = call_service(&app, get("/panic")).await;
        assert_eq!(response.status(), 500);
        let body = read_body(response).await;
        assert!(!body.windows(5).any(|part| part == b"asked"), "{body:?}");
    }
    measured.assert_counts(&[("GET /panic 500", 3)]);
}

#[actix_web::test]
async fn errors_are_counted_whether_a_handler_or_a_middleware_returns_them() {
    let measured = Measured::new();
    let app = app(&measured).await;
    for path in ["/error", "/reject"] {
        assert_eq!(call_service(&app, get(path)).await.status(), 401);
    }
    measured.assert_counts(&[("GET /error 401", 1), ("GET /reject 401", 1)]);
}

#[actix_web::test]
async fn a_request_is_active_until_its_answer_was_written_or_it_was_given_up() {
    let measured = Measured::new();
    let app = app(&measured).await;
    let response = call_service(&app, get("/orders/1")).await;
    assert_eq!(measured.active(), 1);
    drop(response);
    measured.assert_counts(&[("GET /orders/{id} 200", 1)]);

    {
        let mut never = pin!(app.call(get("/never")));
        poll_fn(|context| {
            assert!(never.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(measured.active(), 1);
    }
    // What was never answered has no status, so it is in no histogram.
    measured.assert_counts(&[("GET /orders/{id} 200", 1)]);
}
