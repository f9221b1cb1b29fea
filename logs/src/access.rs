//! A middleware that handles each request in its own context, and writes the
//! access line when the answer is over.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header::USER_AGENT},
    middleware::Next,
    rt::time::sleep,
    web::Bytes,
};
use opentelemetry::{Context, context::FutureExt as _};
use opentelemetry_semantic_conventions::{
    attribute::{CLIENT_ADDRESS, HTTP_RESPONSE_STATUS_CODE, USER_AGENT_ORIGINAL},
    metric::HTTP_SERVER_REQUEST_DURATION,
};
use pin_project_lite::pin_project;

use crate::request::{self, Attributes};

/// The target of access lines, for the filters.
const TARGET: &str = "access";

/// How long the last access lines are waited for. Less than what a worker gets
/// whose master was killed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Requests whose access line is not written yet.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Handles the request in its context. Register it last, which makes it the
/// outermost.
pub(crate) async fn log_access(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let context = request::context(&request);
    let mut line = Line::begin(&request, context.clone());
    let result = async move { next.call(request).await }
        .with_context(context)
        .await;
    line.status = Some(match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    });
    result.map(|response| response.map_body(|_, body| LoggedBody { body, line }))
}

/// Waits until every request has its access line. Requests that are cut by a quick
/// stop end on other threads, a moment after serving has ended.
pub(crate) async fn all_written() {
    let began = Instant::now();
    while OPEN.load(SeqCst) > 0 && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The access line of a request. However the request ends, it is dropped, and
/// written then.
struct Line {
    context: Context,
    client: Option<String>,
    user_agent: Option<String>,
    began: Instant,
    /// Unset until there is an answer.
    status: Option<StatusCode>,
}

impl Line {
    fn begin(request: &ServiceRequest, context: Context) -> Self {
        OPEN.fetch_add(1, SeqCst);
        let user_agent = request.headers().get(USER_AGENT);
        Self {
            context,
            client: request.peer_addr().map(|peer| peer.ip().to_string()),
            user_agent: user_agent.map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes());
                request::bounded(&text)
            }),
            began: Instant::now(),
            status: None,
        }
    }

    fn write(&self) {
        let Some(Attributes { method, path, .. }) = self.context.get::<Attributes>() else {
            return;
        };
        let took = self.began.elapsed().as_secs_f64();
        let (client, user_agent) = (self.client.as_deref(), self.user_agent.as_deref());
        match self.status.map(|status| status.as_u16()) {
            Some(status) => log::info!(
                target: TARGET,
                (HTTP_RESPONSE_STATUS_CODE) = status,
                (HTTP_SERVER_REQUEST_DURATION) = took,
                (CLIENT_ADDRESS) = client,
                (USER_AGENT_ORIGINAL) = user_agent;
                "{method} {path} {status}"
            ),
            None => log::warn!(
                target: TARGET,
                (HTTP_SERVER_REQUEST_DURATION) = took,
                (CLIENT_ADDRESS) = client,
                (USER_AGENT_ORIGINAL) = user_agent;
                "{method} {path} was cut before it was answered"
            ),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        {
            let _inside = self.context.clone().attach();
            self.write();
        }
        OPEN.fetch_sub(1, SeqCst);
    }
}

pin_project! {
    /// A body that is made in the context of its request, and whose end is the
    /// request's.
    struct LoggedBody<B> {
        #[pin]
        body: B,
        line: Line,
    }
}

impl<B: MessageBody> MessageBody for LoggedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let _inside = this.line.context.clone().attach();
        this.body.poll_next(task)
    }
}
