//! The end of a process: every signal flushes, side by side, under one deadline.

#[cfg(all(feature = "prefork", feature = "metrics"))]
use std::thread;
use std::time::{Duration, Instant};

use actix_web::rt::{task::spawn_blocking, time::timeout};
#[cfg(feature = "logs")]
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::{metrics::SdkMeterProvider, trace::SdkTracerProvider};

#[cfg(any(feature = "logs", feature = "traces"))]
use crate::delivery;
use crate::{observe, stderr};

/// How long [`shutdown`] waits for the last exports: 4 seconds. The master of
/// `actix-prefork` gives a worker 5, so there is time to log the losses.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

/// A provider of the SDK.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Provider {
    /// Of metrics.
    Metrics(SdkMeterProvider),
    /// Of spans.
    Traces(SdkTracerProvider),
    /// Of log records.
    #[cfg(feature = "logs")]
    Logs(SdkLoggerProvider),
}

impl From<SdkMeterProvider> for Provider {
    fn from(provider: SdkMeterProvider) -> Self {
        Self::Metrics(provider)
    }
}

impl From<SdkTracerProvider> for Provider {
    fn from(provider: SdkTracerProvider) -> Self {
        Self::Traces(provider)
    }
}

#[cfg(feature = "logs")]
impl From<SdkLoggerProvider> for Provider {
    fn from(provider: SdkLoggerProvider) -> Self {
        Self::Logs(provider)
    }
}

impl Provider {
    fn shutdown(&self) {
        // A failed export is a loss, which the tally knows better than the result does.
        // The timeout of metrics is 5 s, whatever is given here:
        // https://github.com/open-telemetry/opentelemetry-rust/issues/2574
        match self {
            Self::Metrics(provider) => {
                if let Err(error) = provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
                    log::warn!("the last metrics may not have arrived: {error}");
                }
            }
            Self::Traces(provider) => drop(provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)),
            #[cfg(feature = "logs")]
            Self::Logs(provider) => drop(provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)),
        }
    }
}

/// Exports what has not been exported yet, then logs how much was lost.
///
/// Call it when serving has ended. It waits a moment (100 ms at most) for requests
/// that a quick stop cut, then for all providers side by side, for at most
/// [`SHUTDOWN_TIMEOUT`].
///
/// ```
/// # actix_web::rt::System::new().block_on(async {
/// use opentelemetry_sdk::metrics::SdkMeterProvider;
///
/// let provider = SdkMeterProvider::builder().build();
/// actix_telemetry::shutdown([provider]).await;
/// # });
/// ```
pub async fn shutdown<P: Into<Provider>>(providers: impl IntoIterator<Item = P>) {
    observe::all_ended().await;
    let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
    // Not on this thread: the exporters of the SDK block.
    let flushes: Vec<_> = providers
        .into_iter()
        .map(Into::into)
        .map(|provider: Provider| spawn_blocking(move || provider.shutdown()))
        .collect();
    for flush in flushes {
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = timeout(left, flush).await;
    }
    #[cfg(any(feature = "logs", feature = "traces"))]
    delivery::report_losses();
    stderr::flush();
}

/// As [`shutdown`], for a thread without an async runtime.
#[cfg(all(feature = "prefork", feature = "metrics"))]
pub(crate) fn shutdown_blocking(provider: Provider) {
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let flush = thread::Builder::new().spawn(move || {
        provider.shutdown();
        drop(ended);
    });
    if flush.is_ok() {
        let _ = end.recv_timeout(SHUTDOWN_TIMEOUT);
    }
}
