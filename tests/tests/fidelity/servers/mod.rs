//! Servers that say what a test says and hear bytes.

mod http;
mod lines;
mod sse;
mod websocket;

use crate::rules::Transport;
use holdfast_tests::{Result, place};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Response, StatusCode,
    body::{Bytes, Frame},
    header::CONTENT_TYPE,
};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
};

/// What a tag begins with, and how long it is.
const TAG: &[u8] = b"hf-tag-";
const TAG_LENGTH: usize = TAG.len() + 16;

/// What is said to whoever sent a message.
#[derive(Debug)]
pub(crate) enum Say {
    /// 202, where there are statuses.
    Accepted,
    /// One message, where it can be as the body of a JSON response.
    Json(Bytes),
    /// The same, which opens a session.
    Opened(Bytes),
    /// One message, where it can be as an event; more may follow.
    Event(Bytes),
}

/// To whoever sent a message.
pub(crate) type Way = UnboundedSender<Say>;

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Bytes, Way),
    /// Streamable HTTP: the stream of what nobody asked for.
    Listening(Way),
}

/// Who hears what: every message names its conversation.
#[derive(Debug, Default)]
pub(crate) struct Board {
    conversations: Mutex<HashMap<String, UnboundedSender<Heard>>>,
    strays: Mutex<Vec<String>>,
    kept: Mutex<Vec<Way>>,
}

impl Board {
    /// What is said in the conversation `tag` from now on.
    pub(crate) fn join(&self, tag: &str) -> UnboundedReceiver<Heard> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner).insert(tag.to_owned(), sender);
        receiver
    }

    /// Ends a stream no earlier than the test: its client ends it.
    pub(crate) fn keep(&self, way: Option<Way>) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend(way);
    }

    /// Messages that no conversation expected.
    pub(crate) fn strays(&self) -> Vec<String> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self, message: Bytes, way: Way) {
        let at = message.windows(TAG.len()).position(|window| window == TAG);
        let tag = at.and_then(|at| message.get(at..at + TAG_LENGTH));
        let tag = tag.map(|tag| String::from_utf8_lossy(tag).into_owned()).unwrap_or_default();
        let text = String::from_utf8_lossy(&message).into_owned();
        // Clients that go away cancel what they wait for, and on a link the gateway says so.
        let cancels =
            text.starts_with(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"#);
        if !self.tell(&tag, Heard::Message(message, way)) && !cancels {
            self.strays.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }

    fn tell(&self, tag: &str, heard: Heard) -> bool {
        let conversations = self.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        conversations.get(tag).is_some_and(|conversation| conversation.send(heard).is_ok())
    }
}

/// The tag of the so-manieth conversation.
pub(crate) fn tag(number: u64) -> String {
    format!("{}{number:016x}", String::from_utf8_lossy(TAG))
}

/// Starts a server of each kind, and gives their part of a configuration.
pub(crate) async fn start(board: &Arc<Board>) -> Result<String> {
    let http = http::start(Arc::clone(board)).await?;
    let sse = sse::start(Arc::clone(board)).await?;
    let websocket = websocket::start(Arc::clone(board)).await?;
    let stdio = lines::start(Arc::clone(board)).await?;
    let relay = env!("CARGO_BIN_EXE_holdfast-test-relay");
    let name = Transport::name;
    // Built once, before many ask for it.
    place::holdfast()?;
    Ok(format!(
        "  servers:
    - {{name: {}, era: dual, endpoints: 'http://{http}/mcp'}}
    - {{name: {}, era: dual, transport: sse, endpoints: 'http://{sse}/sse'}}
    - {{name: {}, era: dual, endpoints: 'ws://{websocket}/'}}
    - {{name: {}, era: dual, command: ['{relay}', '{stdio}']}}
",
        name(Transport::Http),
        name(Transport::Sse),
        name(Transport::WebSocket),
        name(Transport::Stdio),
    ))
}

/// Listens; each connection is `serve`d in a task of its own.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<SocketAddr>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

type Body = BoxBody<Bytes, Infallible>;

/// A response without a body.
fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed());
    *response.status_mut() = status;
    response
}

/// A JSON response.
fn json(message: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(message).boxed());
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// A stream of events: `first`, then each message that is said until the way is dropped.
fn events(first: Bytes, said: UnboundedReceiver<Say>) -> Response<Body> {
    let stream = futures_util::stream::unfold((Some(first), said), |(first, mut said)| async move {
        if let Some(first) = first {
            return Some((Ok(Frame::data(first)), (None, said)));
        }
        loop {
            match said.recv().await? {
                Say::Event(message) | Say::Json(message) | Say::Opened(message) => {
                    return Some((Ok(Frame::data(event(&message))), (None, said)));
                }
                Say::Accepted => {}
            }
        }
    });
    let mut response = Response::new(BoxBody::new(StreamBody::new(stream)));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/event-stream"));
    response
}

/// A message as an event: a line of data for each of its lines.
fn event(message: &[u8]) -> Bytes {
    let mut out = b"event: message\n".to_vec();
    for line in message.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.into()
}
