//! The requests of each route.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;

use crate::{attribute, state, value::Value};

/// Routes that are shown at most.
const MAX_ROUTES: usize = 24;

/// A method and a route, with what its workers have counted since they started.
#[derive(Serialize)]
pub(crate) struct Route {
    pub(crate) method: String,
    /// Empty for requests that match no route.
    pub(crate) route: String,
    pub(crate) requests: f64,
    pub(crate) errors: f64,
    /// Quantiles in seconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// By `http.server.request.duration`, the busiest first.
pub(crate) fn routes(state: &state::State) -> Vec<Route> {
    let mut found = BTreeMap::<(&str, &str), (Value, f64)>::new();
    for (key, series) in state.totals.iter(Instant::now()) {
        if key.metric != "http.server.request.duration" {
            continue;
        }
        let Some(sum) = series.sum() else { continue };
        let find = |name: &str| attribute::find_text(&key.attributes, name).unwrap_or_default();
        let errors = match attribute::is_error(&key.attributes) {
            true => sum.amount().as_f64(),
            false => 0.0,
        };
        let place = (find("http.request.method"), find("http.route"));
        found
            .entry(place)
            .and_modify(|(total, failed)| {
                *total = total.plus(&sum);
                *failed += errors;
            })
            .or_insert((sum, errors));
    }
    let mut routes: Vec<_> = found.into_iter().map(Route::of).collect();
    routes.sort_by(|a, b| b.requests.total_cmp(&a.requests));
    routes.truncate(MAX_ROUTES);
    routes
}

impl Route {
    fn of(((method, route), (total, errors)): ((&str, &str), (Value, f64))) -> Self {
        let quantile = |q: f64| match &total {
            Value::Distribution(distribution) => distribution.quantile(q),
            Value::Number(_) => None,
        };
        Self {
            method: method.to_owned(),
            route: route.to_owned(),
            requests: total.amount().as_f64(),
            errors,
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}
