//! HTTPS and HTTP/2 from workers.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};
use e2e::{Program, Running, SOON, Signal, Temporary, poll};
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// Writes a new certificate and its key; each is named after the file that it replaces.
fn renew(directory: &Path) -> Result<()> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(directory.join("cert.pem"), cert.pem())?;
    fs::write(directory.join("key.pem"), signing_key.serialize_pem())?;
    Ok(())
}

fn serve(directory: &Path) -> Result<Running> {
    Program::example("actix-prefork", "tls")
        .build_arg("--features=rustls-0_23")
        .env("CERTIFICATE", directory.join("cert.pem"))
        .env("PRIVATE_KEY", directory.join("key.pem"))
        .start()
}

/// What a client gets that trusts the certificate which is in the directory.
fn get(running: &Running, directory: &Path, version: &str) -> Result<String> {
    let port = running.addr()?.port();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", version])
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(directory.join("cert.pem"))
        .arg(format!("https://localhost:{port}/"))
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{error}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_worker_speaks_https_with_http_1_and_2_and_a_reload_renews_the_certificate() -> Result<()> {
    let directory = Temporary::new("tls")?;
    renew(directory.path())?;
    let mut running = serve(directory.path())?;
    let one = get(&running, directory.path(), "--http1.1")?;
    assert_eq!(one, "Hello by https and HTTP/1.1!\n");
    let two = get(&running, directory.path(), "--http2")?;
    assert_eq!(two, "Hello by https and HTTP/2.0!\n");

    renew(directory.path())?;
    assert!(get(&running, directory.path(), "--http2").is_err());
    running.signal(Signal::SIGHUP)?;
    poll("the new certificate", SOON, || {
        get(&running, directory.path(), "--http2").ok()
    })?;
    running.signal(Signal::SIGTERM)?;
    assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
    running.wait_gone(SOON)
}
