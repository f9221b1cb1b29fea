//! Two spans a request with tracing-actix-web and tracing-opentelemetry.

use actix_web::{App, Responder, get, rt::System};
use opentelemetry::trace::TracerProvider as _;
use rust_peers::{hello, serve, traces};
use tracing::{instrument, level_filters::LevelFilter};
use tracing_actix_web::TracingLogger;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

const NAME: &str = "tracing_opentelemetry";

fn main() -> std::io::Result<()> {
    let spans = tracing_opentelemetry::layer().with_tracer(traces(NAME).tracer(NAME));
    tracing_subscriber::registry()
        .with(spans.with_filter(LevelFilter::INFO))
        .init();
    let app = || App::new().wrap(TracingLogger::default()).service(index);
    System::new().block_on(serve(NAME, app))
}

#[get("/")]
async fn index() -> impl Responder {
    internal_work()
}

#[instrument]
fn internal_work() -> String {
    hello()
}
