//! Why a handler failed: its error or its panic, also where a middleware replaces
//! the response.

use std::{
    any::Any,
    cell::Cell,
    error::Error as StdError,
    future::{Future, Ready, ready},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, ResponseError,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::ErrorInternalServerError,
};
use pin_project_lite::pin_project;

use crate::exception::Exception;

thread_local! {
    /// What [`RecordErrors`] saw, until the poll returns to [`Observe`](super::Observe)
    /// further out on the same thread.
    static SEEN: Cell<Option<Box<Recorded>>> = const { Cell::new(None) };
}

/// Why a request failed.
pub(super) enum Recorded {
    /// The panic hook has recorded the message.
    Panic,
    /// An error whose type was registered: the type is fit for a metric.
    Known(Exception),
    Unknown(Exception),
}

impl Recorded {
    pub(super) fn exception(&self) -> Option<&Exception> {
        match self {
            Self::Panic => None,
            Self::Known(exception) | Self::Unknown(exception) => Some(exception),
        }
    }
}

/// Recognises one type of error below actix-web's own.
pub(super) type Recognize = fn(&Error) -> Option<Exception>;

pub(super) fn recognize<E: ResponseError + StdError + 'static>(error: &Error) -> Option<Exception> {
    error.as_error::<E>().map(Exception::of)
}

pub(super) fn recorded(error: &Error, known: &[Recognize]) -> Recorded {
    let found = known.iter().find_map(|recognize| recognize(error));
    match found {
        Some(exception) => Recorded::Known(exception),
        None => Recorded::Unknown(Exception::of_actix(error)),
    }
}

/// Takes what [`RecordErrors`] saw during this poll.
pub(super) fn take_seen() -> Option<Box<Recorded>> {
    SEEN.take()
}

/// Does something and answers 500 if it panics. The client is not told the message;
/// the panic hook has written it.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    panic::catch_unwind(AssertUnwindSafe(work))
}

/// What a request is answered whose handler panicked.
pub(super) fn panicked() -> Error {
    ErrorInternalServerError("Internal Server Error")
}

/// Sees the handler's error before another middleware replaces the response.
///
/// Needed only where one does, such as actix-web's `ErrorHandlers`. Get it from
/// [`Observe::record_errors`](super::Observe::record_errors) and register it first,
/// which makes it the innermost:
///
/// ```
/// use actix_telemetry::Observe;
/// use actix_web::{App, http::StatusCode, middleware::ErrorHandlers, web};
///
/// let observe = Observe::new().spans();
/// let app = App::new()
///     .route("/", web::get().to(|| async { "Hello" }))
///     .wrap(observe.record_errors())
///     .wrap(ErrorHandlers::new().handler(StatusCode::INTERNAL_SERVER_ERROR, replace))
///     .wrap(observe);
/// # fn replace<B>(response: actix_web::dev::ServiceResponse<B>)
/// #     -> actix_web::Result<actix_web::middleware::ErrorHandlerResponse<B>> {
/// #     Ok(actix_web::middleware::ErrorHandlerResponse::Response(response.map_into_left_body()))
/// # }
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct RecordErrors {
    pub(super) known: Vec<Recognize>,
}

impl<S, B> Transform<S, ServiceRequest> for RecordErrors
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = RecordErrorsService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let known = Rc::from(self.known.clone());
        ready(Ok(RecordErrorsService { service, known }))
    }
}

/// The service that [`RecordErrors`] makes.
pub struct RecordErrorsService<S> {
    service: S,
    known: Rc<[Recognize]>,
}

impl<S, B> Service<ServiceRequest> for RecordErrorsService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = RecordErrorsCall<S::Future>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        RecordErrorsCall {
            call: catch(|| self.service.call(request)).ok(),
            known: self.known.clone(),
        }
    }
}

pin_project! {
    /// The future that [`RecordErrorsService`] returns.
    pub struct RecordErrorsCall<F> {
        // None if the call panicked before there was a future.
        #[pin]
        call: Option<F>,
        known: Rc<[Recognize]>,
    }
}

impl<F, B> Future for RecordErrorsCall<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let call = this.call.as_pin_mut();
        let Some(Ok(poll)) = call.map(|call| catch(|| call.poll(context))) else {
            SEEN.set(Some(Box::new(Recorded::Panic)));
            return Poll::Ready(Err(panicked()));
        };
        if let Poll::Ready(result) = &poll {
            let error = match result {
                Ok(response) => response.response().error(),
                Err(error) => Some(error),
            };
            let failed = |error: &&Error| error.as_response_error().status_code().is_server_error();
            if let Some(error) = error.filter(failed) {
                SEEN.set(Some(Box::new(recorded(error, this.known))));
            }
        }
        poll
    }
}
