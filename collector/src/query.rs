//! What a reader wants to see: the query of the page, of its events and of the interface for
//! programs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::attribute;

/// Longest text of a filter in bytes.
const MAX_TEXT: usize = 200;

/// What need not be encoded in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'/');

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    /// Traces with this route.
    pub(crate) route: String,
    /// Traces with this status of the response.
    pub(crate) status: String,
    /// Traces that took at least this long, in milliseconds.
    pub(crate) min_ms: String,
    /// Traces with an error.
    pub(crate) errors: bool,
    /// The trace that is open.
    pub(crate) trace: String,
    /// Records of at least this level.
    pub(crate) level: String,
    /// Records with this text.
    pub(crate) text: String,
}

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            let value = attribute::cut(value.trim(), MAX_TEXT).to_owned();
            match name {
                "route" => parsed.route = value,
                "status" => parsed.status = value,
                "min_ms" => parsed.min_ms = value,
                "errors" => parsed.errors = !["", "0", "false"].contains(&value.as_str()),
                "trace" => parsed.trace = value.to_ascii_lowercase(),
                "level" => parsed.level = value.to_ascii_lowercase(),
                "text" => parsed.text = value,
                _ => {}
            }
        }
        parsed
    }

    /// The same with another trace open.
    pub(crate) fn with_trace(&self, trace: &str) -> Self {
        Self {
            trace: trace.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn filters_traces(&self) -> bool {
        self.errors
            || ![&self.route, &self.status, &self.min_ms]
                .iter()
                .all(|text| text.is_empty())
    }

    pub(crate) fn filters_logs(&self) -> bool {
        !self.level.is_empty() || !self.text.is_empty()
    }

    /// The shortest duration in seconds.
    pub(crate) fn min_seconds(&self) -> f64 {
        self.min_ms.parse().map_or(0.0, |ms: f64| ms / 1e3)
    }

    /// The lowest severity number of OpenTelemetry.
    pub(crate) fn min_severity(&self) -> i32 {
        match self.level.as_str() {
            "debug" => 5,
            "info" => 9,
            "warn" => 13,
            "error" => 17,
            _ => 0,
        }
    }

    /// For a link.
    pub(crate) fn encode(&self) -> String {
        let errors = if self.errors { "1" } else { "" };
        let pairs = [
            ("route", self.route.as_str()),
            ("status", &self.status),
            ("min_ms", &self.min_ms),
            ("errors", errors),
            ("level", &self.level),
            ("text", &self.text),
            ("trace", &self.trace),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)))
            .collect();
        format!("?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_its_own_encoding() {
        let query = Query::parse("route=%2Fa+b&status=500&min_ms=2.5&errors=1&text=%3Cb%3E%26&x=y");
        assert_eq!(query.route, "/a b");
        assert_eq!(query.text, "<b>&");
        assert!((query.min_seconds() - 0.0025).abs() < 1e-9);
        assert_eq!(Query::parse(query.encode().trim_start_matches('?')), query);
        assert_eq!(Query::parse("errors=0&level=WARN").min_severity(), 13);
        assert_eq!(
            Query::parse(&format!("text={}", "é".repeat(500)))
                .text
                .len(),
            200
        );
    }
}
