//! The configured addresses.

use std::net::TcpListener;

use anyhow::Result;
use e2e::{Load, Program, SOON, real_part};

use super::hello;

#[test]
fn every_worker_serves_wherever_the_program_listens() -> Result<()> {
    for host in ["localhost", "0.0.0.0", "127.0.0.2", "::1"] {
        if host == "::1" && TcpListener::bind("[::1]:0").is_err() {
            real_part::skip("this machine has no IPv6 on loopback")?;
            continue;
        }
        let hello = hello(2).option("--host", host).start()?;
        let mut addr = hello.addr()?;
        if addr.ip().is_unspecified() {
            addr.set_ip([127, 0, 0, 1].into());
        }
        let load = Load::on(addr).clients(8).keep_alive(false);
        let report = load.requests(500).run()?;
        assert_eq!(report.answered, 500, "{host}: {report}");
        assert_eq!(report.pids.len(), 2, "{host}: {report}");
    }
    Ok(())
}

#[test]
fn the_application_knows_the_address_that_it_is_served_at() -> Result<()> {
    let hello = hello(2).start()?;
    let addr = hello.addr()?;
    let told = e2e::http::get(addr, "/address")?.body;
    assert_eq!(told, format!("{addr} {addr}"));
    Ok(())
}

#[test]
fn variables_work_like_flags_and_flags_take_precedence() -> Result<()> {
    let by_variables = Program::example("actix-prefork", "hello")
        .env("BIND_HOST", "127.0.0.3")
        .env("WEB_CONCURRENCY", "3");
    let hello = by_variables.start()?;
    assert_eq!(hello.addr()?.ip().to_string(), "127.0.0.3");
    assert_eq!(hello.workers().len(), 3);

    let by_flags = by_variables
        .option("--host", "127.0.0.4")
        .option("--workers", 1);
    let hello = by_flags.start()?;
    assert_eq!(hello.addr()?.ip().to_string(), "127.0.0.4");
    assert_eq!(hello.workers().len(), 1);
    Ok(())
}

#[test]
fn help_names_every_flag() -> Result<()> {
    let ended = hello(2).arg("--help").run(SOON)?;
    assert_eq!(ended.status.code(), Some(0));
    for flag in [
        "--host",
        "--port",
        "--workers",
        "--threads",
        "--graceful-timeout",
        "--timeout",
        "--hang-timeout",
        "--boot-timeout",
        "--max-requests",
        "--max-requests-jitter",
    ] {
        assert!(
            ended.stdout.contains(flag),
            "no {flag} in:\n{}",
            ended.stdout
        );
    }
    Ok(())
}
