//! A request for `/metrics`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::body;

/// Time limit of a scrape, the default of Prometheus.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the text, at most `limit` bytes of it.
pub(super) async fn get(url: &Uri, limit: usize) -> Result<String, String> {
    let fetched = timeout(TIMEOUT, answer(url, limit)).await;
    fetched.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
}

async fn answer(url: &Uri, limit: usize) -> Result<String, String> {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((address, url.port_u16().unwrap_or(80))).await;
    let io = TokioIo::new(stream.map_err(|err| err.to_string())?);
    let (mut sender, connection) = http1::handshake(io).await.map_err(|err| err.to_string())?;
    tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or(host, |authority| authority.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "text/plain;version=0.0.4")
        // Between two scrapes a connection would only hold a worker.
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|err| err.to_string())?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|err| err.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(format!("the status is {}", response.status()));
    }
    let read = body::read(&mut response.into_body(), limit).await;
    let text = read.map_err(|err| err.to_string())?;
    String::from_utf8(text.into()).map_err(|_| "the answer is not UTF-8".to_owned())
}
