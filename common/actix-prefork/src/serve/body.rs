//! Bodies of requests and responses.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_http::{Payload, Request, error::PayloadError};
use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use futures_util::Stream;
use pin_project_lite::pin_project;

use super::{
    exchange::{Exchange, InService},
    patience::Patience,
};

/// The body of a request, for which a client has to be quick enough.
struct Body {
    payload: Payload,
    patience: Patience,
    exchange: Rc<Exchange>,
    is_finished: bool,
}

/// Lets the body of a request, if it has one, end with an error where the client is slow.
pub(crate) fn limit(request: &mut Request, exchange: &Rc<Exchange>, time: Duration) {
    let payload = request.take_payload();
    if !matches!(payload, Payload::None) {
        exchange.body_begins();
        let body = Body {
            payload,
            patience: Patience::new(time),
            exchange: exchange.clone(),
            is_finished: false,
        };
        *request.payload() = Payload::Stream {
            payload: Box::pin(body),
        };
    }
}

impl Body {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let next = Pin::new(&mut self.payload).poll_next(cx);
        if let Poll::Ready(chunk) = &next {
            self.is_finished = !matches!(chunk, Some(Ok(_)));
            self.exchange.took_something();
        }
        next
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = this.poll(cx);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => this.patience.went_on(bytes.len()),
            Poll::Ready(_) => {}
            // Nobody owes anything to a websocket.
            Poll::Pending if this.exchange.is_upgraded() => {}
            Poll::Pending => {
                std::task::ready!(this.patience.wait(cx));
                this.exchange.body_is_late();
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Poll::Ready(Some(Err(PayloadError::Io(late))));
            }
        }
        next
    }
}

impl Drop for Body {
    /// Takes what has come, so that a body of which nothing is missing is read.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.is_finished && self.poll(&mut cx).is_ready() {}
        self.exchange.body_ends(self.is_finished);
    }
}

pin_project! {
    /// The body of a response, which keeps its request in service until its end.
    pub(crate) struct Answer<B> {
        #[pin]
        body: B,
        in_service: InService,
    }
}

impl<B> Answer<B> {
    pub(crate) fn new(body: B, in_service: InService) -> Self {
        Self { body, in_service }
    }
}

impl<B: MessageBody> MessageBody for Answer<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }

    // Not `try_into_bytes`: the body would end before it is sent.
}
