//! A response body that keeps its exchange going until it was written or dropped.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use pin_project_lite::pin_project;

use super::exchange::Exchange;

pin_project! {
    /// The body of a response that [`Observe`](super::Observe) watches.
    pub struct ObservedBody<B> {
        #[pin]
        body: B,
        // None for a path that is skipped.
        exchange: Option<Exchange>,
        // Bytes that are still to come, if their number is known.
        left: Option<u64>,
    }
}

impl<B: MessageBody> ObservedBody<B> {
    pub(super) fn new(body: B, mut exchange: Option<Exchange>) -> Self {
        let left = match body.size() {
            BodySize::None => Some(0),
            BodySize::Sized(size) => Some(size),
            BodySize::Stream => None,
        };
        // The bytes of an empty body are never asked for.
        if left == Some(0)
            && let Some(exchange) = &mut exchange
        {
            exchange.complete();
        }
        Self {
            body,
            exchange,
            left,
        }
    }
}

impl<B: MessageBody> MessageBody for ObservedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let Some(exchange) = this.exchange else {
            return this.body.poll_next(task);
        };
        let poll = {
            let _inside = exchange.attach();
            this.body.poll_next(task)
        };
        match &poll {
            Poll::Ready(Some(Ok(bytes))) => {
                let read = bytes.len() as u64;
                *this.left = this.left.map(|left| left.saturating_sub(read));
                if *this.left == Some(0) {
                    exchange.complete();
                }
            }
            Poll::Ready(None) => exchange.complete(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        poll
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self.body.try_into_bytes() {
            Ok(bytes) => {
                if let Some(mut exchange) = self.exchange {
                    exchange.complete();
                }
                Ok(bytes)
            }
            Err(body) => Err(Self { body, ..self }),
        }
    }
}
