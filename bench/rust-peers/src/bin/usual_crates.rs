//! All signals with the crates that are usual for each: tracing-actix-web, tracing-opentelemetry,
//! opentelemetry-appender-tracing and actix-web-prom. Two spans and two log records a request.

use actix_web::{
    App, Error, Responder,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    get,
    rt::System,
    web,
};
use actix_web_prom::PrometheusMetricsBuilder;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use prometheus::IntCounter;
use rust_peers::{hello, logs, serve, traces};
use tracing::{Span, instrument, level_filters::LevelFilter};
use tracing_actix_web::{DefaultRootSpanBuilder, RootSpanBuilder, TracingLogger};
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

const NAME: &str = "usual_crates";

fn main() -> std::io::Result<()> {
    let spans = tracing_opentelemetry::layer().with_tracer(traces(NAME).tracer(NAME));
    let events = OpenTelemetryTracingBridge::new(&logs(NAME));
    tracing_subscriber::registry()
        .with(spans.with_filter(LevelFilter::INFO))
        .with(events.with_filter(LevelFilter::INFO))
        .init();
    let metrics = PrometheusMetricsBuilder::new("bench")
        .endpoint("/metrics")
        .build()
        .expect("metrics with free names");
    let requests = IntCounter::new("num_requests", "Number of requests").expect("a valid name");
    let registered = metrics.registry.register(Box::new(requests.clone()));
    registered.expect("a free name");
    let app = move || {
        App::new()
            .app_data(web::Data::new(requests.clone()))
            .wrap(metrics.clone())
            .wrap(TracingLogger::<AccessLine>::new())
            .service(index)
    };
    System::new().block_on(serve(NAME, app))
}

/// The usual span, and a record at the end of the request.
struct AccessLine;

impl RootSpanBuilder for AccessLine {
    fn on_request_start(request: &ServiceRequest) -> Span {
        DefaultRootSpanBuilder::on_request_start(request)
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        if let Ok(response) = outcome {
            let (request, status) = (response.request(), response.status().as_u16());
            tracing::info!(method = %request.method(), path = request.path(), status, "access");
        }
        DefaultRootSpanBuilder::on_request_end(span, outcome);
    }
}

#[get("/")]
async fn index(requests: web::Data<IntCounter>) -> impl Responder {
    requests.inc();
    tracing::info!("Request received");
    internal_work()
}

#[instrument]
fn internal_work() -> String {
    hello()
}
