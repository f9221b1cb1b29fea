//! The view as JSON, for scripts and agents.

use serde::Serialize;

use crate::{intake::Intake, model, query::Query};

/// What there is, with its parameters.
const PATHS: [(&str, &str); 7] = [
    (
        "/api/workers",
        "the processes that send, and the slots of a harness",
    ),
    (
        "/api/service",
        "rate, errors and latency of requests, also by route",
    ),
    (
        "/api/traces?route=&status=&min_ms=&errors=",
        "the latest traces",
    ),
    (
        "/api/traces/{trace_id}",
        "the spans and log records of a trace",
    ),
    ("/api/logs?level=&text=", "the latest log records"),
    ("/api/metrics", "every metric"),
    (
        "/api/losses",
        "what was refused, forgotten, or lost by senders",
    ),
];

/// The document of a path, if there is one.
pub(super) fn get(intake: &Intake, path: &str, query: &Query) -> Option<String> {
    let rest = path.strip_prefix("/api")?;
    let state = intake.state();
    match rest {
        "" | "/" => {
            let paths: std::collections::BTreeMap<_, _> = PATHS.into_iter().collect();
            json(&paths)
        }
        "/workers" => json(&model::workers(&state)),
        "/service" => json(&model::service(&state)),
        "/traces" => json(&model::traces(&state, query)),
        "/logs" => json(&model::logs(&state, query)),
        "/metrics" => json(&model::cards(&state)),
        "/losses" => json(&model::losses(&state)),
        _ => {
            let trace = rest.strip_prefix("/traces/")?;
            json(&model::waterfall(&state, &trace.to_ascii_lowercase())?)
        }
    }
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}
