//! The configured addresses.

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Result;
use e2e::{Load, Program, SOON, Signal, http, poll, real_part};

use super::{hello, hello_without_helpers, wait_for_answers_from, wait_for_workers};

#[test]
fn every_worker_serves_wherever_the_program_listens() -> Result<()> {
    for host in ["localhost", "0.0.0.0", "127.0.0.2", "::1"] {
        if host == "::1" && TcpListener::bind("[::1]:0").is_err() {
            real_part::skip("this machine has no IPv6 on loopback")?;
            continue;
        }
        let hello = hello_without_helpers(2).option("--host", host).start()?;
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
fn a_reload_scaling_and_a_stop_lose_nothing_at_any_of_several_addresses() -> Result<()> {
    let hosts = "127.0.0.1,127.0.0.2";
    let mut hello = hello_without_helpers(2).option("--host", hosts).start()?;
    let port = hello.addr()?.port();
    let old = hello.workers();
    let traffic = [1, 2].map(|last| {
        let load = Load::on(SocketAddr::from(([127, 0, 0, last], port)));
        load.clients(8).keep_alive(false).start()
    });
    let traffic = traffic.into_iter().collect::<Result<Vec<_>>>()?;
    let wait = || {
        let mut all = traffic.iter();
        all.try_for_each(|one| one.wait_for_answers(300, SOON))
    };
    wait()?;
    hello.signal(Signal::SIGHUP)?;
    let new = wait_for_workers(&hello, 2, &old)?;
    hello.signal(Signal::SIGTTIN)?;
    let three = poll("a third worker", SOON, || {
        Some(hello.workers()).filter(|workers| workers.len() == 3)
    })?;
    wait_for_answers_from(&hello, &three)?;
    hello.signal(Signal::SIGTTOU)?;
    poll("the third one to go", SOON, || {
        Some(hello.workers()).filter(|workers| *workers == new)
    })?;
    wait()?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    for one in traffic {
        let report = one.stop()?;
        assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
        assert_eq!(report.pids.len(), 5, "{report}");
    }
    Ok(())
}

#[test]
fn localhost_is_both_loopback_addresses_for_the_service_and_for_metrics() -> Result<()> {
    if TcpListener::bind("[::1]:0").is_err() {
        return real_part::skip("this machine has no IPv6 on loopback");
    }
    let program = Program::new("metrics-multi-process-pull")
        .option("--host", "localhost")
        .option("--metrics-port", 0);
    let running = program.start()?;
    let port = running.addr()?.port();
    let metrics = running.ready()?.parts["metrics"].clone();
    let metrics = metrics
        .rsplit(':')
        .next()
        .and_then(|rest| rest.strip_suffix("/metrics"));
    let metrics: u16 = metrics.unwrap_or_default().parse()?;
    for ip in ["127.0.0.1", "::1"] {
        let ip: IpAddr = ip.parse()?;
        assert_eq!(
            http::get(SocketAddr::new(ip, port), "/healthz")?.status,
            200
        );
        assert_eq!(
            http::get(SocketAddr::new(ip, metrics), "/metrics")?.status,
            200
        );
    }
    Ok(())
}

#[test]
fn the_application_knows_the_address_that_it_is_served_at() -> Result<()> {
    let hello = hello(2).start()?;
    let addr = hello.addr()?;
    let told = http::get(addr, "/address")?.body;
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
