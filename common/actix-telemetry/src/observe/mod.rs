//! One middleware for the whole application: metrics, server spans, the request
//! context of log records, the access line, panics and handler errors.

mod body;
mod errors;
mod exchange;
mod finished;
mod head;
mod http_metrics;
mod method;
mod open;
mod parts;
mod peer;
mod request;
mod response_header;
mod route;
mod scheme;
mod series;
mod span;

use std::{
    error::Error as StdError,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error, ResponseError,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
};
use opentelemetry_sdk::trace::Sampler;
use pin_project_lite::pin_project;

#[cfg(all(test, feature = "metrics", feature = "logs", feature = "traces"))]
pub(crate) use self::method::known;
#[cfg(feature = "export")]
pub(crate) use self::open::all_ended;
#[cfg(feature = "logs")]
pub(crate) use self::request::RequestAttributes;
pub use self::{
    errors::RecordErrors,
    finished::{Finished, HttpMetrics},
    head::IdGenerator,
    http_metrics::{DURATION_BOUNDS, OtelHttpMetrics},
    method::Method,
    scheme::Scheme,
};

use self::{
    body::ObservedBody,
    errors::Recorded,
    exchange::Exchange,
    open::Open,
    parts::{Parts, Thread},
    peer::Peers,
    route::Routes,
    span::Spans,
};

/// Observes every request of an application.
///
/// Register it last, which makes it the outermost, so that it sees what other
/// middlewares answer as well. Choose the parts that the service exports:
///
/// ```
/// use actix_telemetry::{Observe, OtelHttpMetrics};
/// use actix_web::{App, web};
/// use opentelemetry::global;
///
/// let observe = Observe::new()
///     .metrics(OtelHttpMetrics::new(&global::meter("shop")))
///     .spans()
///     .logs()
///     .skip(["/healthz", "/metrics"]);
/// let app = App::new()
///     .route("/orders/{id}", web::get().to(|| async { "an order" }))
///     .wrap(observe);
/// # let _ = app;
/// ```
///
/// - The route is the pattern that matched, such as `/orders/{id}`. A request that
///   matches none is counted without a route, so that no client can make a series.
/// - A handler that panics is answered with 500.
/// - The error behind a 5xx response is recorded in the span and in the access line.
/// - Upgrades (101) and event streams are counted while they are active. Their life
///   is no latency, so they are in no duration.
/// - The metrics, the span and the access line of a request end together: when its
///   body was handed over to be written, or when the client went away.
#[derive(Clone, Default)]
pub struct Observe(Parts);

impl Observe {
    /// Answers panics, and nothing else yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts and times requests, with [`OtelHttpMetrics`] for example. Call it again
    /// for a second library, if the service pushes and is scraped.
    pub fn metrics(mut self, metrics: impl HttpMetrics) -> Self {
        self.0.metrics.push(Box::new(metrics));
        self
    }

    /// Makes each request a span of the global tracer provider, below the span that
    /// its caller names in `traceparent`.
    pub fn spans(mut self) -> Self {
        self.0.spans = true;
        self
    }

    /// Asks the sampler before a span is created, so that unsampled requests cost little.
    ///
    /// Pass the sampler of the tracer provider, and give the provider an [`IdGenerator`]. The
    /// sampler must not read attributes, because it gets none; [`sampler`](crate::sampler) reads
    /// none. Without this call, the provider asks its sampler with all attributes.
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.0.sampler = Some(sampler);
        self
    }

    /// Adds method, path and route of the request to each log record, with the ids of
    /// its trace, and logs a line when the request ends (target `access`).
    pub fn logs(mut self) -> Self {
        self.0.logs = true;
        self
    }

    /// Leaves out these paths: they are in no metric, span or access line. For
    /// probes and scrapes, which say nothing of the service's use.
    pub fn skip<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.0.skip.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Tells the client the ids of its request in the header `traceresponse`.
    pub fn traceresponse(mut self, enabled: bool) -> Self {
        self.0.traceresponse = enabled;
        self
    }

    /// Records errors of this type with their type name and all their causes. Of
    /// other errors actix-web tells only what they print.
    pub fn error<E: ResponseError + StdError + 'static>(mut self) -> Self {
        self.0.errors.push(errors::recognize::<E>);
        self
    }

    /// The innermost part, for an application in which another middleware replaces
    /// the responses of errors.
    pub fn record_errors(&self) -> RecordErrors {
        RecordErrors {
            known: self.0.errors.clone(),
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Observe
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<ObservedBody<B>>;
    type Error = Error;
    type Transform = ObserveService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let parts = self.0.clone();
        let thread = Rc::new(Thread {
            spans: parts
                .spans
                .then(|| Spans::of_process(parts.sampler.clone())),
            parts,
            routes: Routes::default(),
            peers: Peers::default(),
            open: Open::default(),
        });
        ready(Ok(ObserveService { service, thread }))
    }
}

/// The service that [`Observe`] makes.
pub struct ObserveService<S> {
    service: S,
    thread: Rc<Thread>,
}

impl<S, B> Service<ServiceRequest> for ObserveService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<ObservedBody<B>>;
    type Error = Error;
    type Future = ObservedCall<S::Future>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let skipped = &self.thread.parts.skip;
        let is_skipped = skipped.iter().any(|path| path == request.path());
        let exchange = (!is_skipped).then(|| Box::new(Exchange::begin(&self.thread, &request)));
        let call = {
            // Middlewares further in may do something before their future is polled.
            let _inside = exchange.as_deref().and_then(Exchange::attach);
            errors::catch(|| self.service.call(request)).ok()
        };
        ObservedCall { call, exchange }
    }
}

pin_project! {
    /// The future that [`ObserveService`] returns.
    pub struct ObservedCall<F> {
        // None if the call panicked before there was a future.
        #[pin]
        call: Option<F>,
        // On the heap, since the future is moved by every layer around it.
        exchange: Option<Box<Exchange>>,
    }
}

impl<F, B> Future for ObservedCall<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<ObservedBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Written in place, because moving a response costs time.
        let mut poll = Poll::Pending;
        let panicked = {
            let _inside = this.exchange.as_deref().and_then(Exchange::attach);
            match this.call.as_pin_mut() {
                Some(call) => errors::catch(|| poll = call.poll(task)).is_err(),
                None => true,
            }
        };
        let mut seen = errors::take_seen();
        if panicked {
            poll = Poll::Ready(Err(errors::panicked()));
            seen = Some(Box::new(Recorded::Panic));
        }
        if let (Some(exchange), Some(seen)) = (this.exchange.as_mut(), seen) {
            exchange.failed(seen);
        }
        let mut result = ready!(poll);
        let mut exchange = this.exchange.take();
        if let Some(exchange) = &mut exchange {
            exchange.answered(&result);
            if let Some(context) = &exchange.context
                && exchange.tells_ids()
            {
                result = response_header::add(result, context);
            }
        }
        Poll::Ready(
            result.map(|response| response.map_body(|_, body| ObservedBody::new(body, exchange))),
        )
    }
}
