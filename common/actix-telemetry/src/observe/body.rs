//! A response body that keeps its exchange going until it was written or dropped.

use std::{
    mem,
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
        body: Body<B>,
        // None for a path that is skipped.
        exchange: Option<Box<Exchange>>,
    }
}

pin_project! {
    #[project = Projected]
    enum Body<B> {
        // Most responses. To read it runs nothing that needs the request's context.
        Whole { bytes: Bytes },
        Parts {
            #[pin]
            body: B,
            // Bytes that are still to come, if their number is known.
            left: Option<u64>,
        },
    }
}

impl<B: MessageBody> ObservedBody<B> {
    pub(super) fn new(body: B, mut exchange: Option<Box<Exchange>>) -> Self {
        let (left, whole) = match body.size() {
            BodySize::None => (Some(0), Err(body)),
            BodySize::Sized(0) => (Some(0), Err(body)),
            BodySize::Sized(size) => (Some(size), body.try_into_bytes()),
            BodySize::Stream => (None, Err(body)),
        };
        // The bytes of an empty body are never asked for.
        if left == Some(0)
            && let Some(exchange) = &mut exchange
        {
            exchange.complete();
        }
        let body = match whole {
            Ok(bytes) => Body::Whole { bytes },
            Err(body) => Body::Parts { body, left },
        };
        Self { body, exchange }
    }
}

impl<B: MessageBody> MessageBody for ObservedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        match &self.body {
            Body::Whole { bytes } => BodySize::Sized(bytes.len() as u64),
            Body::Parts { body, .. } => body.size(),
        }
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let (poll, is_complete) = match this.body.project() {
            Projected::Whole { bytes } => {
                let bytes = mem::take(bytes);
                (Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes))), true)
            }
            Projected::Parts { body, left } => {
                let _inside = this.exchange.as_deref().and_then(Exchange::attach);
                let poll = body.poll_next(task);
                if let Poll::Ready(Some(Ok(bytes))) = &poll {
                    let read = bytes.len() as u64;
                    *left = left.map(|left| left.saturating_sub(read));
                }
                let is_complete = *left == Some(0) || matches!(poll, Poll::Ready(None));
                (poll, is_complete)
            }
        };
        if is_complete && let Some(exchange) = this.exchange {
            exchange.complete();
        }
        poll
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let bytes = match self.body {
            Body::Whole { bytes } => Ok(bytes),
            Body::Parts { body, left } => body.try_into_bytes().map_err(|body| (body, left)),
        };
        match bytes {
            Ok(bytes) => {
                if let Some(mut exchange) = self.exchange {
                    exchange.complete();
                }
                Ok(bytes)
            }
            Err((body, left)) => Err(Self {
                body: Body::Parts { body, left },
                exchange: self.exchange,
            }),
        }
    }
}
