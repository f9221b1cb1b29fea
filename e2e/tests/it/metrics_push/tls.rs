//! The feature `tls`: a collector behind TLS, with a certificate authority of the test's own.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, thread};

use anyhow::{Context, Result};
use collector::Collector;
use e2e::{Load, Program, SOON, Temporary};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{REQUESTS, metrics_push};
use crate::{
    otlp::{PROTOCOLS, Protocol, collector},
    support::stop,
};

/// A self-signed certificate authority, and its server certificate for `localhost`.
struct Authority {
    /// The certificate that clients must trust.
    file: PathBuf,
    _directory: Temporary,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let directory = Temporary::new("authority")?;
        let file = directory.path().join("authority.pem");
        fs::write(&file, params.self_signed(&authority_key)?.pem())?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["localhost".to_owned()])?;
        Ok(Self {
            file,
            _directory: directory,
            certificate: params.signed_by(&key, &issuer)?.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    /// Starts a TLS proxy in front of a plain server, until the test process exits.
    fn serve(&self, plain: SocketAddr) -> Result<SocketAddr> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        // gRPC insists on having agreed on HTTP/2.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let addr = listener.local_addr()?;
        thread::spawn(move || {
            runtime.block_on(async {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(forward(acceptor.clone(), stream, plain));
                }
            });
        });
        Ok(addr)
    }
}

/// Forwards data received over TLS. Clients that do not trust the certificate are not forwarded.
async fn forward(acceptor: TlsAcceptor, stream: TcpStream, plain: SocketAddr) -> Result<()> {
    let mut outside = acceptor.accept(stream).await?;
    let mut inside = TcpStream::connect(plain).await?;
    copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}

/// The program with the TLS feature, pushing to the collector through `authority`.
fn pushing_over_tls(
    collector: &Collector,
    authority: &Authority,
    protocol: Protocol,
) -> Result<Program> {
    let plain = protocol.choose(collector.http_addr(), collector.grpc_addr());
    let port = authority.serve(plain)?.port();
    Ok(metrics_push()
        .build_arg("--features=tls")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name())
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("https://localhost:{port}"),
        ))
}

#[test]
fn with_the_feature_every_request_arrives_over_tls() -> Result<()> {
    for protocol in PROTOCOLS {
        let (collector, authority) = (collector()?, Authority::new()?);
        let running = pushing_over_tls(&collector, &authority, protocol)?
            .env("SSL_CERT_FILE", &authority.file)
            .start()
            .context(protocol.name())?;
        let report = Load::on(running.addr()?).clients(8).requests(300).run()?;
        assert_eq!(report.answered, 300, "{report}");
        let console = running.console().clone();
        stop(running)?;
        let arrived = collector.received().sum(REQUESTS, &[]);
        assert_eq!(arrived, 300.0, "{protocol:?}, {console}");
    }
    Ok(())
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted_and_the_operator_is_told() -> Result<()> {
    for protocol in PROTOCOLS {
        let (collector, authority) = (collector()?, Authority::new()?);
        let other = Authority::new()?;
        let running = pushing_over_tls(&collector, &authority, protocol)?
            .env("SSL_CERT_FILE", &other.file)
            .start()
            .context(protocol.name())?;
        let report = Load::on(running.addr()?).clients(8).requests(100).run()?;
        assert_eq!(report.answered, 100, "{report}");
        running.wait_for_line(|line| line.contains("do not arrive"), SOON)?;
        assert_eq!(collector.received().data_points(), 0);
    }
    Ok(())
}
