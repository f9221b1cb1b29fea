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
    let end = target.find([':', '-']).unwrap_or(target.len());
    let name = &target[..end];
    BELOW_THE_EXPORTERS.binary_search(&name).is_ok() || name.starts_with("opentelemetry_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_covers_modules_but_no_other_crates() {
        assert!(BELOW_THE_EXPORTERS.is_sorted());
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
