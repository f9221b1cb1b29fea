//! Two spans a request with opentelemetry-instrumentation-actix-web.

use actix_web::{App, Responder, get, rt::System};
use opentelemetry::{global, trace::Tracer as _};
use opentelemetry_instrumentation_actix_web::RequestTracing;
use rust_peers::{hello, serve, traces};

const NAME: &str = "opentelemetry_instrumentation";

fn main() -> std::io::Result<()> {
    let _provider = traces(NAME);
    let app = || App::new().wrap(RequestTracing::new()).service(index);
    System::new().block_on(serve(NAME, app))
}

#[get("/")]
async fn index() -> impl Responder {
    global::tracer(NAME).in_span("internal work", |_| hello())
}
