//! Each scraper gets `/metrics` in the format that it asks for, from every program that has it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    Program, Running, SOON, Temporary,
    http::{self, Connection, Response},
    real_part,
};

/// What Prometheus 3 sends; see `acceptHeader` in its `scrape` package.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
     application/openmetrics-text;version=0.0.1;q=0.5,\
     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

const OPENMETRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The programs, with the directory of the one that has none itself.
fn programs(directory: &Temporary) -> Result<Vec<Running>> {
    let exporter = Program::bin("prometheus-multiprocess", "multiprocess-exporter")
        .build_arg("--features=exporter")
        .option("--port", 0)
        .option("--dir", directory.path().display());
    Ok(vec![
        Program::new("metrics-multi-process-pull").start()?,
        Program::new("metrics-single-process-pull").start()?,
        exporter.start()?,
    ])
}

fn scrape(running: &Running, path: &str, headers: &str) -> Result<Response> {
    let mut connection = Connection::open(running.addr()?)?;
    let host = "Host: localhost\r\nConnection: close";
    connection.send(&format!("GET {path} HTTP/1.1\r\n{host}\r\n{headers}\r\n"))?;
    let response = connection.receive()?;
    ensure!(response.status == 200, "{response:?}");
    Ok(response)
}

/// The whole answer to `HEAD /metrics`.
fn head(running: &Running) -> Result<String> {
    let mut stream = TcpStream::connect(running.addr()?)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn prometheus_gets_openmetrics_and_curl_gets_text() -> Result<()> {
    let directory = Temporary::new("negotiation")?;
    for running in programs(&directory)? {
        let prometheus = format!("Accept: {PROMETHEUS}\r\nAccept-Encoding: gzip\r\n");
        let response = scrape(&running, "/metrics", &prometheus)?;
        assert_eq!(response.header("content-type"), Some(OPENMETRICS));
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        let response = scrape(&running, "/metrics", &format!("Accept: {PROMETHEUS}\r\n"))?;
        assert_eq!(response.header("content-encoding"), None);
        assert!(response.body.ends_with("\n# EOF\n") || response.body == "# EOF\n");
        let response = scrape(
            &running,
            "/metrics",
            "User-Agent: curl/8\r\nAccept: */*\r\n",
        )?;
        assert_eq!(response.header("content-type"), Some(TEXT));
        assert!(!response.body.contains("# EOF"), "{}", response.body);
        let head = head(&running)?;
        let lines = head.to_ascii_lowercase();
        assert!(lines.starts_with("http/1.1 200 "), "{head}");
        assert!(
            lines.contains(&format!("\r\ncontent-type: {TEXT}\r\n")),
            "{head}"
        );
        assert!(
            lines.contains("\r\ncontent-length: ") && lines.ends_with("\r\n\r\n"),
            "{head}"
        );
    }
    Ok(())
}

#[test]
fn a_scrape_of_some_names_has_only_those() -> Result<()> {
    let directory = Temporary::new("negotiation-names")?;
    for running in programs(&directory)?.iter().take(2) {
        let path = "/metrics?name[]=num_requests_total&name[]=error_count";
        let response = scrape(running, path, "")?;
        let types = response.body.matches("# TYPE").count();
        assert_eq!(types, 2, "{}", response.body);
        let value = scrape(running, "/metrics?name%5B%5D=nothing", "")?;
        assert_eq!(value.body, "");
    }
    Ok(())
}

#[test]
fn python_reads_the_openmetrics_of_every_program() -> Result<()> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let parse = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        print(*sorted(f'{f.name}:{f.type}' for f in parse(sys.stdin.read())))";
    let check = Command::new(&python)
        .args(["-c", "import prometheus_client"])
        .stderr(Stdio::null())
        .status();
    if !check.is_ok_and(|status| status.success()) {
        return real_part::skip(&format!("{python} has no prometheus_client"));
    }
    let directory = Temporary::new("negotiation-python")?;
    for (index, running) in programs(&directory)?.iter().enumerate() {
        http::get(running.addr()?, "/")?;
        let response = scrape(running, "/metrics", &format!("Accept: {PROMETHEUS}\r\n"))?;
        let mut child = Command::new(&python)
            .args(["-c", parse])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("no pipe to Python")?;
        input.write_all(response.body.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}\n{}", response.body);
        let has = |family: &str| said.split_whitespace().any(|read| read == family);
        let expected = [
            "num_requests:counter",
            "http_server_request_duration_seconds:histogram",
        ];
        assert!(
            index == 2 || expected.iter().all(|family| has(family)),
            "{said}"
        );
    }
    Ok(())
}
