//! A service that shows what it would send along.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{LazyLock, mpsc},
    thread,
};

use actix_telemetry::{Observe, install_propagators, propagation};
use actix_web::{App, HttpServer, rt::System, web};
use opentelemetry::{Context, baggage::BaggageExt as _, global};
use opentelemetry_sdk::trace::SdkTracerProvider;

/// A service that answers with the headers that a call of its own would have.
static SERVICE: LazyLock<SocketAddr> = LazyLock::new(|| {
    install_propagators();
    global::set_tracer_provider(SdkTracerProvider::builder().build());
    let (started, address) = mpsc::channel();
    thread::spawn(move || {
        let app = || {
            let app = App::new().route("/", web::get().to(outgoing));
            let app = app.route("/baggage", web::get().to(baggage_of_request));
            #[cfg(feature = "client")]
            let app = app
                .route("/calls", web::get().to(calls))
                .route("/received", web::get().to(received));
            app.wrap(Observe::new().spans())
        };
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        started.send(server.addrs()[0]).unwrap();
        System::new().block_on(server.run())
    });
    address.recv().unwrap()
});

async fn outgoing() -> String {
    let mut headers = http::HeaderMap::new();
    propagation::inject(&Context::current(), &mut headers);
    let lines = headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap();
        format!("{name}: {value}\n")
    });
    lines.collect()
}

/// Calls this service three times, and tells what it received, one a line.
#[cfg(feature = "client")]
async fn calls(request: actix_web::HttpRequest) -> String {
    let client = reqwest::Client::new();
    let url = format!("http://{}/received", request.app_config().local_addr());
    let mut all = String::new();
    for _ in 0..3 {
        let call = client.get(&url).build().unwrap();
        let response = actix_telemetry::client::send(&client, call).await.unwrap();
        all += &response.text().await.unwrap();
    }
    all
}

#[cfg(feature = "client")]
async fn received(request: actix_web::HttpRequest) -> String {
    let header = request.headers().get("traceparent").unwrap();
    format!("{}\n", header.to_str().unwrap())
}

/// The decoded members, one a line.
async fn baggage_of_request() -> String {
    let context = Context::current();
    let mut members: Vec<_> = context
        .baggage()
        .iter()
        .map(|(name, (value, properties))| format!("{name}|{value}|{}\n", properties.as_str()))
        .collect();
    members.sort();
    members.concat()
}

/// The body of the response to a request with these header lines.
pub(super) fn get(path: &str, headers: &[&str]) -> String {
    let mut stream = TcpStream::connect(*SERVICE).unwrap();
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    stream.write_all((request + "\r\n").as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// The value of a header of the service's own call.
pub(super) fn passed_on(name: &str, headers: &[&str]) -> Option<String> {
    let sent = get("/", headers);
    let mut values = sent
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let value = values.next().map(str::to_owned);
    assert_eq!(values.next(), None, "{name} is sent once");
    value
}
