//! The ids of a request for whoever made it: the header `traceresponse`, in the
//! format of the draft of W3C Trace Context Level 2.

use std::fmt;

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::BoxBody,
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
};
use opentelemetry::{Context, trace::TraceContextExt as _};

use crate::propagation;

const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Adds the header to an answer, or to the one that an error will become.
pub(super) fn add<B>(
    result: Result<ServiceResponse<B>, Error>,
    context: &Context,
) -> Result<ServiceResponse<B>, Error> {
    let Some(ids) = ids(context) else {
        return result;
    };
    match result {
        Ok(mut response) => {
            response.headers_mut().insert(TRACERESPONSE, ids);
            Ok(response)
        }
        Err(error) => Err(WithIds { error, ids }.into()),
    }
}

/// `00-{trace id}-{span id}-{flags}` of the request's own span, if it has one.
fn ids(context: &Context) -> Option<HeaderValue> {
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() || span.is_remote() {
        return None;
    }
    HeaderValue::try_from(propagation::ids(context, span)).ok()
}

/// An error whose answer has the header.
#[derive(Debug)]
struct WithIds {
    error: Error,
    ids: HeaderValue,
}

impl fmt::Display for WithIds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(out)
    }
}

impl ResponseError for WithIds {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = self.error.error_response();
        response
            .headers_mut()
            .insert(TRACERESPONSE, self.ids.clone());
        response
    }
}
