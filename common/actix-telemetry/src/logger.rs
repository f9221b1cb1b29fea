//! The `log` crate on the console and, once a provider is connected, over
//! OpenTelemetry.

use std::sync::OnceLock;

use env_filter::Filter;
use log::{Log, Metadata, Record};
use opentelemetry_appender_log::OpenTelemetryLogBridge;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};

use crate::{console, env::Env, feedback::is_below_the_exporters, limit};

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// The longest text of a record unless a variable says otherwise, in characters.
const LENGTH_LIMIT: usize = 4_096;

/// Makes the console the logger of the process, as [`console::init`] does, and has
/// [`connect`] send records to OpenTelemetry as well.
///
/// Call it at the start of `main`, in the master too. A message or a value that is
/// longer than `OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT` or
/// `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` (4,096 characters by default) is cut.
pub fn install() {
    let (filter, problem) = console::filter("RUST_LOG");
    let env = Env::process();
    let of_all = env.number(
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        0..=usize::MAX,
        LENGTH_LIMIT,
    );
    let logger = LOGGER.get_or_init(|| Logger {
        console: Sink {
            log: Box::new(console::logger()),
            filter,
        },
        otel: OnceLock::new(),
        length_limit: env.number(
            "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            0..=usize::MAX,
            of_all,
        ),
    });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(logger.console.filter.filter());
    }
    console::report(problem);
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
    let (filter, problem) = console::filter("OTEL_RUST_LOG");
    let level = filter.filter();
    let sink = Sink {
        log: Box::new(Bridge {
            bridge: OpenTelemetryLogBridge::new(provider),
            provider: provider.clone(),
        }),
        filter,
    };
    if logger.otel.set(sink).is_ok() {
        log::set_max_level(log::max_level().max(level));
    }
    console::report(problem);
}

struct Logger {
    console: Sink,
    otel: OnceLock<Sink>,
    length_limit: usize,
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
        limit::with_limited(record, self.length_limit, |record| {
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
