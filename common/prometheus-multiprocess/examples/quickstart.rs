//! Counts in a shared directory and prints the sum over all processes.

use prometheus::Opts;
use prometheus_multiprocess::{Directory, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In the master. Workers find the path in PROMETHEUS_MULTIPROC_DIR.
    let directory = Directory::prepare(None)?;

    // In each worker process.
    let store = Store::open(directory.path())?;
    let orders = store.counter_vec(Opts::new("orders", "Orders taken"), &["kind"])?;
    orders.with_label_values(&["new"]).inc();

    // `/metrics`, in any process of the service.
    let collector = store.collector()?;
    let mut text = String::new();
    collector.encode_text(&mut text)?;
    print!("{text}");
    Ok(())
}
