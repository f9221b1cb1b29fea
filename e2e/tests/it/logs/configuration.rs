//! Which routes are served.

use anyhow::Result;

#[test]
fn harmful_demonstration_routes_are_served_only_on_demand() -> Result<()> {
    let running = e2e::Program::new("logs")
        .env("OTEL_LOGS_EXPORTER", "none")
        .start()?;
    for path in ["/demo/crash", "/demo/panic", "/demo/values"] {
        assert_eq!(super::get(&running, path)?.status, 404, "{path}");
    }
    Ok(())
}
