//! Queries of URLs, as spans may repeat them.

/// What stands for a secret.
pub(crate) const REDACTED: &str = "REDACTED";

/// The query of a request as a span may repeat it. Any of its values may be a secret, so
/// only their names are left.
pub(crate) fn without_values(query: &str) -> String {
    let names = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={REDACTED}"),
        None => REDACTED.to_owned(),
    });
    names.collect::<Vec<_>>().join("&")
}

/// Names whose values are known to be secret, as the [conventions] list them in this and
/// in earlier releases.
///
/// [conventions]: https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/#url-query
#[cfg(feature = "client")]
const SECRET: [&str; 7] = [
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Goog-Signature",
    "sig",
];

/// The query of a call that we make, with the values that are known to be secret replaced.
#[cfg(feature = "client")]
pub(crate) fn redacted(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET.contains(&name) => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}
