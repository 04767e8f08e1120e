//! A request body with a size limit.

use crate::RequestBody;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Why a request body could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// More than `max_body_bytes`; answer 413.
    #[error("request body is larger than max_body_bytes ({limit})")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The client broke off or sent bad framing, or its HTTP/1 connection stalled beyond `read_timeout`; answer 400 if it is still
    /// there.
    #[error("request body could not be read: {0}")]
    Read(#[from] hyper::Error),
    /// Nothing came on an HTTP/2 stream for `read_timeout`; answer 408.
    #[error("nothing of the request body came for the whole read_timeout")]
    Stalled,
}

impl RequestBodyError {
    /// The status that answers this error.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::TooLarge { .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Read(_) => http::StatusCode::BAD_REQUEST,
            Self::Stalled => http::StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// A request body that errs as soon as it exceeds its limit. Trailers pass.
#[derive(Debug)]
pub struct Limited<B = RequestBody> {
    body: B,
    limit: u64,
    seen: u64,
}

impl<B: http_body::Body> Limited<B> {
    /// Limits `body` to `limit` bytes. A declared length beyond the limit is refused before anything is read, so the
    /// client that waits for `100 Continue` never sends it.
    pub fn new(body: B, headers: &HeaderMap, limit: u64) -> Result<Self, RequestBodyError> {
        let declared = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok())
            .or_else(|| body.size_hint().exact());
        if declared.is_some_and(|length| length > limit) {
            return Err(RequestBodyError::TooLarge { limit });
        }
        Ok(Self { body, limit, seen: 0 })
    }
}

impl<B> Limited<B> {
    /// Bytes that passed so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

impl<B> http_body::Body for Limited<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    RequestBodyError: From<B::Error>,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        if let Some(data) = frame.data_ref() {
            self.seen += data.len() as u64;
            if self.seen > self.limit {
                return Poll::Ready(Some(Err(RequestBodyError::TooLarge { limit: self.limit })));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
