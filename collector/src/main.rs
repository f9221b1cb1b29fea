//! `cargo run -p collector`: receives OTLP on loopback and prints it until TERM or INT.

use std::process::ExitCode;

use collector::Collector;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

mod options;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("info"));
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Install the handlers before the ports open: a client that can connect may stop the program.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let config = options.into_config();
        let has_view = config.view;
        let collector = Collector::start(config)?;
        eprintln!(
            "collector: ready for OTLP on http://{} (gRPC) and http://{} (HTTP/protobuf){}",
            collector.grpc_addr(),
            collector.http_addr(),
            match has_view {
                true => format!("; live view: http://{}", collector.http_addr()),
                false => String::new(),
            },
        );
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        collector.stop();
        Ok(())
    })
}
