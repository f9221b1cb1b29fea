//! Reads request bodies with bounds on size and time.

use std::{fmt, io::Read, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

/// Time limit for receiving a whole body.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits for reading the remainder of a refused body, so that the client can read the response.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
const DISCARD_LIMIT: usize = 64 * 1024 * 1024;

/// Why a body was refused.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLarge { limit: usize },
    TooSlow,
    Broken(String),
    NotGzip(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(
                f,
                "the body is larger than the limit of {limit} bytes; export more often or in smaller batches"
            ),
            Self::TooSlow => write!(f, "the body did not arrive within {BODY_TIMEOUT:?}"),
            Self::Broken(reason) => write!(
                f,
                "the connection failed before the body was complete: {reason}"
            ),
            Self::NotGzip(reason) => write!(
                f,
                "the Content-Encoding is gzip, but the body cannot be decompressed: {reason}"
            ),
        }
    }
}

/// Reads the whole body. Fails if it is longer than `limit` bytes.
pub(crate) async fn read(body: &mut Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let collected = Limited::new(body, limit).collect();
    match timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(err)) if err.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Ok(Err(err)) => Err(BodyError::Broken(err.to_string())),
        Err(_) => Err(BodyError::TooSlow),
    }
}

/// Decompresses the body. Stops as soon as the result exceeds `limit` bytes.
pub(crate) fn gunzip(compressed: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let too_far = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(compressed)
        .take(too_far)
        .read_to_end(&mut body)
        .map_err(|err| BodyError::NotGzip(err.to_string()))?;
    if body.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(body)
}

/// Reads and discards the remainder of a body. Closing a connection with unread data would reset
/// it, and the client would not see the response.
pub(crate) async fn discard(body: &mut Incoming) {
    let drained = async {
        let mut seen = 0;
        while seen < DISCARD_LIMIT
            && let Some(Ok(frame)) = body.frame().await
        {
            seen += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // After the timeout the connection is closed, even if the client is still sending.
    let _ = timeout(DISCARD_TIMEOUT, drained).await;
}
