//! Telemetry of a service with a plain `HttpServer`: all signals, pushed over OTLP.

use actix_telemetry::Telemetry;
use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let telemetry = Telemetry::builder(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .metrics()
        .logs()
        .traces()
        .build();
    let observe = telemetry.observe().skip(["/healthz"]);
    HttpServer::new(move || {
        App::new()
            .route("/", web::get().to(|| async { "Hello" }))
            .wrap(observe.clone())
    })
    .bind("127.0.0.1:8080")?
    .run()
    .await?;
    telemetry.shutdown().await;
    Ok(())
}
