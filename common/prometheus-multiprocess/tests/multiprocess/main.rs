//! The metric store from outside: with real files, real processes, and Python's client.

mod bad_files;
mod calls;
mod collected;
mod crash;
mod definitions;
mod directory;
mod exemplars;
mod faults;
mod hostile;
mod metrics;
mod openmetrics;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod permissions;
mod processes;
mod python;
mod start_times;
mod support;
