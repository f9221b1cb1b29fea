//! Two spans a request with fastrace. There is no middleware for actix-web, so this makes the
//! span of a request itself, with the attributes that ours has.

use std::borrow::Cow;

use actix_web::{App, Responder, dev::Service as _, get, http::header::USER_AGENT, rt::System};
use fastrace::{collector::Config, prelude::*};
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::InstrumentationScope;
use rust_peers::{hello, resource, serve, span_exporter};

const NAME: &str = "fastrace_opentelemetry";

fn main() -> std::io::Result<()> {
    let scope = InstrumentationScope::builder(NAME).build();
    let reporter = OpenTelemetryReporter::new(span_exporter(), Cow::Owned(resource(NAME)), scope);
    fastrace::set_reporter(reporter, Config::default());
    let app = || {
        App::new()
            .wrap_fn(|request, app| {
                let caller = request.headers().get("traceparent");
                let caller = caller.and_then(|value| value.to_str().ok());
                let caller = caller.and_then(SpanContext::decode_w3c_traceparent);
                let route = request.match_pattern().unwrap_or_default();
                let method = request.method().to_string();
                let span = Span::root(
                    format!("{method} {route}"),
                    caller.unwrap_or_else(SpanContext::random),
                );
                span.add_properties(|| {
                    let address = request.peer_addr();
                    let agent = request.headers().get(USER_AGENT);
                    let agent = agent.and_then(|agent| agent.to_str().ok());
                    [
                        ("span.kind", "server".to_owned()),
                        ("http.request.method", method),
                        ("http.route", route),
                        ("url.path", request.path().to_owned()),
                        ("url.scheme", request.connection_info().scheme().to_owned()),
                        ("network.protocol.version", "1.1".to_owned()),
                        (
                            "client.address",
                            address
                                .map(|peer| peer.ip().to_string())
                                .unwrap_or_default(),
                        ),
                        (
                            "network.peer.address",
                            address
                                .map(|peer| peer.ip().to_string())
                                .unwrap_or_default(),
                        ),
                        (
                            "network.peer.port",
                            address
                                .map(|peer| peer.port().to_string())
                                .unwrap_or_default(),
                        ),
                        ("user_agent.original", agent.unwrap_or_default().to_owned()),
                    ]
                });
                app.call(request).in_span(span)
            })
            .service(index)
    };
    System::new().block_on(serve(NAME, app))
}

#[get("/")]
async fn index() -> impl Responder {
    internal_work()
}

#[trace]
fn internal_work() -> String {
    hello()
}
