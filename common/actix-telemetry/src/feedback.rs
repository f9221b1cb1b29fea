//! Which records must not be exported, since exporting them makes new ones.

/// Crates below the exporters. What they log while they export would be exported
/// next, without an end, so it never reaches OpenTelemetry. The console shows it.
///
/// `tracing` is the target of spans that h2, hyper and others open; `mio` and
/// `tokio` are below their sockets.
pub(crate) const BELOW_THE_EXPORTERS: [&str; 17] = [
    "h2",
    "hyper",
    "hyper_rustls",
    "hyper_timeout",
    "hyper_util",
    "mio",
    "opentelemetry",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "tokio",
    "tokio_rustls",
    "tonic",
    "tower",
    "tower_http",
    "tracing",
    "want",
];

/// Whether the target is one of those crates or a module of one.
///
/// `opentelemetry` stands for all of its crates, whose targets have a `-` or a `_`.
pub(crate) fn is_below_the_exporters(target: &str) -> bool {
    let mut bytes = target.bytes();
    let end = bytes.position(|byte| matches!(byte, b':' | b'-'));
    let name = &target[..end.unwrap_or(target.len())];
    BELOW_THE_EXPORTERS.contains(&name) || name.starts_with("opentelemetry_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_covers_modules_but_no_other_crates() {
        for target in [
            "h2::codec::framed_read",
            "tracing::span::active",
            "opentelemetry-otlp",
            "opentelemetry_sdk::logs",
            "opentelemetry",
            "reqwest::connect",
        ] {
            assert!(is_below_the_exporters(target), "{target}");
        }
        for target in ["h2o", "logs::routes", "tracing_shop", "actix_http::h2", ""] {
            assert!(!is_below_the_exporters(target), "{target}");
        }
    }
}
