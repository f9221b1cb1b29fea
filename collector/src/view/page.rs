//! The page: its frame, and the parts that are kept up to date.

use maud::{DOCTYPE, Markup, html};

use super::{
    format::{number, text},
    logs, metrics, service, traces, workers,
};
use crate::{intake::Intake, model, query::Query};

/// A part of the page. Filters are in none, so that they keep what is typed.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Head,
    Workers,
    Service,
    Traces,
    Waterfall,
    Logs,
    Metrics,
    Losses,
}

pub(super) const PARTS: [Part; 8] = [
    Part::Head,
    Part::Workers,
    Part::Service,
    Part::Traces,
    Part::Waterfall,
    Part::Logs,
    Part::Metrics,
    Part::Losses,
];

impl Part {
    /// The id of its element, and the name of its events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Workers => "workers",
            Self::Service => "service",
            Self::Traces => "traces",
            Self::Waterfall => "waterfall",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Losses => "losses",
        }
    }
}

/// The HTML of a part.
pub(super) fn part(intake: &Intake, query: &Query, part: Part) -> String {
    let state = intake.state();
    // The state is locked while the model is made, and not while it is drawn.
    let html = match part {
        Part::Head => {
            let (service, workers) = (model::service(&state), model::workers(&state));
            drop(state);
            head(&service, &workers)
        }
        Part::Workers => {
            let workers = model::workers(&state);
            drop(state);
            workers::workers(&workers)
        }
        Part::Service => {
            let service = model::service(&state);
            drop(state);
            service::service(&service)
        }
        Part::Traces => {
            let rows = model::traces(&state, query);
            drop(state);
            traces::list(&rows, query)
        }
        Part::Waterfall => {
            let found = model::waterfall(&state, &query.trace);
            drop(state);
            traces::waterfall(found.as_ref(), query)
        }
        Part::Logs => {
            let found = model::logs(&state, query);
            drop(state);
            logs::list(&found, query)
        }
        Part::Metrics => {
            let cards = model::cards(&state);
            drop(state);
            metrics::cards(&cards, query)
        }
        Part::Losses => {
            let losses = model::losses(&state);
            drop(state);
            losses_of(&losses)
        }
    };
    html.into_string()
}

/// The whole page. Without its script it shows the state at the time of loading.
pub(super) fn page(intake: &Intake, query: &Query) -> String {
    let place = |wanted: Part| {
        let html = maud::PreEscaped(part(intake, query, wanted));
        html! { div id=(wanted.name()) { (html) } }
    };
    let (http, grpc) = intake.addresses();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "live view" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/view.css";
                script src="/view.js" defer {}
            }
            body {
                header.top {
                    (place(Part::Head))
                    nav aria-label="Sections" {
                        a href="#traces-title" { "traces" }
                        a href="#logs-title" { "logs" }
                        a href="#metrics-title" { "metrics" }
                        a href="#send" { "send your own" }
                        a href="/api" { "api" }
                    }
                    span #live role="status" { "snapshot" }
                }
                main {
                    h2 { "Workers" }
                    (place(Part::Workers))
                    h2 { "Service" small { "the last two minutes" } }
                    (place(Part::Service))
                    form #filters method="get" action="/" autocomplete="off" {
                        input type="hidden" name="trace" value=(query.trace);
                        div.title {
                            h2 #traces-title { "Traces" }
                            div.filters {
                                label { "route " input name="route" value=(query.route) placeholder="any" size="12"; }
                                label { "status " input name="status" value=(query.status) placeholder="any" size="3" inputmode="numeric"; }
                                label { "≥ " input name="min_ms" value=(query.min_ms) placeholder="0" size="4" inputmode="decimal"; " ms" }
                                label { input type="checkbox" name="errors" value="1" checked[query.errors]; " errors" }
                            }
                        }
                        (place(Part::Traces))
                        (place(Part::Waterfall))
                        div.title {
                            h2 #logs-title { "Logs" }
                            div.filters {
                                label { "level "
                                    select name="level" {
                                        @for level in ["", "debug", "info", "warn", "error"] {
                                            option value=(level) selected[query.level == level] {
                                                (if level.is_empty() { "any" } else { level })
                                            }
                                        }
                                    }
                                }
                                label { "text " input name="text" value=(query.text) placeholder="any" size="12"; }
                                label { input #pause type="checkbox"; " pause" }
                                noscript { button { "apply" } }
                            }
                        }
                        (place(Part::Logs))
                    }
                    h2 #metrics-title { "Metrics" }
                    (place(Part::Metrics))
                    h2 { "Losses" }
                    (place(Part::Losses))
                    h2 #send { "Send your own" }
                    div.panel.send {
                        p { "Any service with an OpenTelemetry SDK can send here:" }
                        pre tabindex="0" { code {
                            "export OTEL_EXPORTER_OTLP_ENDPOINT=http://" (http) "\n"
                            "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
                            "export OTEL_SERVICE_NAME=my-service"
                        } }
                        p.mute { "For gRPC: http://" (grpc) " and OTEL_EXPORTER_OTLP_PROTOCOL=grpc." }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn head(service: &model::Service, workers: &model::Workers) -> Markup {
    let live = workers
        .workers
        .iter()
        .filter(|worker| [model::State::Live, model::State::Serving].contains(&worker.state));
    let live = live.count();
    html! {
        h1 {
            @if service.names.is_empty() { "nothing has arrived yet" }
            @for (index, name) in service.names.iter().take(4).enumerate() {
                @if index > 0 { ", " }
                (text(name))
            }
        }
        span.mute {
            @if live > 0 {
                (live) (if live == 1 { " worker · " } else { " workers · " })
                (number(service.requests_per_second)) " requests/s"
            }
        }
    }
}

fn losses_of(losses: &model::Losses) -> Markup {
    let count = |count: u64, what: &str| {
        html! {
            li { b.bad[count > 0] { (number(count as f64)) } " " (what) }
        }
    };
    html! {
        ul.loss {
            (count(losses.refused_requests, "requests refused"))
            (count(losses.refused_data_points, "data points beyond the limit of series"))
            (count(losses.refused_spans, "spans without valid ids"))
            @for (what, count) in &losses.by_senders {
                li { b.bad { (number(*count)) } " " (text(what)) " (counted by senders)" }
            }
            li { b { (number(losses.forgotten_spans as f64)) } " older spans and "
                b { (number(losses.forgotten_logs as f64)) } " older log records, dropped to make room" }
            li { b { (number(losses.spans as f64)) } " spans, "
                b { (number(losses.logs as f64)) } " log records kept, from "
                b { (number(losses.requests as f64)) } " exports" }
        }
    }
}
