//! Which format a scrape gets.

/// A format and how names are written in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Format {
    /// The syntax.
    pub syntax: Syntax,
    /// How names are escaped; `None` if the scraper did not say, which is
    /// [`Escaping::Underscores`].
    pub escaping: Option<Escaping>,
}

/// The syntax of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// Prometheus' [text format] 0.0.4.
    ///
    /// [text format]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    #[default]
    Text0,
    /// The same in its version 1.0.0, which allows UTF-8 names in quotes.
    Text1,
    /// [OpenMetrics] 1.0.0.
    ///
    /// [OpenMetrics]: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
    OpenMetrics,
}

/// How a name is written that has other characters than letters, digits and underscores; see
/// Prometheus' [escaping schemes].
///
/// [escaping schemes]: https://prometheus.io/docs/instrumenting/escaping_schemes/
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// As it is, in quotes.
    AllowUtf8,
    /// With an underscore for each other character.
    #[default]
    Underscores,
    /// With `_dot_` for a dot, and two underscores for each other character and each underscore.
    Dots,
    /// With the prefix `U__`, and the code point of each other character in hexadecimal digits.
    Values,
}

impl Escaping {
    const ALL: [(Escaping, &'static str); 4] = [
        (Escaping::AllowUtf8, "allow-utf-8"),
        (Escaping::Underscores, "underscores"),
        (Escaping::Dots, "dots"),
        (Escaping::Values, "values"),
    ];
}

impl Format {
    /// Chooses the format of an answer by the `Accept` header of a scrape, as Prometheus'
    /// [content negotiation] says. Of media types with the same weight the first one counts. The text
    /// format 0.0.4 is for whoever asks for anything else, or for nothing.
    ///
    /// ```
    /// use prometheus_exposition::{Escaping, Format, Syntax};
    ///
    /// let format = Format::negotiate("text/plain;version=1.0.0;escaping=allow-utf-8,*/*;q=0.1");
    /// assert_eq!(format.syntax, Syntax::Text1);
    /// assert_eq!(format.escaping, Some(Escaping::AllowUtf8));
    /// assert_eq!(Format::negotiate("*/*"), Format::default());
    /// ```
    ///
    /// [content negotiation]: https://prometheus.io/docs/instrumenting/content_negotiation/
    pub fn negotiate(accept: &str) -> Format {
        let mut best = (0.0, Format::default());
        for (weight, format) in accept.split(',').filter_map(range) {
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }

    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> String {
        let (media_type, version) = match self.syntax {
            Syntax::Text0 => ("text/plain", "0.0.4"),
            Syntax::Text1 => ("text/plain", "1.0.0"),
            Syntax::OpenMetrics => ("application/openmetrics-text", "1.0.0"),
        };
        let mut text = format!("{media_type}; version={version}; charset=utf-8");
        let name = Escaping::ALL
            .iter()
            .find(|(known, _)| Some(*known) == self.escaping);
        if let Some((_, name)) = name {
            text.push_str("; escaping=");
            text.push_str(name);
        }
        text
    }
}

/// The weight and the format of a media range; `None` if there is no such format.
fn range(range: &str) -> Option<(f32, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?;
    let (mut version, mut escaping, mut weight) = ("", None, 1.0);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        let name = name.trim();
        if name.eq_ignore_ascii_case("version") {
            version = value;
        } else if name.eq_ignore_ascii_case("escaping") {
            escaping = Escaping::ALL.iter().find(|(_, known)| *known == value);
        } else if name.eq_ignore_ascii_case("q") {
            weight = value.parse().unwrap_or(weight);
        }
    }
    let is = |known: &str| media_type.eq_ignore_ascii_case(known);
    let syntax = match version {
        "" | "1.0.0" if is("application/openmetrics-text") => Syntax::OpenMetrics,
        "1.0.0" if is("text/plain") => Syntax::Text1,
        "" | "0.0.4" if is("text/plain") || is("text/*") || is("*/*") => Syntax::Text0,
        _ => return None,
    };
    let escaping = escaping.map(|(escaping, _)| match (syntax, *escaping) {
        // That version has no quotes.
        (Syntax::Text0, Escaping::AllowUtf8) => Escaping::Underscores,
        (_, escaping) => escaping,
    });
    Some((weight, Format { syntax, escaping }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Prometheus 3.16 sends by default.
    const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    /// What Prometheus 2.42 sends.
    const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    #[test]
    fn each_scraper_gets_the_best_format_that_it_knows() {
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let text = "text/plain; version=0.0.4; charset=utf-8";
        for (accept, expected) in [
            (PROMETHEUS, format!("{openmetrics}; escaping=allow-utf-8")),
            (PROMETHEUS_2, openmetrics.to_owned()),
            ("application/openmetrics-text", openmetrics.to_owned()),
            ("*/*", text.to_owned()),
            ("", text.to_owned()),
            ("application/json", text.to_owned()),
            ("text/html,application/xhtml+xml,*/*;q=0.8", text.to_owned()),
            (
                "application/openmetrics-text;version=0.0.1",
                text.to_owned(),
            ),
            (
                "text/plain;version=0.0.4;escaping=allow-utf-8",
                format!("{text}; escaping=underscores"),
            ),
            (
                "TEXT/PLAIN; Version=\"0.0.4\"; escaping=dots",
                format!("{text}; escaping=dots"),
            ),
            (
                "text/plain;version=1.0.0;escaping=values;q=0.2,application/openmetrics-text;q=0",
                "text/plain; version=1.0.0; charset=utf-8; escaping=values".to_owned(),
            ),
            (
                "text/plain;version=0.0.4,application/openmetrics-text",
                text.to_owned(),
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.9,application/openmetrics-text;version=1.0.0;q=0.6",
                openmetrics.to_owned(),
            ),
        ] {
            assert_eq!(
                Format::negotiate(accept).content_type(),
                expected,
                "{accept}"
            );
        }
    }
}
