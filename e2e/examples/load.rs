//! Sends requests to a program of the workspace and accounts for every one.
//!
//!     cargo run -p e2e --example load -- --port 5100 --path / --requests 10000 --clients 16

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Parser;
use e2e::Load;

/// How long it goes on at most.
const AT_MOST: Duration = Duration::from_secs(3600);

/// Sends requests to a program on this machine, and says what became of each.
#[derive(Parser)]
struct Options {
    /// The port of the program.
    #[arg(long, default_value_t = 5100)]
    port: u16,

    /// What is asked for.
    #[arg(long, default_value = "/")]
    path: String,

    /// How many requests are sent in all.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,

    /// How many clients send them, each on a connection of its own and one after the other.
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
