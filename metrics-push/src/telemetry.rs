//! The part to take into your own service: a meter provider that pushes over OTLP.
//!
//! Each worker process builds its own, after it was started: a provider has
//! threads, and threads do not survive a fork.

use std::{env, io, time::Duration};

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, WithHttpConfig as _};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::{self, EnterGuard, Runtime};

use crate::{
    metrics::Metrics,
    otlp::{Destination, Exporter, Protocol, Signal},
    report::Reporting,
    resource,
};

/// For a demonstration; in production every export costs, and 15 seconds or a
/// minute is usual.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3);

/// How long an export may take, where the exporter has a client from here.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the environment says about telemetry.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    interval: Duration,
}

impl Settings {
    /// Reads and checks the variables.
    ///
    /// # Errors
    ///
    /// One line that names the variable, its value and what to do.
    pub(crate) fn from_env() -> Result<Self, String> {
        Exporter::from_env(Signal::Metrics)?;
        const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
        let interval = match env::var(INTERVAL) {
            Ok(text) if !text.is_empty() => match text.parse() {
                Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds),
                _ => {
                    return Err(format!(
                        "{INTERVAL} is {text:?}, and milliseconds from 1 on are allowed"
                    ));
                }
            },
            _ => DEFAULT_INTERVAL,
        };
        Ok(Self { interval })
    }
}

/// The metrics of a worker, and what pushes them.
pub(crate) struct Telemetry {
    provider: Provider,
    metrics: Metrics,
}

/// The provider, and what keeps it going.
pub(crate) struct Provider {
    provider: SdkMeterProvider,
    _runtime: Option<ExporterRuntime>,
}

/// Where the gRPC exporter lives. It needs a runtime that goes on turning while the
/// thread that serves, or shuts down, waits for it.
struct ExporterRuntime(Option<Runtime>);

impl ExporterRuntime {
    fn new() -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for ExporterRuntime {
    fn drop(&mut self) {
        // To drop it as it stands would block, which the runtime of the thread
        // that serves does not allow.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Telemetry {
    /// Builds the provider of this process.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be built from its variables.
    pub(crate) fn init(settings: &Settings) -> anyhow::Result<Self> {
        let provider = Provider::build(settings, false)?;
        Ok(Self {
            metrics: Metrics::new(&provider.meter()),
            provider,
        })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Pushes what has not been pushed yet, for at most 5 seconds.
    pub(crate) fn shutdown(self) {
        self.provider.shutdown();
    }
}

impl Provider {
    /// Builds the provider of this process; `straight` says that no proxy is on the
    /// way to the collector, whatever the variables of proxies say.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be built from its variables.
    pub(crate) fn build(settings: &Settings, straight: bool) -> anyhow::Result<Self> {
        let mut runtime = None;
        let provider =
            SdkMeterProvider::builder().with_resource(resource::of_this_process("metrics-push"));
        // The variables are read again: the master may have pointed its workers at
        // a collector of its own.
        let provider = match Exporter::from_env(Signal::Metrics).map_err(anyhow::Error::msg)? {
            Exporter::Otlp(destination) => {
                let exporter = otlp_exporter(destination, straight, &mut runtime)?;
                provider.with_reader(
                    PeriodicReader::builder(exporter)
                        .with_interval(settings.interval)
                        .build(),
                )
            }
            Exporter::Console => provider.with_reader(
                PeriodicReader::builder(opentelemetry_stdout::MetricExporter::default())
                    .with_interval(settings.interval)
                    .build(),
            ),
            Exporter::None => provider,
        };
        Ok(Self {
            provider: provider.build(),
            _runtime: runtime,
        })
    }

    pub(crate) fn meter(&self) -> Meter {
        self.provider.meter(env!("CARGO_PKG_NAME"))
    }

    /// Pushes what has not been pushed yet, for at most 5 seconds.
    pub(crate) fn shutdown(self) {
        if let Err(error) = self.provider.shutdown() {
            log::warn!("the last metrics may not have arrived: {error}");
        }
    }
}

fn otlp_exporter(
    destination: Destination,
    straight: bool,
    runtime: &mut Option<ExporterRuntime>,
) -> anyhow::Result<Reporting<MetricExporter>> {
    if destination.protocol == Protocol::Grpc {
        *runtime = Some(ExporterRuntime::new()?);
    }
    let _inside = runtime.as_ref().and_then(ExporterRuntime::enter);
    // Protocol, endpoint, headers, timeout, compression and temporality come from
    // the variables of the specification.
    let builder = MetricExporter::builder();
    #[cfg(feature = "tls")]
    if destination.protocol == Protocol::Grpc && destination.endpoint.starts_with("https:") {
        use opentelemetry_otlp::{WithTonicConfig as _, tonic_types::transport::ClientTlsConfig};

        // Unlike the exporter over HTTP this one trusts nobody until it is told.
        let tls = ClientTlsConfig::new().with_enabled_roots();
        let exporter = builder.with_tonic().with_tls_config(tls).build()?;
        return Ok(Reporting::new(exporter, destination));
    }
    if straight && destination.protocol == Protocol::HttpProtobuf {
        let client = reqwest::blocking::Client::builder().no_proxy();
        let client = client.timeout(TIMEOUT).build()?;
        let exporter = builder.with_http().with_http_client(client).build()?;
        return Ok(Reporting::new(exporter, destination));
    }
    Ok(Reporting::new(builder.build()?, destination))
}
