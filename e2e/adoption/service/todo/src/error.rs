//! What can go wrong, and what a client is told.

use actix_web::{
    HttpResponse, ResponseError, Result, dev::ServiceResponse, error::BlockingError,
    http::StatusCode, middleware::ErrorHandlerResponse,
};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("there is no task {0}")]
    NoSuchTask(i64),
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    #[error("the service of quotes failed")]
    Quote(#[from] reqwest::Error),
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoSuchTask(_) => StatusCode::NOT_FOUND,
            Self::Quote(_) => StatusCode::BAD_GATEWAY,
            Self::Database(_) | Self::Blocking(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Clients do not see what failed inside.
pub fn page<B>(response: ServiceResponse<B>) -> Result<ErrorHandlerResponse<B>> {
    let page = HttpResponse::InternalServerError().body("Something went wrong. Try again later.\n");
    let response = ServiceResponse::new(response.into_parts().0, page.map_into_right_body());
    Ok(ErrorHandlerResponse::Response(response))
}
