//! The `log` crate on the console and, once a provider is connected, over
//! OpenTelemetry.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use env_filter::Filter;
use log::{Log, Metadata, Record};
use opentelemetry_appender_log::OpenTelemetryLogBridge;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};

use crate::{
    env::Env,
    feedback::is_below_the_exporters,
    limit,
    stderr::{self, CONSOLE},
    warn::warn_filter,
};

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// The variable with the filter of what is exported.
const OTEL: &str = "OTEL_RUST_LOG";

/// The longest text of a record unless a variable says otherwise, in characters.
const LENGTH_LIMIT: usize = 4_096;

/// Makes the console the logger of the process, as [`console::init`](crate::console::init) does, and has
/// [`connect`] send records to OpenTelemetry as well.
///
/// Call it at the start of `main`, in the master too. A message or a value that is
/// longer than 4,096 characters is cut, or than
/// `OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT` or `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`
/// once a provider is connected.
pub fn install() {
    let (filter, bad) = stderr::filter(CONSOLE);
    let logger = LOGGER.get_or_init(|| Logger {
        console: Sink {
            log: Box::new(stderr::logger()),
            filter,
        },
        otel: OnceLock::new(),
        length_limit: AtomicUsize::new(LENGTH_LIMIT),
    });
    if log::set_logger(logger).is_ok() {
        stderr::is_ready();
        log::set_max_level(logger.console.filter.filter());
    }
    warn_filter(CONSOLE, bad);
}

/// Sends records to OpenTelemetry from now on, those that `OTEL_RUST_LOG` lets
/// through. Without [`install`] it does nothing: then the program has another logger.
///
/// Records of the crates below the exporters never go there, whatever the filter
/// says: what they log while they export would be exported next.
pub fn connect(provider: &SdkLoggerProvider) {
    let Some(logger) = LOGGER.get() else {
        return;
    };
    let (filter, bad) = stderr::filter(OTEL);
    let level = filter.filter();
    let sink = Sink {
        log: Box::new(Bridge {
            bridge: OpenTelemetryLogBridge::new(provider),
            provider: provider.clone(),
        }),
        filter,
    };
    let limit = length_limit(Env::process());
    logger.length_limit.store(limit, Relaxed);
    if logger.otel.set(sink).is_ok() {
        log::set_max_level(log::max_level().max(level));
    }
    warn_filter(OTEL, bad);
}

/// Characters of a message or a value at most.
pub(crate) fn length_limit(env: Env<'_>) -> usize {
    let limit = |name, default| env.number(name, 0..=usize::MAX, default);
    let of_all = limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", LENGTH_LIMIT);
    limit("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", of_all)
}

struct Logger {
    console: Sink,
    otel: OnceLock<Sink>,
    length_limit: AtomicUsize,
}

/// A place where records go, and which of them.
struct Sink {
    log: Box<dyn Log>,
    filter: Filter,
}

impl Logger {
    fn otel(&self, metadata: &Metadata<'_>) -> Option<&Sink> {
        let sink = self.otel.get()?;
        (sink.filter.enabled(metadata) && !is_below_the_exporters(metadata.target()))
            .then_some(sink)
    }

    fn console(&self, metadata: &Metadata<'_>) -> Option<&Sink> {
        let sink = &self.console;
        sink.filter.enabled(metadata).then_some(sink)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.console(metadata).is_some() || self.otel(metadata).is_some()
    }

    fn log(&self, record: &Record<'_>) {
        let (console, otel) = (
            self.console(record.metadata()),
            self.otel(record.metadata()),
        );
        if console.is_none() && otel.is_none() {
            return;
        }
        limit::with_limited(record, self.length_limit.load(Relaxed), |record| {
            for sink in [console, otel].into_iter().flatten() {
                if sink.filter.matches(record) {
                    sink.log.log(record);
                }
            }
        });
    }

    fn flush(&self) {
        self.console.log.flush();
        if let Some(otel) = self.otel.get() {
            otel.log.flush();
        }
    }
}

/// The bridge, with a `flush` that flushes: its own does nothing.
struct Bridge {
    bridge: OpenTelemetryLogBridge<SdkLoggerProvider, SdkLogger>,
    provider: SdkLoggerProvider,
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.bridge.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.bridge.log(record);
    }

    fn flush(&self) {
        // Whatever could not be exported is counted.
        let _ = self.provider.force_flush();
    }
}
