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
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::page;
use crate::{
    feeds::{Fragment, Fragments},
    intake::Intake,
    query::Query,
};

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
pub(super) fn start(intake: &Arc<Intake>, query: &Query) -> Option<Events> {
    let page = Arc::clone(intake.pages());
    if Arc::strong_count(&page) > MAX_PAGES + 1 {
        return None;
    }
    let (mut shown, feed) = intake.feeds().subscribe(query);
    if let Some(feed) = feed {
        feed.send_replace(draw(intake, query));
        tokio::spawn(keep_up_to_date(Arc::clone(intake), query.clone(), feed));
    }
    // One message waits at most: a page that does not read costs nothing more.
    let (send, events) = mpsc::channel(1);
    tokio::spawn(async move {
        let _page = page;
        let mut sent = [0; page::PARTS.len()];
        loop {
            let news = news(&shown.borrow_and_update(), &mut sent);
            if send.send(news).await.is_err() {
                return;
            }
            tokio::select! {
                changed = shown.changed() => if changed.is_err() { return },
                () = send.closed() => return,
            }
        }
    });
    Some(Events(events))
}

/// Draws what pages with this query show, until none is open.
async fn keep_up_to_date(intake: Arc<Intake>, query: Query, feed: Arc<watch::Sender<Fragments>>) {
    let (mut version, mut idle) = (None, 0);
    loop {
        sleep(INTERVAL).await;
        if intake.feeds().has_ended(&query) {
            return;
        }
        let current = intake.state().pulse.version;
        idle += 1;
        if version != Some(current) || idle >= IDLE_INTERVALS {
            (version, idle) = (Some(current), 0);
            feed.send_replace(draw(&intake, &query));
        }
    }
}

fn draw(intake: &Intake, query: &Query) -> Fragments {
    let fragment = |part: page::Part| {
        let html = page::part(intake, query, part);
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        let mut event = format!("event: {}\n", part.name());
        for line in html.split(['\r', '\n']) {
            event += &format!("data: {line}\n");
        }
        event.push('\n');
        Fragment {
            event: event.into(),
            hash: hasher.finish(),
        }
    };
    page::PARTS.into_iter().map(fragment).collect()
}

/// The parts that differ from what was sent last, or a comment, which keeps the connection.
fn news(shown: &Fragments, sent: &mut [u64; page::PARTS.len()]) -> Bytes {
    let mut news = b":\n\n".to_vec();
    for (fragment, sent) in shown.iter().zip(sent) {
        if *sent != fragment.hash {
            *sent = fragment.hash;
            news.extend_from_slice(&fragment.event);
        }
    }
    news.into()
}
