//! What the peers share: one thread of actix-web on a free port, and the OTLP exporters with the
//! defaults of the SDK.

use std::process;

use actix_web::{
    App, Error, HttpServer,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
};
use opentelemetry::global;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};

/// Serves an application, and says where on stderr.
pub async fn serve<F, T, B>(name: &str, app: F) -> std::io::Result<()>
where
    F: Fn() -> App<T> + Send + Clone + 'static,
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let server = HttpServer::new(app).workers(1).bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        eprintln!(
            "{name}: ready on http://{address}, process {}",
            process::id()
        );
    }
    server.run().await
}

/// The answer of every peer.
pub fn hello() -> String {
    format!("Hello from {}!", process::id())
}

/// An exporter to `OTEL_EXPORTER_OTLP_ENDPOINT`. To be built before the async runtime starts.
pub fn span_exporter() -> SpanExporter {
    let exporter = SpanExporter::builder().with_http().build();
    exporter.expect("an exporter for spans")
}

/// The resource of the service.
pub fn resource(name: &'static str) -> Resource {
    Resource::builder().with_service_name(name).build()
}

/// Makes a provider with a batch processor that of the process.
pub fn traces(name: &'static str) -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(name))
        .with_batch_exporter(span_exporter())
        .build();
    global::set_tracer_provider(provider.clone());
    global::set_text_map_propagator(TraceContextPropagator::new());
    provider
}

/// A provider with a batch processor.
pub fn logs(name: &'static str) -> SdkLoggerProvider {
    let exporter = LogExporter::builder().with_http().build();
    SdkLoggerProvider::builder()
        .with_resource(resource(name))
        .with_batch_exporter(exporter.expect("an exporter for log records"))
        .build()
}
