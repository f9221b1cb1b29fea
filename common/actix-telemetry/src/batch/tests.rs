//! What is exported when, and what is counted.

use std::time::Duration;

use super::*;
use crate::{
    env::Env,
    otlp::{
        Destination, Signal,
        testing::{answer, collector},
    },
};

/// Longer than a test takes.
const NEVER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(30);

fn start(endpoint: &str, queue: usize, size: usize) -> BatchProcessor {
    let lookup = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.to_owned());
    let to = Destination::read(Env(&lookup), Signal::Traces);
    let batch = Batch {
        queue,
        size,
        delay: NEVER,
    };
    BatchProcessor::start(Exporter::Otlp(Box::new(to)), batch, "items").unwrap()
}

fn push(processor: &BatchProcessor, items: usize) {
    for _ in 0..items {
        processor.push(|item| {
            item.scope.push(b's');
            item.bytes.push(b'i');
        });
    }
}

/// How many items a request has.
fn items(body: &[u8]) -> usize {
    body.iter().filter(|&&byte| byte == b'i').count()
}

#[test]
fn full_batches_are_exported_at_once_and_a_flush_exports_the_rest() {
    let (endpoint, served) = collector(vec![answer("200 OK", b""); 3]);
    let processor = start(&endpoint, 100, 4);
    push(&processor, 10);
    processor.force_flush().unwrap();
    let requests = served.join().unwrap();
    let sizes: Vec<_> = requests.iter().map(|(_, body)| items(body)).collect();
    assert_eq!(sizes, [4, 4, 2]);
}

#[test]
fn a_shutdown_exports_what_fitted_the_queue_and_what_comes_later_is_late() {
    let (endpoint, served) = collector(vec![answer("200 OK", b"")]);
    let processor = start(&endpoint, 3, 3 + 1);
    push(&processor, 5);
    processor.shutdown(SOON).unwrap();
    push(&processor, 1);
    assert!(matches!(
        processor.shutdown(SOON),
        Err(OTelSdkError::AlreadyShutdown)
    ));
    let requests = served.join().unwrap();
    assert_eq!(items(&requests[0].1), 3);
    assert_eq!(processor.tally().counts(), (3, 2, 0, 1));
}

#[test]
fn a_flush_reports_a_failed_export() {
    let (endpoint, served) = collector(vec![answer("400 Bad Request", b"")]);
    let processor = start(&endpoint, 3, 3);
    push(&processor, 1);
    let error = processor.force_flush().unwrap_err();
    assert!(error.to_string().contains("400"), "{error}");
    served.join().unwrap();
    assert_eq!(processor.tally().counts(), (0, 0, 1, 0));
}

#[test]
fn a_flush_reports_a_failed_export_although_the_last_one_succeeded() {
    let answers = ["400 Bad Request", "200 OK"].map(|status| answer(status, b""));
    let (endpoint, served) = collector(answers.to_vec());
    let processor = start(&endpoint, 2, 1);
    let (flushed, is_flushed) = sync_channel(1);
    {
        // Both batches and the flush at once, so that the thread takes them together.
        let mut state = processor.queue.lock();
        for _ in 0..2 {
            assert!(processor.tally().enter());
            state.add(&Item::default(), 1);
        }
        state.flushes.push(flushed);
    }
    processor.queue.wake.notify_one();
    let error = is_flushed.recv().unwrap().unwrap_err();
    assert!(error.to_string().contains("400"), "{error}");
    served.join().unwrap();
    assert_eq!(processor.tally().counts(), (1, 0, 1, 0));
}
