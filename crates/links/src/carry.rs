//! The task of a link: messages out, messages in, until it ends.

use crate::{
    carrier::{Carried, MessageSink, MessageStream, SendError, StreamError},
    link::Link,
    outbox::Letters,
    start::Started,
};
use bytes::Bytes;
use holdfast_frames::frame::{self, Frame, Kind, MAX_DEPTH};
use holdfast_telemetry::metrics::{LinkDrop, LinkEnd};
use std::time::Duration;

/// Time that a server which takes nothing more has to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Carries messages until the link ends, calls `ended` as soon as nobody can use it any more, and ends it in order.
pub(crate) async fn carry(
    link: &Link,
    carried: Carried,
    letters: Letters,
    started: Started,
    ended: impl FnOnce(),
) {
    let Carried { sink, stream, closer, .. } = carried;
    let why = tokio::select! {
        biased;
        why = link.closed() => why,
        why = read(link, stream, &started) => why,
        () = write(link, sink, letters) => LinkEnd::Lost,
    };
    // From here on nobody can put a message on it: those who come now open another.
    link.close(why);
    link.end();
    ended();
    started.ended(why);
    link.metrics.ends.inc(why);
    tracing::debug!(link = %link.label, cause = ?why, "a link ends");
    closer.close().await;
}

async fn read(link: &Link, mut stream: Box<dyn MessageStream>, started: &Started) -> LinkEnd {
    let limits = frame::Limits { bytes_max: link.sizes.message_max, depth_max: MAX_DEPTH };
    loop {
        match stream.next().await {
            Ok(Some(message)) => {
                if let Ok(frame) = Frame::parse(message.clone(), &limits) {
                    started.spoke();
                    link.deliver(&frame);
                } else {
                    link.metrics.dropped.inc(LinkDrop::Noise);
                    stream.noise(&message);
                }
            }
            Ok(None) => return LinkEnd::Lost,
            Err(StreamError::TooLarge) => return LinkEnd::TooLarge,
            Err(StreamError::Broken(error)) => {
                tracing::debug!(link = %link.label, %error, "a link broke");
                return LinkEnd::Lost;
            }
        }
    }
}

/// Ends a while after the server takes nothing any more: until then it may still answer.
async fn write(link: &Link, mut sink: Box<dyn MessageSink>, mut letters: Letters) {
    loop {
        let failed = tokio::select! {
            letter = letters.next() => match letter {
                None => break,
                Some(letter) => sink.send(letter.message.clone()).await.err(),
            },
            error = sink.failed() => Some(error),
        };
        match failed {
            None => {}
            Some(SendError::Refused { message, why }) => refused(link, message, &why),
            Some(SendError::Broken(error)) => {
                tracing::debug!(link = %link.label, %error, "a link takes nothing any more");
                break;
            }
        }
    }
    tokio::time::sleep(LAST_WORDS).await;
}

/// Whoever asked hears that the server has not heard it.
fn refused(link: &Link, message: Bytes, why: &str) {
    tracing::debug!(link = %link.label, why, "a message was refused");
    let limits = frame::Limits { bytes_max: message.len(), depth_max: MAX_DEPTH };
    let Some(request) = Frame::parse(message, &limits).ok().filter(|frame| frame.kind() == Kind::Request)
    else {
        return;
    };
    let id = String::from_utf8_lossy(request.id().unwrap_or(b"null")).into_owned();
    let error = serde_json::json!({"code": -32603, "message": why});
    let answer = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
    let limits = frame::Limits { bytes_max: answer.len(), depth_max: MAX_DEPTH };
    if let Ok(answer) = Frame::parse(answer, &limits) {
        link.deliver(&answer);
    }
}
