//! A server of one process, without a master.

use std::{
    cell::Cell,
    future::Future,
    io, iter,
    process::{self, ExitCode},
    time::Instant,
};

use crate::{
    BoxError, Error, ServerOptions, Worker,
    bound::Bound,
    descriptors,
    error::Context as _,
    serve::{Settings, Shared},
    stop::{ECHO, Signal, Stop, StopRequest},
    worker::{Phase, fail, run, say_ready},
};

/// Serves from this process, without a master.
///
/// It listens on the configured address, or on the socket that systemd passed, and
/// prints a ready line to stderr. `SIGTERM` stops gracefully; `SIGINT`, `SIGQUIT` and a
/// second `SIGTERM` cut open connections.
///
/// `body` gets the [`Worker`], calls [`Worker::serve`], and returns when it has cleaned
/// up. An error is printed on one line, and the exit code is 1.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use actix_web::{App, web};
/// use clap::Parser;
/// use actix_prefork::{Error, ServerOptions, Worker, serve_alone};
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     server: ServerOptions,
/// }
///
/// fn main() -> ExitCode {
///     let cli: Cli = actix_prefork::cli::parse();
///     serve_alone(&cli.server, serve)
/// }
///
/// async fn serve(worker: Worker) -> Result<(), Error> {
///     let app = || App::new().route("/", web::get().to(|| async { "Hello" }));
///     worker.serve(app).await
/// }
/// ```
pub fn serve_alone<F, R, E>(options: &ServerOptions, body: F) -> ExitCode
where
    F: FnOnce(Worker) -> R,
    R: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let run = || {
        descriptors::raise_limit();
        let bound = Bound::open(options)?;
        let graceful = if bound[0].ends_with_us() {
            Stop::Server
        } else {
            Stop::Worker
        };
        let first = Cell::new(None::<Instant>);
        let meaning = move |signal, current| match signal {
            Signal::Terminate if current == Stop::Not => {
                first.set(Some(Instant::now()));
                graceful
            }
            Signal::Terminate if first.get().is_some_and(|first| first.elapsed() < ECHO) => current,
            Signal::Terminate | Signal::Interrupt | Signal::Quit => Stop::Quick,
        };
        run(alone(bound, options)?, meaning, body)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref()),
    }
}

fn alone(bound: Vec<Bound>, options: &ServerOptions) -> Result<Worker, Error> {
    let listeners = bound.iter().map(|bound| bound.listener.try_clone());
    let listeners = listeners.collect::<io::Result<_>>();
    Ok(Worker {
        slot: 0,
        shared: Shared {
            listeners: listeners.context("share the socket")?,
            threads: options.threads,
            activity: Box::leak(Box::default()),
            beats: false,
        },
        settings: Settings::new(options),
        graceful_timeout: options.graceful_timeout,
        stop: StopRequest::new(),
        notes: Vec::new(),
        #[cfg(feature = "master")]
        snapshots: None,
        report: Box::new(move |phase, notes| match phase {
            Phase::Ready => {
                let process = format!("process {}", process::id());
                let notes = iter::once(&process).chain(notes);
                say_ready(bound.iter().map(|bound| &bound.address), notes);
            }
            Phase::Emptying => bound.iter().for_each(Bound::ignore_new_connections),
            Phase::Draining => bound.iter().for_each(|bound| {
                bound.close();
            }),
        }),
    })
}
