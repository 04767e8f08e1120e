//! A link over HTTP+SSE (2024-11-05, "HTTP with SSE"): an event stream, and an address to post to that its first event names.

use super::{Remote, left, no_link, posts::Posts};
use crate::carrier::{Carried, Closer, Dial, MessageStream, StreamError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast_frames::sse::{Event, Parser};
use holdfast_resilience::Sent;
use holdfast_upstream::{BoxError, CallError, EndpointKey, ReplyBody, Target, Upstream};
use http::{HeaderValue, header, uri::PathAndQuery};
use http_body_util::BodyExt as _;
use std::{io, sync::Arc};
use url::Url;

/// What the fields of an event cost beyond its data.
const EVENT_EXTRA: usize = 4096;
/// Bytes before the event that names the address.
const PREFACE_MAX: usize = 64 * 1024;

/// Opens a link. An event stream that ends before it has named an address is asked for once more, elsewhere if there is somewhere:
/// nothing was sent over it.
pub(super) async fn open(
    remote: &Remote,
    upstream: &Arc<Upstream>,
    mut dial: Dial,
) -> Result<Carried, CallError> {
    match open_once(remote, upstream, dial.clone()).await {
        Err(Unopened::Ended(endpoint)) => {
            dial.avoid.push(endpoint);
            open_once(remote, upstream, dial).await.map_err(Unopened::into_error)
        }
        opened => opened.map_err(Unopened::into_error),
    }
}

/// Why there is no link.
enum Unopened {
    Call(CallError),
    /// The stream of this endpoint ended at its beginning.
    Ended(EndpointKey),
}

impl Unopened {
    fn into_error(self) -> CallError {
        match self {
            Self::Call(error) => error,
            Self::Ended(endpoint) => no_link(&endpoint, "ended before it named an address to post to".into()),
        }
    }
}

impl From<CallError> for Unopened {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

async fn open_once(remote: &Remote, upstream: &Arc<Upstream>, dial: Dial) -> Result<Carried, Unopened> {
    let until = dial.until;
    let mut call = remote.dial(dial, Target::Base);
    call.headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    call.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let reply = upstream.send(call).await?;
    let endpoint = reply.endpoint;
    let status = reply.response.status();
    if status != http::StatusCode::OK || !reply.event_stream {
        let why = format!("answered {status}, and not with an event stream");
        return Err(no_link(&endpoint, why.into()).into());
    }
    let mut stream = Stream {
        body: reply.response.into_body(),
        parser: Parser::new(remote.message_max.saturating_add(EVENT_EXTRA)),
    };
    let address = match tokio::time::timeout(left(until), stream.address(&endpoint)).await {
        Ok(Ok(Some(address))) => address,
        Ok(Ok(None)) => return Err(Unopened::Ended(endpoint)),
        Ok(Err(why)) => return Err(no_link(&endpoint, why).into()),
        Err(_) => {
            let late = CallError::Deadline { upstream: upstream.name().into(), sent: Sent::Nothing };
            return Err(late.into());
        }
    };
    let posts = Posts::new(remote, Arc::clone(upstream), (endpoint.clone(), address));
    Ok(Carried {
        sink: Box::new(posts),
        stream: Box::new(stream),
        closer: Box::new(Dropped),
        label: endpoint.to_string(),
        endpoint,
    })
}

struct Stream {
    body: ReplyBody,
    parser: Parser,
}

impl Stream {
    /// "the server MUST send an `endpoint` event containing a URI for the client to use for sending messages". `None` if the stream ends
    /// before that.
    async fn address(&mut self, endpoint: &EndpointKey) -> Result<Option<PathAndQuery>, BoxError> {
        let event = match self.event(PREFACE_MAX).await {
            Ok(Some(event)) => event,
            Ok(None) | Err(StreamError::Broken(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let data = event.data().filter(|_| event.name().is_some_and(|name| name == "endpoint"));
        let uri = data.ok_or("began with another event than `endpoint`")?;
        let uri = std::str::from_utf8(uri).map_err(|_| "named an address that is no UTF-8")?;
        address(endpoint, uri).map(Some)
    }

    /// The next event with data. Cancel safe: what was read stays.
    async fn event(&mut self, mut bytes_max: usize) -> Result<Option<Event>, StreamError> {
        loop {
            match self.parser.next() {
                Some(Ok(event)) if event.data().is_some() => return Ok(Some(event)),
                Some(Ok(_)) => continue,
                Some(Err(_)) => return Err(StreamError::TooLarge),
                None => {}
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(io::Error::other(error).into()),
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    bytes_max = bytes_max.checked_sub(data.len()).ok_or(StreamError::TooLarge)?;
                    self.parser.push(&data);
                }
            }
        }
    }
}

impl MessageStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StreamError>> {
        Box::pin(async move {
            loop {
                let Some(event) = self.event(usize::MAX).await? else { return Ok(None) };
                if event.is_message() {
                    return Ok(event.data().cloned());
                }
            }
        })
    }

    fn noise(&mut self, message: &[u8]) {
        tracing::debug!(bytes = message.len(), "an event that is no JSON-RPC message");
    }
}

/// Nothing is left when both halves are gone.
struct Dropped;

impl Closer for Dropped {
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Where to post, of the origin of the event stream: whoever answers there must not send us, and our credential, anywhere else.
fn address(endpoint: &EndpointKey, text: &str) -> Result<PathAndQuery, BoxError> {
    // The address of a name follows its URL.
    let base = endpoint.as_str().split('#').next().unwrap_or_default();
    let base = Url::parse(base)?;
    let found =
        base.join(text.trim()).map_err(|error| format!("named an address that is no URI: {error}"))?;
    if found.origin() != base.origin() {
        return Err("named an address of another origin to post to".into());
    }
    let path = match found.query() {
        Some(query) => format!("{}?{query}", found.path()),
        None => found.path().to_owned(),
    };
    Ok(path.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str, text: &str) -> Option<String> {
        address(&EndpointKey::from(base), text).ok().map(|path| path.to_string())
    }

    #[test]
    fn an_address_is_taken_relative_to_the_stream() {
        let base = "http://files:3000/v1/sse#10.0.0.7:3000";
        for (text, path) in [
            ("/messages/?session_id=ab", "/messages/?session_id=ab"),
            ("messages?s=1", "/v1/messages?s=1"),
            ("?s=1", "/v1/sse?s=1"),
            ("../post", "/post"),
            ("http://files:3000/post?x=%20y", "/post?x=%20y"),
            ("  /trimmed ", "/trimmed"),
        ] {
            assert_eq!(at(base, text).as_deref(), Some(path), "{text}");
        }
        assert_eq!(at("https://h/sse", "https://h:443/m").as_deref(), Some("/m"));
    }

    #[test]
    fn an_address_of_another_origin_is_refused() {
        for text in [
            "http://other:3000/post",
            "https://files:3000/post",
            "http://files:3001/post",
            "//other/post",
            "http://files:3000@evil/post",
            "javascript:alert(1)",
            "http://[::1",
        ] {
            assert_eq!(at("http://files:3000/sse", text), None, "{text}");
        }
    }
}
