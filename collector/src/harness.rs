//! The metrics of a harness, which starts and replaces worker processes.

/// What a metric of a harness says of its workers, such as `spawns`; `None` for another metric.
pub(crate) fn metric(name: &str) -> Option<&str> {
    name.strip_prefix("worker.")
}
