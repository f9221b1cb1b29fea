//! Adds to each record what the bridge does not: the time of the event, and what
//! is known of the request.

use std::time::{Duration, SystemTime};

use opentelemetry::{Context, InstrumentationScope, logs::LogRecord as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogProcessor, SdkLogRecord},
};

use crate::request::Attributes;

/// A processor to be registered before the one that exports.
#[derive(Debug)]
pub(crate) struct Enrich;

impl LogProcessor for Enrich {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        // The event happens in the call that is observed: this runs on the thread
        // that logs.
        let time = record.observed_timestamp().unwrap_or_else(SystemTime::now);
        record.set_timestamp(time);
        let attributes = Context::map_current(|context| Some(context.get::<Attributes>()?.named()));
        if let Some(attributes) = attributes {
            record.add_attributes(attributes);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
