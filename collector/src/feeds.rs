//! What open pages show. Pages with the same query share it, so that each part is drawn once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::query::Query;

/// A part of the page as an event, and the hash of its HTML.
#[derive(Clone, Default)]
pub(crate) struct Fragment {
    pub(crate) event: Bytes,
    pub(crate) hash: u64,
}

pub(crate) type Fragments = Vec<Fragment>;

/// A sender for each query of an open page.
#[derive(Default)]
pub(crate) struct Feeds(Mutex<HashMap<Query, Arc<watch::Sender<Fragments>>>>);

impl Feeds {
    /// What pages with this query show. Of a new feed it also returns the sender, which the caller
    /// has to keep up to date.
    pub(crate) fn subscribe(
        &self,
        query: &Query,
    ) -> (
        watch::Receiver<Fragments>,
        Option<Arc<watch::Sender<Fragments>>>,
    ) {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(query) {
            return (feed.subscribe(), None);
        }
        let feed = Arc::new(watch::Sender::default());
        feeds.insert(query.clone(), Arc::clone(&feed));
        (feed.subscribe(), Some(feed))
    }

    /// Removes a feed if no page is left that shows it.
    pub(crate) fn has_ended(&self, query: &Query) -> bool {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unused = feeds
            .get(query)
            .is_none_or(|feed| feed.receiver_count() == 0);
        if is_unused {
            feeds.remove(query);
        }
        is_unused
    }
}
