//! What a scrape asks for, and its answer.

use percent_encoding::percent_decode_str;

use crate::{encode::encode, format::Format};

/// Names in a request that count; nobody asks for more by hand.
const MAX_NAMES: usize = 1000;

/// What a scrape asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The format of the answer.
    pub format: Format,
    /// Whether the answer may be compressed.
    pub gzip: bool,
    /// The names of the families in the answer, or of their samples; all if it is empty.
    pub names: Vec<String>,
}

/// The answer to a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The value of the `Content-Type` header.
    pub content_type: String,
    /// The value of the `Content-Encoding` header, if there has to be one.
    pub content_encoding: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads the headers `Accept` and `Accept-Encoding` of a request and its query, such as
    /// `name[]=orders_total&name[]=up`.
    ///
    /// ```
    /// use prometheus_exposition::Request;
    ///
    /// let request = Request::new(None, Some("gzip"), Some("name[]=orders_total&name%5B%5D=up"));
    /// assert!(request.gzip);
    /// assert_eq!(request.names, ["orders_total", "up"]);
    /// ```
    pub fn new(
        accept: Option<&str>,
        accept_encoding: Option<&str>,
        query: Option<&str>,
    ) -> Request {
        Request {
            format: Format::negotiate(accept.unwrap_or_default()),
            gzip: accept_encoding.unwrap_or_default().split(',').any(is_gzip),
            names: names(query.unwrap_or_default()),
        }
    }

    /// The answer with this text, in which names that are not plain stand in quotes.
    ///
    /// Names that become one when they are escaped are told apart: one that is not plain is then
    /// escaped as with [`Escaping::Values`](crate::Escaping::Values).
    pub fn answer(&self, text: String) -> Answer {
        let body = encode(text, self.format, &self.names).into_bytes();
        let (content_encoding, body) = match self.gzip {
            true => compress(body),
            false => (None, body),
        };
        Answer {
            content_type: self.format.content_type(),
            content_encoding,
            body,
        }
    }
}

impl Format {
    /// A text of the format 1.0.0 in this format.
    ///
    /// ```
    /// use prometheus_exposition::Format;
    ///
    /// let text = "# TYPE \"http.open\" gauge\n{\"http.open\",host=\"a\"} 1\n";
    /// let text = Format::default().encode(text.to_owned());
    /// assert_eq!(text, "# TYPE http_open gauge\nhttp_open{host=\"a\"} 1\n");
    /// ```
    pub fn encode(self, text: String) -> String {
        encode(text, self, &[])
    }
}

fn is_gzip(coding: &str) -> bool {
    let mut parts = coding.split(';').map(str::trim);
    let is_gzip = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
    let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
    is_gzip && weight != Some(0.0)
}

fn names(query: &str) -> Vec<String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let names = pairs.filter(|(key, _)| decoded(key) == "name[]");
    names
        .map(|(_, name)| decoded(name))
        .take(MAX_NAMES)
        .collect()
}

#[cfg(feature = "gzip")]
fn compress(body: Vec<u8>) -> (Option<&'static str>, Vec<u8>) {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    // Writing to memory cannot fail.
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(compressed) => (Some("gzip"), compressed),
        Err(_) => (None, body),
    }
}

#[cfg(not(feature = "gzip"))]
fn compress(body: Vec<u8>) -> (Option<&'static str>, Vec<u8>) {
    (None, body)
}
