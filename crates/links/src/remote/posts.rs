//! Messages of an HTTP+SSE link on their way to the server: each is a POST.
//!
//! The server says that it took a message; some say so only when they have done what it asks, and may ask back meanwhile. So a message
//! waits a moment for the one before it, that they arrive in order, and no longer.

use super::Remote;
use crate::carrier::{MessageSink, SendError};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{BoxFuture, pending},
    stream::FuturesUnordered,
};
use holdfast_resilience::Deadline;
use holdfast_upstream::{Call, CallBody, CallError, EndpointKey, Target, Upstream, clock};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::PathAndQuery};
use http_body_util::BodyExt as _;
use std::{io, sync::Arc, time::Duration};

/// How long a message waits for the one before it.
const PATIENCE: Duration = Duration::from_millis(250);
/// Messages that the server has not said anything about. The next one waits.
const POSTS_MAX: usize = 256;
/// What is read of an answer, so that its connection can be used again.
const ANSWER_MAX: usize = 64 * 1024;

/// Which message, and what became of it.
type Posted = (u64, Result<(), SendError>);

pub(super) struct Posts {
    upstream: Arc<Upstream>,
    endpoint: EndpointKey,
    address: PathAndQuery,
    headers: HeaderMap,
    timeout: Duration,
    number: u64,
    under_way: FuturesUnordered<BoxFuture<'static, Posted>>,
}

impl Posts {
    pub(super) fn new(
        remote: &Remote,
        upstream: Arc<Upstream>,
        (endpoint, address): (EndpointKey, PathAndQuery),
    ) -> Self {
        let mut headers = remote.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            upstream,
            endpoint,
            address,
            headers,
            timeout: remote.post_timeout,
            number: 0,
            under_way: FuturesUnordered::new(),
        }
    }

    fn post(&self, message: Bytes) -> BoxFuture<'static, Posted> {
        let deadline = Deadline::at(clock::after(clock::now(), self.timeout));
        let mut call = Call::new(Method::POST, Target::At(self.address.clone()), deadline);
        call.headers = self.headers.clone();
        call.body = CallBody::Full(message.clone());
        call.pin = Some(self.endpoint.clone());
        let (upstream, number) = (Arc::clone(&self.upstream), self.number);
        Box::pin(async move { (number, post(&upstream, call, message).await) })
    }
}

impl MessageSink for Posts {
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            while self.under_way.len() >= POSTS_MAX {
                if let Some((_, posted)) = self.under_way.next().await {
                    posted?;
                }
            }
            self.number += 1;
            self.under_way.push(self.post(message));
            let patience = tokio::time::sleep(PATIENCE);
            tokio::pin!(patience);
            loop {
                tokio::select! {
                    Some((number, posted)) = self.under_way.next() => {
                        posted?;
                        if number == self.number {
                            return Ok(());
                        }
                    }
                    () = &mut patience => return Ok(()),
                }
            }
        })
    }

    fn failed(&mut self) -> BoxFuture<'_, SendError> {
        Box::pin(async move {
            while let Some((_, posted)) = self.under_way.next().await {
                if let Err(error) = posted {
                    return error;
                }
            }
            pending().await
        })
    }
}

async fn post(upstream: &Upstream, call: Call, message: Bytes) -> Result<(), SendError> {
    let reply = match upstream.send(call).await {
        Ok(reply) => reply,
        // A limit of ours says nothing about the server.
        Err(error @ CallError::Overloaded { .. }) => {
            return Err(SendError::Refused { message, why: error.to_string() });
        }
        Err(error) => return Err(io::Error::other(error).into()),
    };
    let status = reply.response.status();
    let mut body = reply.response.into_body();
    let mut read = 0;
    while read <= ANSWER_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    match status {
        status if status.is_success() => Ok(()),
        // The server knows the stream no more.
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(io::Error::other(format!("a message was answered {status}")).into())
        }
        status => {
            Err(SendError::Refused { message, why: format!("the server answered the message with {status}") })
        }
    }
}
