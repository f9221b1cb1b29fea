//! Requests and latency of the service.

use maud::{Markup, html};

use super::{
    chart,
    format::{number, seconds, text},
};
use crate::model::{Route, Service};

pub(super) fn service(service: &Service) -> Markup {
    let top = chart::top(&service.requests);
    html! {
        div.cols {
            div.panel {
                p.caption {
                    b { "Requests" } " " (number(service.requests_per_second)) "/s"
                    @if let Some(ratio) = service.error_ratio {
                        " · " span.bad[ratio > 0.0] { (number(ratio * 100.0)) " % errors" }
                    }
                }
                div.axes {
                    div.axis { span { (number(top)) "/s" } span { (number(top / 2.0)) "/s" } span { "0" } }
                    (chart::lines(&service.requests, &service.lines, &service.marks, top))
                }
                p.legend { "thick: the sum; thin: each worker; dashes: a worker came or went" }
            }
            div.panel { (latency(service)) }
        }
        @if !service.routes.is_empty() { (routes(&service.routes)) }
    }
}

fn routes(routes: &[Route]) -> Markup {
    let quantile = |quantile: Option<f64>| quantile.map(seconds).unwrap_or_default();
    html! {
        div.panel.routes {
            table {
                thead { tr {
                    th scope="col" { "Route" }
                    @for name in ["requests", "errors", "p50", "p95", "p99"] { th scope="col" { (name) } }
                } }
                tbody { @for route in routes { tr {
                    th scope="row" {
                        (text(&route.method)) " "
                        @if route.route.is_empty() { "no route" } @else { (text(&route.route)) }
                    }
                    td { (number(route.requests)) }
                    td.bad[route.errors > 0.0] { (number(100.0 * route.errors / route.requests.max(1.0))) " %" }
                    td { (quantile(route.p50)) }
                    td { (quantile(route.p95)) }
                    td { (quantile(route.p99)) }
                } } }
            }
            p.legend { "since the workers started" }
        }
    }
}

fn latency(service: &Service) -> Markup {
    let Some(heat) = chart::heat(&service.heat) else {
        return html! {
            p.caption { b { "Latency" } }
            p.empty { "No request in the last two minutes." }
        };
    };
    html! {
        p.caption {
            b { "Latency" }
            @for (name, quantile) in [("p50", service.p50), ("p95", service.p95), ("p99", service.p99)] {
                @if let Some(quantile) = quantile { span.quantile { (name) " " (seconds(quantile)) } }
            }
        }
        div.axes {
            div.axis { span { (seconds(heat.highest)) } span { (seconds(heat.middle)) } span { (seconds(heat.lowest)) } }
            (heat.drawing)
        }
        p.legend { "the stronger the colour, the more requests" }
    }
}
