//! HTTPS from worker processes. `kill -HUP` of the master renews the certificate.
//!
//! Run with `CERTIFICATE=cert.pem PRIVATE_KEY=key.pem cargo run -p actix-prefork --example tls
//! --features rustls-0_23`.

use std::{env, error::Error, process::ExitCode};

use actix_prefork::{Master, Options, Worker, cli};
use actix_web::{App, HttpRequest, web};
use clap::Parser;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    workers: Options,
}

fn main() -> ExitCode {
    let cli: Cli = cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    Master::new(&cli.workers).run(serve)
}

async fn serve(worker: Worker) -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = certificate()?;
    let app = || App::new().route("/", web::get().to(hello));
    worker.http(app).rustls_0_23(config).run().await?;
    Ok(())
}

/// Each worker reads the files when it starts.
fn certificate() -> Result<ServerConfig, Box<dyn Error + Send + Sync>> {
    let chain = CertificateDer::pem_file_iter(env::var("CERTIFICATE")?)?;
    let key = PrivateKeyDer::from_pem_file(env::var("PRIVATE_KEY")?)?;
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
    Ok(config.with_single_cert(chain.collect::<Result<_, _>>()?, key)?)
}

async fn hello(request: HttpRequest) -> String {
    let scheme = request.connection_info().scheme().to_owned();
    format!("Hello by {scheme} and {:?}!\n", request.version())
}
