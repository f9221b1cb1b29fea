//! A series for each kind of request that has occurred.

use std::cell::RefCell;

use actix_web::http::StatusCode;

use super::{finished::Finished, method::Method, scheme::Scheme};

/// What a metrics library has looked up for each combination of attributes, on one
/// thread. They are few, and a short list is the quickest to search.
#[derive(Clone)]
pub(super) struct Series<T>(RefCell<Vec<(Key, T)>>);

#[derive(Clone)]
struct Key {
    method: Method,
    scheme: Scheme,
    status: Option<StatusCode>,
    protocol_version: Option<&'static str>,
    route: Option<&'static str>,
    error_type: Option<Box<str>>,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Series<T> {
    /// Calls `then` with the series of a request, which is looked up the first time.
    pub(super) fn with(
        &self,
        request: &Finished<'_>,
        look_up: impl FnOnce(&Finished<'_>) -> T,
        then: impl FnOnce(&T),
    ) {
        let mut known = self.0.borrow_mut();
        let index = known.iter().position(|(key, _)| key.is(request));
        let index = index.unwrap_or_else(|| {
            known.push((Key::of(request), look_up(request)));
            known.len() - 1
        });
        then(&known[index].1);
    }
}

impl Key {
    fn of(request: &Finished<'_>) -> Self {
        Self {
            method: request.method,
            scheme: request.scheme,
            status: request.status,
            protocol_version: request.protocol_version,
            route: request.route,
            error_type: request.error_type.map(Box::from),
        }
    }

    fn is(&self, request: &Finished<'_>) -> bool {
        self.method == request.method
            && self.scheme == request.scheme
            && self.status == request.status
            && self.protocol_version == request.protocol_version
            // Each pattern has one address, see `Route::of`.
            && self.route.map(str::as_ptr) == request.route.map(str::as_ptr)
            && self.error_type.as_deref() == request.error_type
    }
}
