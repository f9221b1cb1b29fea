//! Server-sent events: the parts of the page that have changed, at most twice a second.

use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{sync::mpsc, time::sleep};

use super::page;
use crate::{intake::Intake, query::Query};

/// Pages that are kept up to date at once.
const MAX_PAGES: usize = 16;

const INTERVAL: Duration = Duration::from_millis(500);

/// Without news the page moves on this often: charts and ages depend on the time.
const IDLE_INTERVALS: u32 = 4;

/// The body of the response.
pub(crate) struct Events(mpsc::Receiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = self.0.poll_recv(context);
        polled.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Starts to send to a page. Nothing is sent if there are too many.
pub(super) fn start(intake: Arc<Intake>, query: Query) -> Option<Events> {
    let page = Arc::clone(intake.pages());
    if Arc::strong_count(&page) > MAX_PAGES + 1 {
        return None;
    }
    // One message waits at most: a page that does not read costs nothing more.
    let (send, events) = mpsc::channel(1);
    tokio::spawn(async move {
        let _page = page;
        let mut sent = [0; page::PARTS.len()];
        let (mut version, mut idle) = (None, 0);
        loop {
            let current = intake.state().pulse.version;
            idle += 1;
            if version != Some(current) || idle >= IDLE_INTERVALS {
                (version, idle) = (Some(current), 0);
                let news = news(&intake, &query, &mut sent);
                if send.send(news).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = send.closed() => return,
            }
        }
    });
    Some(Events(events))
}

/// The parts that differ from what was sent last, or a comment, which keeps the connection.
fn news(intake: &Intake, query: &Query, sent: &mut [u64; page::PARTS.len()]) -> Bytes {
    let mut news = String::from(":\n\n");
    for (part, sent) in page::PARTS.into_iter().zip(sent) {
        let html = page::part(intake, query, part);
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        let hash = hasher.finish();
        if *sent != hash {
            *sent = hash;
            news += &format!("event: {}\n", part.name());
            for line in html.split(['\r', '\n']) {
                news += &format!("data: {line}\n");
            }
            news.push('\n');
        }
    }
    news.into()
}
