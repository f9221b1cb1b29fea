//! Everything at once, made of the pieces that stand beside it.

#[cfg(feature = "metrics")]
use std::time::Duration;

use opentelemetry_sdk::Resource;
#[cfg(feature = "logs")]
use opentelemetry_sdk::logs::SdkLoggerProvider;
#[cfg(feature = "metrics")]
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
#[cfg(feature = "traces")]
use opentelemetry_sdk::trace::SdkTracerProvider;

#[cfg(feature = "metrics")]
use crate::metrics;
#[cfg(feature = "traces")]
use crate::{env::sdk_disabled, traces};
#[cfg(feature = "logs")]
use crate::{logger, logs};
use crate::{
    observe::Observe,
    panics, propagation,
    resource::resource,
    shutdown::{Provider, shutdown},
};

/// The telemetry of one process: its signals have one resource, one middleware and
/// one shutdown.
///
/// It works in a worker of `actix-prefork`, built after the worker was started, and
/// in a plain [`HttpServer`](actix_web::HttpServer):
///
/// ```no_run
/// use actix_telemetry::Telemetry;
/// use actix_web::{App, HttpServer, web};
///
/// #[actix_web::main]
/// async fn main() -> std::io::Result<()> {
///     let telemetry = Telemetry::builder(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
///         .metrics()
///         .logs()
///         .traces()
///         .build();
///     let observe = telemetry.observe().skip(["/healthz"]);
///     HttpServer::new(move || {
///         App::new()
///             .route("/", web::get().to(|| async { "Hello" }))
///             .wrap(observe.clone())
///     })
///     .bind("127.0.0.1:8080")?
///     .run()
///     .await?;
///     telemetry.shutdown().await;
///     Ok(())
/// }
/// ```
///
/// The providers become those of the process ([`opentelemetry::global`]), so libraries
/// that are instrumented with OpenTelemetry export too.
#[derive(Debug)]
pub struct Telemetry {
    #[cfg(feature = "metrics")]
    metrics: Option<SdkMeterProvider>,
    #[cfg(feature = "logs")]
    logs: Option<SdkLoggerProvider>,
    #[cfg(feature = "traces")]
    traces: Option<SdkTracerProvider>,
}

/// Chooses the signals of a [`Telemetry`].
#[derive(Clone, Debug)]
#[must_use = "nothing is set up until it is built"]
pub struct Builder {
    name: String,
    version: String,
    /// The default of the export interval.
    #[cfg(feature = "metrics")]
    metrics: Option<Duration>,
    #[cfg(feature = "logs")]
    logs: bool,
    #[cfg(feature = "traces")]
    traces: bool,
}

impl Telemetry {
    /// For the service `name` of this version, which `OTEL_SERVICE_NAME` and
    /// `OTEL_RESOURCE_ATTRIBUTES` override; see [`resource`].
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            version: version.into(),
            #[cfg(feature = "metrics")]
            metrics: None,
            #[cfg(feature = "logs")]
            logs: false,
            #[cfg(feature = "traces")]
            traces: false,
        }
    }

    /// The middleware, with the part of each signal that was chosen.
    pub fn observe(&self) -> Observe {
        let mut observe = Observe::new();
        #[cfg(feature = "metrics")]
        if self.metrics.is_some() {
            let meter = opentelemetry::global::meter(env!("CARGO_PKG_NAME"));
            observe = observe.metrics(crate::observe::OtelHttpMetrics::new(&meter));
        }
        #[cfg(feature = "logs")]
        if self.logs.is_some() {
            observe = observe.logs();
        }
        #[cfg(feature = "traces")]
        if self.traces.is_some() {
            observe = observe.spans().sampler(traces::sampler());
        }
        observe
    }

    /// The provider of log records, for a bridge of your own.
    #[cfg(feature = "logs")]
    pub fn logger_provider(&self) -> Option<&SdkLoggerProvider> {
        self.logs.as_ref()
    }

    /// Exports what has not been exported yet and logs what was lost, within
    /// [`SHUTDOWN_TIMEOUT`](crate::SHUTDOWN_TIMEOUT). Call it when serving has ended.
    pub async fn shutdown(self) {
        shutdown(self.providers()).await;
    }

    fn providers(self) -> Vec<Provider> {
        let mut providers = Vec::new();
        #[cfg(feature = "traces")]
        providers.extend(self.traces.map(Provider::from));
        #[cfg(feature = "metrics")]
        providers.extend(self.metrics.map(Provider::from));
        #[cfg(feature = "logs")]
        providers.extend(self.logs.map(Provider::from));
        providers
    }
}

impl Builder {
    /// Pushes metrics over OTLP every 60 seconds, unless `OTEL_METRIC_EXPORT_INTERVAL`
    /// says otherwise.
    #[cfg(feature = "metrics")]
    pub fn metrics(self) -> Self {
        self.metrics_every(Duration::from_secs(60))
    }

    /// As [`Self::metrics`], with another default for the interval.
    #[cfg(feature = "metrics")]
    pub fn metrics_every(mut self, interval: Duration) -> Self {
        self.metrics = Some(interval);
        self
    }

    /// Exports records of the `log` crate if [`logger::install`](crate::logger::install)
    /// was called, and the access line of each request.
    #[cfg(feature = "logs")]
    pub fn logs(mut self) -> Self {
        self.logs = true;
        self
    }

    /// Exports spans, and hands the context on to other services.
    #[cfg(feature = "traces")]
    pub fn traces(mut self) -> Self {
        self.traces = true;
        self
    }

    /// Builds the providers, makes them those of the process, and installs the panic
    /// hook and the propagators.
    pub fn build(self) -> Telemetry {
        let resource = resource(&self.name, &self.version);
        panics::install();
        propagation::install_propagators();
        Telemetry {
            // Before the meter provider, with which the SDK would count spans as well, without
            // those that are lost.
            #[cfg(feature = "traces")]
            traces: self.traces.then(|| tracer_provider(&resource)),
            #[cfg(feature = "metrics")]
            metrics: self
                .metrics
                .map(|interval| meter_provider(&resource, interval)),
            #[cfg(feature = "logs")]
            logs: self.logs.then(|| logger_provider(&resource)),
        }
    }
}

#[cfg(feature = "metrics")]
fn meter_provider(resource: &Resource, interval: Duration) -> SdkMeterProvider {
    let interval = metrics::metric_export_interval(interval);
    let mut provider = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_view(metrics::histogram_view());
    for exporter in metrics::metric_exporters() {
        let reader = PeriodicReader::builder(exporter).with_interval(interval);
        provider = provider.with_reader(reader.build());
    }
    let provider = provider.build();
    opentelemetry::global::set_meter_provider(provider.clone());
    provider
}

#[cfg(feature = "logs")]
fn logger_provider(resource: &Resource) -> SdkLoggerProvider {
    let mut provider = SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_log_processor(logs::RequestContext);
    for processor in logs::log_processors() {
        provider = provider.with_log_processor(processor);
    }
    let provider = provider.build();
    logger::connect(&provider);
    provider
}

#[cfg(feature = "traces")]
fn tracer_provider(resource: &Resource) -> SdkTracerProvider {
    let mut provider = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(traces::sampler())
        .with_id_generator(crate::observe::IdGenerator::default())
        .with_span_limits(traces::span_limits());
    for processor in traces::span_processors() {
        provider = provider.with_span_processor(processor);
    }
    let provider = provider.build();
    if !sdk_disabled() {
        opentelemetry::global::set_tracer_provider(provider.clone());
    }
    provider
}
