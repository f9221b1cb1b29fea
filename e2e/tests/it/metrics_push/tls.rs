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
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};

use super::{REQUESTS, metrics_push};
use crate::{
    otlp::{PROTOCOLS, Protocol, collector},
    support::stop,
};

/// A self-signed certificate authority, and its certificate for `localhost`, which clients
/// use as well.
struct Authority {
    /// The certificate that clients must trust.
    file: PathBuf,
    certificate_file: PathBuf,
    key_file: PathBuf,
    root: CertificateDer<'static>,
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
        let root = params.self_signed(&authority_key)?;
        fs::write(&file, root.pem())?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["localhost".to_owned()])?;
        let certificate = params.signed_by(&key, &issuer)?;
        let certificate_file = directory.path().join("certificate.pem");
        fs::write(&certificate_file, certificate.pem())?;
        let key_file = directory.path().join("key.pem");
        fs::write(&key_file, key.serialize_pem())?;
        Ok(Self {
            file,
            certificate_file,
            key_file,
            root: root.der().clone(),
            _directory: directory,
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    /// Starts a TLS proxy in front of a plain server, until the test process exits. It
    /// asks clients for a certificate of this authority if `clients` is true.
    fn serve(&self, plain: SocketAddr, clients: bool) -> Result<SocketAddr> {
        let config = ServerConfig::builder();
        let config = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.root.clone())?;
            config.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build()?)
        } else {
            config.with_no_client_auth()
        };
        let mut config =
            config.with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
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
    clients: bool,
) -> Result<Program> {
    let plain = protocol.choose(collector.http_addr(), collector.grpc_addr());
    let port = authority.serve(plain, clients)?.port();
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
        let running = pushing_over_tls(&collector, &authority, protocol, false)?
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
fn the_certificates_of_the_variables_are_used_on_both_sides() -> Result<()> {
    for protocol in PROTOCOLS {
        let (collector, authority) = (collector()?, Authority::new()?);
        let running = pushing_over_tls(&collector, &authority, protocol, true)?
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.file)
            .env(
                "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
                &authority.certificate_file,
            )
            .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", &authority.key_file)
            .start()
            .context(protocol.name())?;
        let report = Load::on(running.addr()?).requests(20).run()?;
        assert_eq!(report.answered, 20, "{report}");
        let console = running.console().clone();
        stop(running)?;
        let arrived = collector.received().sum(REQUESTS, &[]);
        assert_eq!(arrived, 20.0, "{protocol:?}, {console}");

        let anonymous = pushing_over_tls(&collector, &authority, protocol, true)?
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.file)
            .start()
            .context(protocol.name())?;
        anonymous.wait_for_line(|line| line.contains("do not arrive"), SOON)?;
    }
    Ok(())
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted_and_the_operator_is_told() -> Result<()> {
    for protocol in PROTOCOLS {
        let (collector, authority) = (collector()?, Authority::new()?);
        let other = Authority::new()?;
        let running = pushing_over_tls(&collector, &authority, protocol, false)?
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
