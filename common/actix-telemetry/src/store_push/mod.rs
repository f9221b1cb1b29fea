//! The master pushes the sum over all workers, which they count in the shared store.

mod request;

use std::{
    env,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use actix_prefork::Start;
use opentelemetry_sdk::{Resource, metrics::Temporality};
use prometheus_multiprocess::{Directory, MultiProcessCollector};
use prost::Message as _;

use self::request::request;
use crate::{
    env::Env,
    metrics::{Arrival, NOT_LOST, read_interval, temporality},
    otlp::{Client, Exporter, Signal},
    shutdown::SHUTDOWN_TIMEOUT,
};

/// Pushes the store from the master. Dropped after the last worker, it pushes once more.
#[derive(Debug)]
pub struct StorePush {
    /// Closed, it tells the thread to stop.
    stop: Option<Sender<()>>,
    /// Closed when the thread has ended.
    end: Receiver<()>,
    /// A private one is removed after the last push.
    _directory: Arc<Directory>,
}

/// Pushes the metrics of the store over OTLP, from the master: the sum over all workers, as one
/// series for the service, with the time at which it began. What a worker counted before it
/// was killed is in it.
///
/// Call it in the master's `on_start` hook, after [`pull::prepare`](crate::pull::prepare) and
/// after a collector was embedded, and push no metrics from the workers. `interval` is the default
/// for `OTEL_METRIC_EXPORT_INTERVAL`. Metrics have their Prometheus names. Their totals are
/// cumulative, whatever `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` says.
///
/// # Errors
///
/// If the system has no thread left, or the directory cannot be read.
pub fn push_store(
    start: &Start,
    directory: Arc<Directory>,
    resource: Resource,
    interval: Duration,
) -> anyhow::Result<StorePush> {
    let lookup = |name: &str| {
        let embedded = start.environment.get(name).cloned();
        embedded.or_else(|| env::var(name).ok())
    };
    let env = Env(&lookup);
    if temporality(env) != Temporality::Cumulative {
        log::warn!("metrics of the store are pushed as cumulative totals");
    }
    let clients = clients(env);
    let interval = read_interval(env, interval);
    let collector = directory.store().collector()?;
    let (stop, stopped) = channel();
    let (ended, end) = channel::<()>();
    thread::Builder::new()
        .name("store-push".to_owned())
        .spawn(move || {
            run(&clients, &collector, &resource, interval, &stopped);
            drop(ended);
        })?;
    Ok(StorePush {
        stop: Some(stop),
        end,
        _directory: directory,
    })
}

fn clients(env: Env<'_>) -> Vec<(Client, Arrival)> {
    let exporters = Exporter::all(env, Signal::Metrics).into_iter();
    let client = |exporter| {
        let Exporter::Otlp(to) = exporter else {
            log::warn!("metrics of the store are not printed on the console");
            return None;
        };
        Some((Client::new(*to)?, Arrival::default()))
    };
    exporters.filter_map(client).collect()
}

fn run(
    clients: &[(Client, Arrival)],
    collector: &MultiProcessCollector,
    resource: &Resource,
    interval: Duration,
    stopped: &Receiver<()>,
) {
    loop {
        let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
        for (client, arrival) in clients {
            let sent = client.send(request(collector.collect(), resource).encode_to_vec());
            let sent = sent.map_err(|refused| refused.text);
            arrival.report(client.destination(), sent, NOT_LOST);
        }
        if is_last {
            return;
        }
    }
}

impl Drop for StorePush {
    fn drop(&mut self) {
        self.stop = None;
        if self.end.recv_timeout(SHUTDOWN_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the last metrics may not have arrived");
        }
    }
}
