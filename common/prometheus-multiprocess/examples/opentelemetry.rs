//! Counts with an instrument of OpenTelemetry and prints the sum over all processes.

use opentelemetry::{KeyValue, metrics::MeterProvider};
use prometheus_multiprocess::{Directory, Store, StoreMeterProvider};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Directory::prepare(None)?;
    let store = Store::open(directory.path())?;
    let provider = StoreMeterProvider::new(&store);
    let orders = provider.meter("shop").u64_counter("shop.orders").build();
    orders.add(1, &[KeyValue::new("order.kind", "new")]);

    // It has shop_orders_total{order_kind="new"} 1.0
    let mut text = String::new();
    store.collector()?.encode_text(&mut text)?;
    print!("{text}");
    Ok(())
}
