//! The latest log records.

use serde::Serialize;

use super::ARRIVED;
use crate::{attribute, query::Query, received::ReceivedLog, state};

/// Records in the list at most.
const MAX_ROWS: usize = 100;

#[derive(Serialize)]
pub(crate) struct Log {
    /// Unix time in seconds.
    pub(crate) time: f64,
    pub(crate) level: String,
    #[serde(skip)]
    pub(crate) severity: i32,
    pub(crate) scope: String,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) trace_id: String,
    pub(crate) pid: String,
    pub(crate) slot: Option<u16>,
    #[serde(skip)]
    pub(crate) place: usize,
}

impl Log {
    pub(super) fn of(state: &state::State, log: &ReceivedLog) -> Self {
        let record = &log.record;
        Self {
            time: time(log) as f64 / 1e9,
            level: match record.severity_text.as_str() {
                "" => level(record.severity_number).to_owned(),
                text => attribute::cut(text, 16).to_uppercase(),
            },
            severity: record.severity_number,
            scope: log.scope.clone(),
            body: log.body(),
            attributes: attribute::sorted(&record.attributes),
            trace_id: log.trace_id(),
            pid: log.instance.pid().unwrap_or("?").to_owned(),
            slot: state.pulse.slot(&log.instance),
            place: state.pulse.place(&log.instance),
        }
    }
}

/// The latest records that the query wants, the latest first.
pub(crate) fn logs(state: &state::State, query: &Query) -> Vec<Log> {
    let wanted = query.text.to_lowercase();
    let logs = state.kept.logs().rev().filter(|log| {
        log.record.severity_number >= query.min_severity()
            && (wanted.is_empty() || log.body().to_lowercase().contains(&wanted))
    });
    let mut latest: Vec<_> = logs.take(MAX_ROWS * ARRIVED).collect();
    latest.sort_by_key(|log| std::cmp::Reverse(time(log)));
    latest.truncate(MAX_ROWS);
    latest.into_iter().map(|log| Log::of(state, log)).collect()
}

fn time(log: &ReceivedLog) -> u64 {
    match log.record.time_unix_nano {
        0 => log.record.observed_time_unix_nano,
        time => time,
    }
}

fn level(number: i32) -> &'static str {
    match number {
        17.. => "ERROR",
        13.. => "WARN",
        9.. => "INFO",
        5.. => "DEBUG",
        _ => "TRACE",
    }
}
