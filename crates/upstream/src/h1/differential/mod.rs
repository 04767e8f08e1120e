//! The same bytes of the same server, read by hyper's client and by ours.
//!
//! Both must tell the same: status, version, reason, list of fields, body, trailers; or both refuse. Where ours refuses and
//! hyper does not, the case or the fault is listed here, and in `docs/decisions/0008`.

mod cases;
mod generated;
mod requests;

use super::{Http1, RequestHead, Rest, fault::Fault};
use crate::{
    BoxError, CallBody,
    io::{Io, Stream, Tcp},
    out_body::Source,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Version, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1, ext::ReasonPhrase};
use hyper_util::rt::TokioIo;
use std::{future::poll_fn, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Longer than any exchange takes; only a defect reaches it.
const LONG: Duration = Duration::from_secs(10);

/// What a server sends, write by write, before it closes.
#[derive(Clone, Debug)]
struct Script {
    method: Method,
    writes: Vec<Vec<u8>>,
}

/// What a client made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Refused,
    Answer { head: Head, body: Vec<u8>, end: End },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    version: Version,
    reason: Option<Vec<u8>>,
    fields: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Clean(Option<Vec<(String, Vec<u8>)>>),
    Broken,
}

impl Told {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Answer { end: End::Clean(_), .. })
    }
}

impl Script {
    fn new(method: Method, text: &str) -> Self {
        Self { method, writes: vec![text.as_bytes().to_vec()] }
    }

    /// The same bytes in several writes.
    fn cut(&self, cuts: &[usize]) -> Self {
        let bytes = self.writes.concat();
        let mut cuts: Vec<_> = cuts.iter().copied().filter(|cut| *cut < bytes.len()).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let mut piece = |to| {
            let piece = bytes[from..to].to_vec();
            from = to;
            piece
        };
        Self { method: self.method.clone(), writes: cuts.into_iter().map(&mut piece).collect() }
    }

    /// Plays it to whoever connects.
    async fn play(&self, listener: &TcpListener) {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        for write in &self.writes {
            if stream.write_all(write).await.is_err() {
                return;
            }
            // Lets the client read what is there.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        drop(stream.shutdown().await);
        // Until the client has closed: a reset must not overtake what was sent.
        while stream.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {}
    }
}

/// Both clients' accounts, and why ours refused.
async fn tell(script: &Script) -> (Told, Told, Option<Fault>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let both = async {
        let connect = async || TcpStream::connect(address).await.unwrap();
        let (hyper, ()) =
            futures_util::join!(hypers(connect().await, &script.method), script.play(&listener));
        let ((own, fault), ()) =
            futures_util::join!(ours(connect().await, &script.method), script.play(&listener));
        (hyper, own, fault)
    };
    tokio::time::timeout(LONG, both).await.unwrap_or_else(|_| panic!("nobody moves: {script:?}"))
}

async fn hypers(tcp: TcpStream, method: &Method) -> Told {
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
    let connection = async move { drop(connection.await) };
    let request =
        Request::builder().method(method).uri("/").header("host", "h").body(Empty::<Bytes>::new()).unwrap();
    let exchange = async move {
        let Ok(response) = sender.send_request(request).await else { return Told::Refused };
        let (parts, body) = response.into_parts();
        let head = head(parts.status.as_u16(), parts.version, parts.extensions.get(), &parts.headers);
        let (body, end) = drain(body).await;
        Told::Answer { head, body, end }
    };
    futures_util::join!(exchange, connection).0
}

async fn drain(mut body: Incoming) -> (Vec<u8>, End) {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(piece)) => data.extend_from_slice(&piece),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(_) => return (data, End::Broken),
        }
    }
    (data, End::Clean(trailers.map(|fields| list(&fields))))
}

async fn ours(tcp: TcpStream, method: &Method) -> (Told, Option<Fault>) {
    let mut connection = Http1::new(Io::new(Stream::Plain(Tcp::new(tcp)), None));
    let (headers, host) = (HeaderMap::new(), HeaderValue::from_static("h"));
    let path = PathAndQuery::from_static("/");
    let head_out = RequestHead { method, target: ("", &path), headers: &headers, host: &host };
    let rest = Rest { body: Source::new(CallBody::Empty).attempt(None), opener: None };
    let response = match connection.send(&head_out, rest).await {
        Ok(response) => response,
        Err(failure) => return (Told::Refused, fault(&failure.error)),
    };
    let parts = response.into_parts().0;
    let head = head(parts.status.as_u16(), parts.version, parts.extensions.get(), &parts.headers);
    let (mut body, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(piece)) => body.extend_from_slice(&piece),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(error) => return (Told::Answer { head, body, end: End::Broken }, fault(&error.error)),
        }
    }
    let end = End::Clean(trailers.map(|fields| list(&fields)));
    (Told::Answer { head, body, end }, None)
}

fn fault(error: &BoxError) -> Option<Fault> {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return Some(*fault);
    }
    error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref().copied()
}

fn head(status: u16, version: Version, reason: Option<&ReasonPhrase>, fields: &HeaderMap) -> Head {
    let reason = reason.map(|reason| reason.as_bytes().to_vec());
    Head { status, version, reason, fields: list(fields) }
}

fn list(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}
