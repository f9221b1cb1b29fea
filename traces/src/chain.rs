//! `GET /chain`: a request that causes another one, as a rule in another worker.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process,
};

use actix_web::{HttpResponse, http::Uri, web};

use crate::{client_span, routes::State};

/// The root of the service that listens there.
///
/// # Errors
///
/// Never for a real address.
pub(crate) fn own_url(mut listens_on: SocketAddr) -> anyhow::Result<Uri> {
    // Nobody can be called at the address that stands for all.
    match listens_on {
        SocketAddr::V4(address) if address.ip().is_unspecified() => {
            listens_on.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            listens_on.set_ip(Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    Ok(format!("http://{listens_on}/").parse()?)
}

/// Parses the URL of another service.
pub(crate) fn parse_url(text: &str) -> Result<Uri, String> {
    let allowed = "a URL like http://host:port/path is allowed";
    let url: Uri = text
        .parse()
        .map_err(|error| format!("{allowed} ({error})"))?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    // awc can do TLS, which would be a feature of its own.
    if url.scheme_str() == Some("http") && has_host {
        Ok(url)
    } else {
        Err(allowed.to_owned())
    }
}

/// Says hello, and what the next service says. Where that fails, the client gets a
/// 502 and the log the reason.
pub(crate) async fn chain(state: web::Data<State>) -> HttpResponse {
    let url = &state.service.chain_url;
    log::info!("Calling {url}");
    match client_span::get(&state.tracer, &state.client, url).await {
        Ok(answer) => {
            let mut body = format!("Hello from {}!\n", process::id()).into_bytes();
            body.extend_from_slice(&answer);
            HttpResponse::Ok()
                .content_type("text/plain; charset=utf-8")
                .body(body)
        }
        Err(error) => {
            log::error!("{url} cannot be asked: {error}");
            HttpResponse::BadGateway()
                .content_type("text/plain; charset=utf-8")
                .body("the next service could not be asked\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_calls_itself_on_loopback() {
        for (listens_on, url) in [
            ("127.0.0.1:5100", "http://127.0.0.1:5100/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::]:5100", "http://[::1]:5100/"),
            ("192.0.2.7:1", "http://192.0.2.7:1/"),
        ] {
            let own = own_url(listens_on.parse().unwrap()).unwrap();
            assert_eq!(own.to_string(), url);
        }
    }

    #[test]
    fn a_url_that_cannot_be_called_is_refused() {
        assert!(parse_url("http://localhost:5101/chain").is_ok());
        for bad in [
            "localhost:5101",
            "https://host/",
            "/chain",
            "http://",
            "a b",
        ] {
            let error = parse_url(bad).unwrap_err();
            assert!(error.contains("http://host:port/path"), "{bad}: {error}");
        }
    }
}
