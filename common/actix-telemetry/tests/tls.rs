//! The scheme of requests over TLS, in metrics and spans.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use actix_telemetry::{Finished, HttpMetrics, Method, Observe, OtelHttpMetrics, Scheme};
use actix_web::{App, HttpServer, rt::System, web};
use opentelemetry::{global, metrics::MeterProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter,
    },
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// What was reported, one a line.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn push(&self, line: &str) {
        let mut log = self.0.lock().unwrap();
        *log += line;
        *log += "\n";
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl HttpMetrics for Log {
    fn began(&self, _: Method, scheme: Scheme) {
        self.push(&format!("began {}", scheme.as_str()));
    }

    fn ended(&self, request: &Finished<'_>) {
        self.push(&format!("ended {}", request.scheme.as_str()));
    }
}

impl SpanExporter for Log {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        for attribute in spans.iter().flat_map(|span| &span.attributes) {
            if attribute.key.as_str() == "url.scheme" {
                self.push(&format!("span {}", attribute.value));
            }
        }
        Ok(())
    }
}

impl PushMetricExporter for Log {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.push(&format!("{metrics:?}"));
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

struct Service {
    plain: SocketAddr,
    secure: SocketAddr,
    certificate: CertificateDer<'static>,
}

/// Serves on a port without and on a port with TLS.
fn serve(observe: Observe) -> Service {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let certificate = cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let (started, addresses) = mpsc::channel();
    thread::spawn(move || {
        let app = move || {
            let app = App::new().route("/", web::get().to(|| async { "hello" }));
            app.wrap(observe.clone())
        };
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind("127.0.0.1:0").unwrap();
        let server = server.bind_rustls_0_23("127.0.0.1:0", config).unwrap();
        started.send(server.addrs()).unwrap();
        System::new().block_on(server.run())
    });
    let [plain, secure] = addresses.recv().unwrap()[..] else {
        panic!("there are two ports");
    };
    Service {
        plain,
        secure,
        certificate,
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn get(mut stream: impl Read + Write) {
    // A header of the client changes nothing.
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: gopher\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("hello"), "{response}");
}

impl Service {
    fn get_plain(&self) {
        get(TcpStream::connect(self.plain).unwrap());
    }

    fn get_secure(&self) {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.secure).unwrap();
        get(StreamOwned::new(client, stream));
    }
}

#[test]
fn requests_over_tls_have_the_scheme_https_and_others_http() {
    let log = Log::default();
    let spans = SdkTracerProvider::builder().with_simple_exporter(log.clone());
    global::set_tracer_provider(spans.build());
    let exported = Log::default();
    let reader = PeriodicReader::builder(exported.clone());
    let reader = reader.with_interval(Duration::from_secs(3_600)).build();
    let meters = SdkMeterProvider::builder().with_reader(reader).build();
    let observe = Observe::new()
        .metrics(log.clone())
        .metrics(OtelHttpMetrics::new(&meters.meter("test")))
        .spans();
    let service = serve(observe);

    service.get_plain();
    assert_eq!(log.take(), "began http\nended http\nspan http\n");
    service.get_secure();
    assert_eq!(log.take(), "began https\nended https\nspan https\n");

    meters.force_flush().unwrap();
    let metrics = exported.take();
    for scheme in ["http", "https"] {
        let attribute = format!("String(Static({scheme:?}))");
        // Once for the requests in progress, once for their duration.
        assert_eq!(metrics.matches(&attribute).count(), 2, "{metrics}");
    }
}
