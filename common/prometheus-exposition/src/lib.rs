//! Answers a scrape in the format that the scraper asks for.
//!
//! Write metrics once, in Prometheus' text format, and let [`Request`] turn the text into what the
//! `Accept` header of the scrape names: the text format 0.0.4 (the default) or 1.0.0, or OpenMetrics
//! 1.0.0, with UTF-8 names as they are or escaped, compressed, or only some families.
//!
//! ```
//! use prometheus_exposition::Request;
//!
//! let text = "# HELP orders_total Orders taken\n# TYPE orders_total counter\norders_total 1.0\n";
//! let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
//! let answer = Request::new(Some(accept), None, None).answer(text.to_owned());
//! assert_eq!(answer.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
//! assert_eq!(
//!     answer.body,
//!     b"# HELP orders Orders taken\n# TYPE orders counter\norders_total 1.0\n# EOF\n"
//! );
//! ```
//!
//! The text that goes in is that of the format 1.0.0 without timestamps: a name that the format 0.0.4
//! does not allow stands in quotes, as in `{"http.requests",method="GET"} 1`. The samples of a
//! family stand together, behind its `# HELP` and `# TYPE` lines. For OpenMetrics alone it may have
//! exemplars, and lines `_created`, the start times of counters, histograms and summaries.

mod encode;
mod family;
mod format;
mod header;
mod name;
mod names;
mod quote;
mod request;
mod sample;

pub use self::{
    encode::has_quoted_names,
    format::{Escaping, Format, Syntax},
    header::push_header,
    name::{is_label_name, is_metric_name},
    quote::push_quoted,
    request::{Answer, Request},
    sample::parse_labels,
};
