//! A middleware that answers 500 where a handler panics.

use std::{
    future::{Future, Ready, ready},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::ErrorInternalServerError,
};
use pin_project_lite::pin_project;

/// Answers a request whose handler panicked with 500, where actix-web alone
/// would drop the connection without a word.
///
/// The panic becomes an error, so that every middleware around this one
/// (metrics, traces, logs) sees a failed request. Register it first, which makes
/// it the innermost:
///
/// ```
/// use actix_web::App;
/// use common::CatchPanic;
///
/// let app = App::new().wrap(CatchPanic);
/// # let _ = app;
/// ```
///
/// The panic hook has written the message already; the client is not told it.
/// State that a panicking handler left half changed stays so, as with a thread
/// that panicked: a `Mutex` is poisoned, a `Cell` keeps what was last put in.
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic;

impl<S, B> Transform<S, ServiceRequest> for CatchPanic
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = CatchPanicService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(CatchPanicService { service }))
    }
}

/// The service that [`CatchPanic`] makes.
#[derive(Debug)]
pub struct CatchPanicService<S> {
    service: S,
}

impl<S, B> Service<ServiceRequest> for CatchPanicService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = CatchPanicCall<S::Future>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let call = panic::catch_unwind(AssertUnwindSafe(|| self.service.call(request)));
        CatchPanicCall { call: call.ok() }
    }
}

pin_project! {
    /// The future that [`CatchPanicService`] returns.
    #[derive(Debug)]
    pub struct CatchPanicCall<F> {
        // None if the call panicked before there was a future.
        #[pin]
        call: Option<F>,
    }
}

impl<F, T> Future for CatchPanicCall<F>
where
    F: Future<Output = Result<T, Error>>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.project().call.as_pin_mut();
        let poll = call.map(|call| panic::catch_unwind(AssertUnwindSafe(|| call.poll(context))));
        match poll {
            Some(Ok(poll)) => poll,
            None | Some(Err(_)) => {
                Poll::Ready(Err(ErrorInternalServerError("Internal Server Error")))
            }
        }
    }
}
