//! The exporters of OpenTelemetry's Python SDK send to our collector.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use collector::Signal;
use e2e::real_part;

use crate::otlp::{PROTOCOLS, collector};

/// A Python with the exporters. Otherwise prints a message and returns `None`.
fn python() -> Result<Option<PathBuf>> {
    let python = env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let check = Command::new(&python)
        .args(["-c", "import opentelemetry.exporter.otlp.proto.grpc"])
        .stderr(Stdio::null())
        .status();
    if check.is_ok_and(|status| status.success()) {
        return Ok(Some(python));
    }
    real_part::skip(&format!(
        "{} has no OTLP exporters; `pip install -r e2e/requirements.txt`, or name another \
         interpreter in PYTHON",
        python.display()
    ))?;
    Ok(None)
}

#[test]
fn every_type_of_metric_a_record_and_a_span_arrive_from_python_over_both_protocols() -> Result<()> {
    let Some(python) = python()? else {
        return Ok(());
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/otlp_export.py");
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let address = protocol.choose(collector.http_addr(), collector.grpc_addr());
        let output = Command::new(&python)
            .args([script, protocol.name()])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .env("NO_PROXY", "127.0.0.1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && errors.is_empty(), "{errors}");

        let received = collector.received();
        assert_eq!(received.refused(), 0, "{protocol:?}");
        assert_eq!(received.sum("requests", &[("k", "v")]), 3.0);
        assert_eq!(received.sum("active", &[]), 2.0);
        assert_eq!(received.sum("temperature", &[]), 21.5);
        assert_eq!(received.count("duration", &[]), 1);
        assert_eq!(received.count("size", &[]), 100);
        assert_eq!(received.sum("size", &[]), 5_050.0);
        let [span] = received.spans() else {
            panic!("one span: {:?}", received.spans());
        };
        let [log] = received.logs() else {
            panic!("one record: {:?}", received.logs());
        };
        assert_eq!(
            (log.body().as_str(), log.trace_id()),
            ("it works", span.trace_id())
        );
        assert_eq!(received.instances().len(), 1);
        for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
            assert!(received.requests(signal) > 0, "{signal:?}");
        }
    }
    Ok(())
}
