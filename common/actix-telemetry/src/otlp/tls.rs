//! Certificates of the OTLP exporters, beside those that the machine trusts.

use std::fs;

use reqwest::blocking::ClientBuilder;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::signal::{Signal, setting};
use crate::env::{Env, Variable};

/// What `OTEL_EXPORTER_OTLP_CERTIFICATE`, `…_CLIENT_CERTIFICATE` and `…_CLIENT_KEY` name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    /// The only certificate authorities to trust, as PEM.
    authorities: Option<Vec<u8>>,
    client: Option<Client>,
}

/// Who we are for a collector that asks.
#[derive(Clone, PartialEq, Eq)]
struct Client {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Client(…)")
    }
}

impl Tls {
    pub(super) fn read(env: Env<'_>, signal: Signal) -> Self {
        let machine = "the certificate authorities of the machine";
        let file = |what, label, default| {
            setting(env, signal, what, default, |variable| {
                Ok((pem(variable, label)?, variable.clone()))
            })
        };
        let authorities = file("CERTIFICATE", "CERTIFICATE", machine);
        let certificate = file("CLIENT_CERTIFICATE", "CERTIFICATE", "none");
        let key = file("CLIENT_KEY", "PRIVATE KEY", "none");
        let client = match (certificate, key) {
            (Some((certificate, _)), Some((key, _))) => Some(Client { certificate, key }),
            (Some((_, alone)), None) | (None, Some((_, alone))) => {
                let expected = "expected a client certificate and its key, each in its variable";
                alone.reject(expected, "none");
                None
            }
            (None, None) => None,
        };
        Self {
            authorities: authorities.map(|(pem, _)| pem),
            client,
        }
    }

    /// For an exporter over HTTP.
    pub(super) fn http(&self, mut client: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        if let Some(pem) = &self.authorities {
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        if let Some(Client { certificate, key }) = &self.client {
            let pem = [key.as_slice(), b"\n", certificate].concat();
            client = client.identity(reqwest::Identity::from_pem(&pem)?);
        }
        Ok(client)
    }

    /// For an exporter over gRPC, which trusts nobody until it is told.
    pub(super) fn grpc(&self) -> ClientTlsConfig {
        let config = match &self.authorities {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_enabled_roots(),
        };
        match &self.client {
            Some(Client { certificate, key }) => {
                config.identity(Identity::from_pem(certificate, key))
            }
            None => config,
        }
    }
}

/// Reads a file that has at least one section with this label.
fn pem(variable: &Variable, label: &str) -> Result<Vec<u8>, String> {
    let expected = || format!("expected a PEM file with a {}", label.to_lowercase());
    let pem = fs::read(&variable.value).map_err(|error| format!("{} ({error})", expected()))?;
    let has_label = String::from_utf8_lossy(&pem)
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.ends_with(&format!("{label}-----")));
    has_label.then_some(pem).ok_or_else(expected)
}
