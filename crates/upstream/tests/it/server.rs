//! A small HTTP/1.1 server that misbehaves on demand, and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Status, extra header lines, body.
    Answer(u16, &'static str, &'static str),
    /// RST at once.
    Reset,
    /// Half a response head, then FIN.
    HalfHead,
    /// A promised length, half of it, then FIN.
    HalfBody,
    /// A chunk, then FIN without the last one.
    CutChunks,
    /// Whole chunks with a trailer.
    Trailers,
    /// Never answers.
    Hang,
    /// Sends a head and a first piece, then nothing.
    HangInBody,
    /// Answers after a while.
    Slow(Duration),
    /// Answers, promises keep-alive, and closes.
    AnswerAndClose,
    /// These bytes, then as keep-alive says.
    Raw(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) open_max: AtomicUsize,
    pub(crate) requests: AtomicUsize,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) type Decide = Arc<dyn Fn(usize, &Seen) -> Act + Send + Sync>;

impl Server {
    /// `decide` gets the number of the request at this server and what it holds.
    pub(crate) async fn start(decide: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Arc::new(decide))
    }

    pub(crate) async fn always(act: Act) -> Self {
        Self::start(move |_, _| act.clone()).await
    }

    pub(crate) fn on(listener: TcpListener, decide: Decide) -> Self {
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(accept(listener, decide, Arc::clone(&counts)));
        Self { address, counts, task }
    }

    /// A port where nobody listens.
    pub(crate) async fn refused() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, decide: Decide, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        let open = Open::new(Arc::clone(&counts));
        let decide = Arc::clone(&decide);
        connections.spawn(async move { serve(open, stream, decide).await });
        while connections.try_join_next().is_some() {}
    }
}

struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
        counts.open_max.fetch_max(open, Ordering::SeqCst);
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Parameters are dropped from the last to the first: a connection counts as open until its socket is closed.
async fn serve(open: Open, mut stream: TcpStream, decide: Decide) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer).await {
        let number = open.0.requests.fetch_add(1, Ordering::SeqCst);
        if !act(&mut stream, decide(number, &seen)).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn act(stream: &mut TcpStream, act: Act) -> bool {
    let answered = answer(200, "", "bye");
    let (text, goes_on) = match &act {
        Act::Hang => ("", false),
        Act::Slow(pause) => {
            tokio::time::sleep(*pause).await;
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow", true)
        }
        Act::Answer(status, headers, body) => return write(stream, &answer(*status, headers, body)).await,
        Act::Raw(text) => (*text, true),
        Act::Trailers => (TRAILERS, true),
        Act::Reset => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
            return false;
        }
        Act::HalfHead => ("HTTP/1.1 200 OK\r\ncontent-le", false),
        Act::HalfBody | Act::HangInBody => ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", false),
        Act::CutChunks => ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", false),
        Act::AnswerAndClose => (answered.as_str(), false),
    };
    let written = write(stream, text).await;
    if matches!(act, Act::Hang | Act::HangInBody) {
        closed(stream).await;
    }
    written && goes_on
}

const TRAILERS: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";

/// Waits until the other side has closed.
async fn closed(stream: &mut TcpStream) {
    while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

async fn write(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).await.is_ok()
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let lower = head.to_ascii_lowercase();
    if lower.contains("expect: 100-continue") && !lower.contains("x-no-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |value| value.trim().parse::<usize>().unwrap());
    if lower.contains("x-early-answer") {
        return Some(Seen { head, body: Vec::new() });
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer.drain(..length).collect();
    Some(Seen { head, body })
}
