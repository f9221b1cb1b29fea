//! Sends requests to a program of the workspace and accounts for each of them.
//!
//!     cargo run -p e2e --example load -- --port 5100 --path / --requests 10000 --clients 16

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Parser;
use e2e::Load;

/// Maximum duration of the load.
const AT_MOST: Duration = Duration::from_secs(3600);

/// Sends requests to a program on this machine, and reports the outcome of all of them.
#[derive(Parser)]
struct Options {
    /// Port of the program.
    #[arg(long, default_value_t = 5100)]
    port: u16,

    /// Path and query of the requests.
    #[arg(long, default_value = "/")]
    path: String,

    /// Total number of requests.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,

    /// Number of clients; each sends its requests one after the other on its own connection.
    #[arg(long, default_value_t = 16)]
    clients: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let load = Load::on(server)
        .path(&options.path)
        .requests(options.requests)
        .clients(options.clients)
        .at_most(AT_MOST);
    println!("{}", load.run()?);
    Ok(())
}
