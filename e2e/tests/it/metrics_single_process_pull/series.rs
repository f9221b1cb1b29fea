//! The series follow the contract for any request.

use anyhow::Result;
use e2e::{
    Load,
    http::{self, Connection},
};

use super::{
    ACTIVE, COUNT, HTTP_REQUESTS, REQUESTS, Scrape, pull, pull_with_metrics_port, settled,
};

#[test]
fn no_request_can_create_a_series() -> Result<()> {
    let running = pull().start()?;
    let addr = running.addr()?;
    for number in 0..50 {
        http::get(addr, &format!("/nope/{number}"))?;
        http::get(addr, &format!("/?q={number}"))?;
        http::request(addr, &format!("FOO{number}"), "/")?;
        http::request(addr, &format!("FOO{number}"), "/nope")?;
        let mut connection = Connection::open(addr)?;
        connection.send(&format!(
            "GET / HTTP/1.1\r\nHost: evil{number}:{number}\r\nX-Forwarded-Proto: evil{number}\r\n\r\n"
        ))?;
        connection.receive()?;
    }
    let scrape = settled(&running, 250.0)?;
    assert_eq!(scrape.sum(REQUESTS, &[]), 100.0);
    for name in [COUNT, HTTP_REQUESTS] {
        assert_eq!(scrape.sum(name, &[("http_route", "/")]), 150.0);
        // Without a route: those that match none.
        for method in ["GET", "_OTHER"] {
            let labels = [("http_request_method", method), ("http_route", "")];
            assert_eq!(scrape.sum(name, &labels), 50.0, "{}", scrape.text);
        }
        assert_eq!(scrape.series(name).count(), 4, "{}", scrape.text);
    }
    assert_eq!(scrape.series(ACTIVE).count(), 2, "{}", scrape.text);
    for word in ["evil", "FOO", "nope"] {
        assert!(!scrape.text.contains(word), "{}", scrape.text);
    }
    Ok(())
}

#[test]
fn health_checks_and_scrapes_are_in_no_metric() -> Result<()> {
    for program in [pull(), pull_with_metrics_port()] {
        let running = program.start()?;
        for path in ["/healthz", "/healthz?x=1"] {
            http::get(running.addr()?, path)?;
            http::request(running.addr()?, "POST", path)?;
        }
        Scrape::of(&running)?;
        let scrape = Scrape::of(&running)?;
        let http: Vec<_> = scrape
            .samples
            .keys()
            .filter(|name| name.starts_with("http"))
            .collect();
        assert!(http.is_empty(), "{http:?}");
        assert_eq!(scrape.sum(REQUESTS, &[]), 0.0);
    }
    Ok(())
}

#[test]
fn a_known_method_without_a_route_keeps_its_name() -> Result<()> {
    let running = pull().start()?;
    assert_eq!(http::request(running.addr()?, "DELETE", "/")?.status, 405);
    let scrape = settled(&running, 1.0)?;
    let labels = [
        ("http_request_method", "DELETE"),
        ("http_response_status_code", "405"),
    ];
    assert_eq!(scrape.sum(COUNT, &labels), 1.0);
    Ok(())
}

#[test]
fn active_requests_return_to_zero_whatever_clients_do() -> Result<()> {
    let running = pull().start()?;
    let addr = running.addr()?;
    for _ in 0..100 {
        // Nobody waits for these answers: the first connection is closed at once, the second in the middle of a request.
        Connection::open(addr)?.send_get("/")?;
        Connection::open(addr)?
            .send("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")?;
    }
    Load::on(addr).clients(16).requests(500).run()?;
    // Some of the abandoned ones were counted as well, and none of them stays.
    e2e::poll("no active requests", e2e::SOON, || {
        let scrape = Scrape::of(&running).ok()?;
        let consistent = scrape.sum(COUNT, &[]) == scrape.sum(REQUESTS, &[]);
        (scrape.sum(ACTIVE, &[]) == 0.0 && consistent).then_some(())
    })?;
    let scrape = Scrape::of(&running)?;
    assert_eq!(scrape.series(ACTIVE).count(), 1, "{}", scrape.text);
    assert!(
        (500.0..=700.0).contains(&scrape.sum(COUNT, &[])),
        "{}",
        scrape.text
    );
    Ok(())
}
