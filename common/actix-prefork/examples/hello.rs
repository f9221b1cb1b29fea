//! A service with routes that misbehave, to see what the master does about it.
//!
//! Run with `cargo run -p actix-prefork --example hello -- --workers 4`, then for example
//! `curl localhost:5100/exit?code=3`. The end-to-end tests use it, too.

use std::{convert::Infallible, env, path::Path, process, process::ExitCode, time::Duration};

use actix_prefork::{Error, Master, Options, Stopping, Worker};
use actix_web::{App, HttpRequest, HttpResponse, rt::time::sleep, web};
use clap::Parser;
use futures_util::{StreamExt as _, stream};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    workers: Options,
}

fn main() -> ExitCode {
    let cli: Cli = actix_prefork::cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let run = || Master::new(&cli.workers).run(serve);
    match env::var_os("INSIDE_A_RUNTIME") {
        // Refused by the master.
        Some(_) => actix_web::rt::System::new().block_on(async { run() }),
        None => run(),
    }
}

async fn serve(worker: Worker) -> Result<(), Error> {
    misbehave_if_asked();
    let stopping = worker.stopping();
    let app = move || {
        App::new()
            .route("/", web::get().to(hello))
            .route("/address", web::get().to(address))
            .route("/sleep", web::get().to(sleep_a_while))
            .route("/block", web::get().to(block_the_thread))
            .route("/panic", web::get().to(panic_on_request))
            .route("/exit", web::get().to(exit))
            .route("/length", web::post().to(length))
            .route("/ignore", web::post().to(hello))
            .route("/large", web::get().to(large))
            .route("/socket", web::get().to(socket))
            .app_data(web::Data::new(stopping.clone()))
    };
    worker.serve(app).await
}

/// Where the application believes to be served.
async fn address(request: HttpRequest) -> String {
    let config = request.app_config();
    format!("{} {}", config.local_addr(), config.host())
}

async fn hello() -> String {
    format!("Hello from {}!", process::id())
}

#[derive(serde::Deserialize)]
struct Time {
    ms: u64,
}

async fn sleep_a_while(time: web::Query<Time>) -> String {
    sleep(Duration::from_millis(time.ms)).await;
    hello().await
}

/// Blocks its thread, which a handler must not do: no other request of the thread proceeds.
async fn block_the_thread(time: web::Query<Time>) -> String {
    std::thread::sleep(Duration::from_millis(time.ms));
    hello().await
}

async fn panic_on_request() -> String {
    panic!("a request asked for it")
}

#[derive(serde::Deserialize)]
struct Exit {
    code: i32,
}

async fn exit(exit: web::Query<Exit>) -> String {
    process::exit(exit.code)
}

/// Reads a body of any length.
async fn length(mut body: web::Payload) -> Result<String, actix_web::Error> {
    let mut length = 0;
    while let Some(bytes) = body.next().await {
        length += bytes?.len();
    }
    Ok(format!("{length} bytes"))
}

#[derive(serde::Deserialize)]
struct Size {
    bytes: u64,
}

/// Sends a body of a known length, piece by piece.
async fn large(size: web::Query<Size>) -> HttpResponse {
    const PIECE: &[u8] = &[b'x'; 16 * 1024];
    let pieces = (0..size.bytes).step_by(PIECE.len()).map(move |sent| {
        let length = (size.bytes - sent).min(PIECE.len() as u64);
        Ok::<_, Infallible>(web::Bytes::from_static(&PIECE[..length as usize]))
    });
    HttpResponse::Ok().streaming(stream::iter(pieces))
}

/// Speaks another protocol than HTTP until the worker stops, as a websocket does.
async fn socket(stopping: web::Data<Stopping>) -> HttpResponse {
    let goodbye = async move {
        stopping.wait().await;
        Ok::<_, Infallible>(web::Bytes::from_static(b"goodbye"))
    };
    HttpResponse::SwitchingProtocols()
        .upgrade("example")
        .streaming(stream::once(goodbye))
}

/// Simulates a broken start: exits while the file named by `CRASH_AT_BOOT` exists, hangs
/// while the file named by `HANG_AT_BOOT` exists and does not contain the worker's pid.
fn misbehave_if_asked() {
    let named = |variable| env::var_os(variable).filter(|path| Path::new(path).exists());
    if let Some(path) = named("CRASH_AT_BOOT") {
        eprintln!("error: {} exists, so this worker crashes", path.display());
        process::exit(3);
    }
    let pid = process::id().to_string();
    let is_exempt = |path| std::fs::read_to_string(path).is_ok_and(|text| text == pid);
    while named("HANG_AT_BOOT").is_some_and(|path| !is_exempt(path)) {
        std::thread::sleep(Duration::from_millis(20));
    }
}
