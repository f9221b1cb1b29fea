//! An OTLP receiver that prints the telemetry it receives, and that tests can query.
//!
//! - A program that starts worker processes embeds it with [`EmbedOptions`].
//! - A test starts it with [`Config::silent`], queries [`Collector::received`], and simulates failures
//!   with [`Collector::set_fault`].
//! - `cargo run -p collector` runs it as a program.
//!
//! It stores nothing and forwards nothing.

mod activity;
mod attribute;
mod body;
mod collector;
mod config;
mod cors;
mod embed;
mod error;
mod exponential;
mod export;
mod feeds;
mod grpc;
mod harness;
mod http;
mod identity;
mod instance;
mod intake;
mod json;
mod kept;
mod model;
mod points;
mod printer;
mod pulse;
mod query;
mod received;
mod rejection;
mod ring;
mod scrape;
mod server;
mod state;
mod text;
mod totals;
mod traces;
mod value;
mod view;

/// The OTLP messages in [`ReceivedLog`] and [`ReceivedSpan`].
pub use opentelemetry_proto::tonic as proto;

pub use crate::{
    collector::Collector,
    config::{Config, DEFAULT_BODY_LIMIT, Fault, Format},
    embed::EmbedOptions,
    error::Error,
    export::Signal,
    instance::Instance,
    received::{Received, ReceivedLog, ReceivedSeries, ReceivedSpan},
    scrape::Scrape,
};
