//! Pages that stay open: what they get, and how many there may be.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use support::{
    until,
    view::{send, span, start, traces},
};

mod support;

/// A page that listens.
struct Page(TcpStream, String);

impl Page {
    fn open(address: SocketAddr) -> Self {
        Self::open_at(address, "")
    }

    fn open_at(address: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let timeout = Some(Duration::from_secs(30));
        stream.set_read_timeout(timeout).expect("a timeout");
        let request = format!("GET /events{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        Self(stream, String::new())
    }

    /// Reads until this text has come.
    fn wait_for(&mut self, text: &str) -> &str {
        let mut chunk = [0; 65_536];
        while !self.1.contains(text) {
            let read = self.0.read(&mut chunk).expect("events arrive");
            assert!(read > 0, "the stream ended before {text}: {}", self.1);
            self.1 += &String::from_utf8_lossy(&chunk[..read]);
        }
        &self.1
    }
}

#[test]
fn an_open_page_gets_what_has_changed_and_does_not_hold_a_stop() {
    let collector = start();
    let address = collector.http_addr();
    let mut page = Page::open(address);
    let head = page.wait_for("event: losses");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    page.1.clear();
    send(
        address,
        "traces",
        &traces("77", &[span(1, "/new", "200", 1)]),
    );
    let news = page.wait_for("event: losses").to_owned();
    assert!(
        news.contains("GET /new") && news.contains("event: traces"),
        "{news}"
    );
    assert!(
        !news.contains("event: metrics"),
        "it has not changed: {news}"
    );
    collector.stop();
}

#[test]
fn pages_with_other_filters_get_what_they_ask_for() {
    let collector = start();
    let address = collector.http_addr();
    let spans = [span(1, "/a", "200", 1), span(2, "/b", "200", 1)];
    send(address, "traces", &traces("1", &spans));
    let queries = ["?route=/a", "?route=/a", "?route=/b"];
    let mut pages = queries.map(|query| Page::open_at(address, query));
    for (page, (own, other)) in pages.iter_mut().zip([("a", "b"), ("a", "b"), ("b", "a")]) {
        let shown = page.wait_for("event: losses");
        assert!(shown.contains(&format!("GET /{own}")), "{shown}");
        assert!(!shown.contains(&format!("GET /{other}")), "{shown}");
    }
    // One that is closed ends none of the others.
    let [first, mut second, _] = pages;
    drop(first);
    send(address, "traces", &traces("1", &[span(3, "/a", "503", 1)]));
    second.wait_for(">503<");
}

#[test]
fn pages_are_limited_and_those_that_are_closed_make_room() {
    let collector = start();
    let address = collector.http_addr();
    let mut pages: Vec<_> = (0..16).map(|_| Page::open(address)).collect();
    for page in &mut pages {
        page.wait_for("200 OK");
    }
    Page::open(address).wait_for("503 Service Unavailable");
    drop(pages);
    until("room for a page", || {
        let mut page = Page::open(address);
        page.wait_for("HTTP/1.1 ").contains("200 OK")
    });
}
