//! `/metrics`: on the port of the service, where any worker answers, or on a port
//! of its own, where the master does.

use std::{
    net::TcpListener,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    error::ErrorInternalServerError,
    rt::System,
    web::{self, ServiceConfig},
};
use anyhow::Context as _;
use common::{
    multiprocess::{CONTENT_TYPE, Directory, MultiProcessCollector},
    workers::{Snapshots, Start, listen_beside},
};

use crate::{supervision, telemetry::Telemetry};

/// Checks that the metrics get a port of their own if they get one.
///
/// # Errors
///
/// One line that names the variables.
pub(crate) fn check_port(metrics_port: Option<u16>, port: u16) -> Result<(), String> {
    match metrics_port {
        Some(same) if same == port && port != 0 => Err(format!(
            "--metrics-port (METRICS_PORT) and --port (PORT) are both {port}: leave \
             METRICS_PORT out to have /metrics on the port of the service"
        )),
        _ => Ok(()),
    }
}

/// Adds `/metrics` to the application of a worker.
pub(crate) fn configure(
    app: &mut ServiceConfig,
    telemetry: &Telemetry,
    snapshots: &Option<Snapshots>,
) {
    let scraped = Scraped {
        collector: telemetry.collector.clone(),
        snapshots: snapshots.clone(),
    };
    add_route(app, scraped);
}

/// What is in a scrape: the directory, and what the harness counts.
#[derive(Clone)]
struct Scraped {
    collector: Arc<MultiProcessCollector>,
    snapshots: Option<Snapshots>,
}

fn add_route(app: &mut ServiceConfig, scraped: Scraped) {
    app.app_data(web::Data::new(scraped))
        .service(web::resource("/metrics").get(metrics));
}

async fn metrics(scraped: web::Data<Scraped>) -> actix_web::Result<HttpResponse> {
    // Merging the files takes a moment, in which the thread serves others.
    let text = web::block(move || {
        let mut text = String::new();
        scraped.collector.encode_text(&mut text)?;
        if let Some(snapshots) = &scraped.snapshots {
            supervision::encode(&snapshots.take(), &mut text);
        }
        anyhow::Ok(text)
    });
    let text = text.await?.map_err(|error| {
        log::error!("cannot answer a scrape: {error}");
        ErrorInternalServerError("the metrics cannot be read; the log says why")
    })?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text))
}

/// Serves `/metrics` in the master if `port` says so: it answers also while every
/// worker is busy or dead.
///
/// # Errors
///
/// If the port cannot be listened on.
pub(crate) fn serve_alone(
    host: &str,
    port: Option<u16>,
    directory: &Directory,
    start: &mut Start,
) -> anyhow::Result<Option<MetricsServer>> {
    let Some(port) = port else {
        return Ok(None);
    };
    let scraped = Scraped {
        collector: Arc::new(directory.store().collector()?),
        snapshots: Some(start.snapshots.clone()),
    };
    let listener = listen_beside(host, port).with_context(|| {
        format!("cannot listen on {host}:{port} for /metrics; choose another port with --metrics-port or METRICS_PORT")
    })?;
    let address = listener.local_addr()?;
    start
        .notes
        .push(format!("metrics http://{address}/metrics"));
    MetricsServer::start(listener, scraped).map(Some)
}

/// The server of `/metrics` in the master, stopped when it is dropped.
pub(crate) struct MetricsServer {
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    fn start(listener: TcpListener, scraped: Scraped) -> anyhow::Result<Self> {
        let app = move || App::new().configure(|app| add_route(app, scraped.clone()));
        let (started, handle) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                System::new().block_on(async {
                    let server = HttpServer::new(app).workers(1).disable_signals();
                    let result = match server.listen(listener) {
                        Ok(server) => {
                            let server = server.run();
                            // The other side waits for it.
                            let _ = started.send(server.handle());
                            server.await
                        }
                        Err(error) => Err(error),
                    };
                    if let Err(error) = result {
                        log::error!("/metrics is no longer served: {error}");
                    }
                });
            })?;
        Ok(Self {
            handle: handle
                .recv()
                .context("the server of /metrics did not start")?,
            thread: Some(thread),
        })
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        // The command is sent at once; what is returned only waits for its end.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
