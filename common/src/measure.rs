//! A middleware that tells when a request on a known route begins and ends.
//!
//! It knows no metrics library: an [`Observer`] turns what it is told into
//! numbers. Since it is wrapped around a resource, not around the application,
//! the route is known from the start, a request that matches no route is never
//! seen, and nothing that a client sends becomes a label:
//!
//! ```
//! use std::time::Duration;
//!
//! use actix_web::{App, http::StatusCode, web};
//! use common::{
//!     CatchPanic,
//!     measure::{Measure, Method, Observer},
//! };
//!
//! struct Print(&'static str);
//!
//! impl Observer for Print {
//!     fn began(&self, _: Method) {}
//!
//!     fn ended(&self, method: Method, status: Option<StatusCode>, took: Duration) {
//!         println!("{} {} {status:?} {took:?}", method.as_str(), self.0);
//!     }
//! }
//!
//! let app = App::new().service(
//!     web::resource("/orders/{id}")
//!         .wrap(CatchPanic)
//!         .wrap(Measure::new(Print("/orders/{id}")))
//!         .to(|| async { "an order" }),
//! );
//! # let _ = app;
//! ```

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{self, StatusCode},
    web::Bytes,
};
use pin_project_lite::pin_project;

/// Turns the begin and the end of requests into numbers.
pub trait Observer: 'static {
    /// A request was routed.
    fn began(&self, method: Method);

    /// The request that began is over: its answer was handed over to be written,
    /// body included, or it was given up. Called once for each [`Self::began`],
    /// also where the handler panics or the client goes away.
    ///
    /// `status` is `None` where nothing was answered. `took` is the time since
    /// the request was routed.
    fn ended(&self, method: Method, status: Option<StatusCode>, took: Duration);
}

/// The value of the attribute `http.request.method`.
///
/// The methods of RFC 9110 and RFC 5789 have a variant; any other, which a client
/// can make up, is `Other`, as the [HTTP semantic conventions] demand.
///
/// [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
///
/// ```
/// use common::measure::Method;
///
/// assert_eq!(Method::ALL[Method::Get as usize].as_str(), "GET");
/// assert_eq!(Method::Other.as_str(), "_OTHER");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Method {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    Other,
}

impl Method {
    /// All methods, in the order of their discriminants from 0.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Delete,
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Patch,
        Self::Post,
        Self::Put,
        Self::Trace,
        Self::Other,
    ];

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        match *method {
            http::Method::CONNECT => Self::Connect,
            http::Method::DELETE => Self::Delete,
            http::Method::GET => Self::Get,
            http::Method::HEAD => Self::Head,
            http::Method::OPTIONS => Self::Options,
            http::Method::PATCH => Self::Patch,
            http::Method::POST => Self::Post,
            http::Method::PUT => Self::Put,
            http::Method::TRACE => Self::Trace,
            _ => Self::Other,
        }
    }
}

/// The middleware; see the [module](self).
#[derive(Clone)]
pub struct Measure<O>(Rc<O>);

impl<O: Observer> Measure<O> {
    /// Tells `observer` of the requests of the resource that is wrapped.
    pub fn new(observer: O) -> Self {
        Self(Rc::new(observer))
    }
}

impl<S, B, O> Transform<S, ServiceRequest> for Measure<O>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
    O: Observer,
{
    type Response = ServiceResponse<MeasuredBody<B, O>>;
    type Error = Error;
    type Transform = MeasureService<S, O>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(MeasureService {
            service,
            observer: self.0.clone(),
        }))
    }
}

/// The service that [`Measure`] makes.
pub struct MeasureService<S, O> {
    service: S,
    observer: Rc<O>,
}

impl<S, B, O> Service<ServiceRequest> for MeasureService<S, O>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
    O: Observer,
{
    type Response = ServiceResponse<MeasuredBody<B, O>>;
    type Error = Error;
    type Future = MeasuredCall<S::Future, O>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let ongoing = Ongoing::begin(self.observer.clone(), request.method().into());
        MeasuredCall {
            call: self.service.call(request),
            ongoing: Some(ongoing),
        }
    }
}

pin_project! {
    /// The future that [`MeasureService`] returns.
    pub struct MeasuredCall<F, O: Observer> {
        #[pin]
        call: F,
        ongoing: Option<Ongoing<O>>,
    }
}

impl<F, B, O> Future for MeasuredCall<F, O>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
    O: Observer,
{
    type Output = Result<ServiceResponse<MeasuredBody<B, O>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.call.poll(context));
        let mut ongoing = this.ongoing.take();
        let status = match &result {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        if let Some(ongoing) = &mut ongoing {
            ongoing.status = Some(status);
        }
        Poll::Ready(result.map(|response| {
            response.map_body(|_, body| MeasuredBody {
                body,
                _ongoing: ongoing,
            })
        }))
    }
}

pin_project! {
    /// A body that keeps its request going until it was written or dropped.
    pub struct MeasuredBody<B, O: Observer> {
        #[pin]
        body: B,
        _ongoing: Option<Ongoing<O>>,
    }
}

impl<B: MessageBody, O: Observer> MessageBody for MeasuredBody<B, O> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(context)
    }
}

/// A request that has begun. However it ends, it is dropped.
struct Ongoing<O: Observer> {
    observer: Rc<O>,
    method: Method,
    began: Instant,
    status: Option<StatusCode>,
}

impl<O: Observer> Ongoing<O> {
    fn begin(observer: Rc<O>, method: Method) -> Self {
        observer.began(method);
        Self {
            observer,
            method,
            began: Instant::now(),
            status: None,
        }
    }
}

impl<O: Observer> Drop for Ongoing<O> {
    fn drop(&mut self) {
        self.observer
            .ended(self.method, self.status, self.began.elapsed());
    }
}
