//! A middleware that answers 500 where a handler panics.

use std::panic::AssertUnwindSafe;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::ErrorInternalServerError,
    middleware::Next,
};
use futures_util::FutureExt as _;

/// Answers a request whose handler panicked with 500, where actix-web alone
/// would drop the connection without a word.
///
/// The panic becomes an error, so that every middleware around this one
/// (metrics, traces, logs) sees a failed request. Register it first, which makes
/// it the innermost:
///
/// ```
/// use actix_web::{App, middleware::from_fn};
///
/// let app = App::new().wrap(from_fn(common::catch_panic));
/// # let _ = app;
/// ```
///
/// The panic hook has written the message already; the client is not told it.
/// State that a panicking handler left half changed stays so, as with a thread
/// that panicked: a `Mutex` is poisoned, a `Cell` keeps what was last put in.
pub async fn catch_panic(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_panic| Err(ErrorInternalServerError("Internal Server Error")))
}
