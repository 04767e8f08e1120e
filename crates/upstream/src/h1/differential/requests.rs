//! Requests: what hyper writes and what we write for the same call.

use super::run;
use crate::{
    CallBody,
    h1::{Http1, RequestHead, Rest},
    io::{Io, Stream, Tcp},
    out_body::{OutBody, Source},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, uri::PathAndQuery};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    headers: HeaderMap,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Empty,
    Full(Vec<u8>),
    Stream(Vec<Vec<u8>>, Option<HeaderMap>),
}

impl Body {
    fn out(&self) -> OutBody {
        let body = match self {
            Self::Empty => CallBody::Empty,
            Self::Full(data) => CallBody::Full(Bytes::from(data.clone())),
            Self::Stream(pieces, trailers) => {
                let data = pieces.iter().map(|piece| Frame::data(Bytes::from(piece.clone())));
                let frames: Vec<_> = data.chain(trailers.clone().map(Frame::trailers)).map(Ok).collect();
                CallBody::Stream(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
            }
        };
        Source::new(body).attempt(None)
    }
}

/// Everything a client writes, up to its end. The server answers nothing.
async fn written<F: Future>(listener: &TcpListener, client: impl FnOnce(TcpStream) -> F) -> Vec<u8> {
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut client = Box::pin(client(tcp));
    let mut all = Vec::new();
    let ended = |all: &[u8]| is_whole(all);
    while !ended(&all) {
        tokio::select! {
            _ = &mut client => break,
            read = server.read_buf(&mut all) => if read.unwrap() == 0 { break },
        }
    }
    all
}

/// Whether head and body are complete, by the head's own word.
fn is_whole(all: &[u8]) -> bool {
    let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
    let body = &all[end + 4..];
    if head.contains("transfer-encoding: chunked") {
        return body.starts_with(b"0\r\n") && body.ends_with(b"\r\n\r\n")
            || body.windows(5).any(|five| five == b"\r\n0\r\n") && body.ends_with(b"\r\n\r\n");
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}

async fn both(asked: &Asked) -> (Vec<u8>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hyper = written(&listener, async |tcp| {
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        let mut request = Request::new(asked.body.out());
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = "/a?b".parse().unwrap();
        *request.headers_mut() = asked.headers.clone();
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("h"));
        let sent = async move { drop(sender.send_request(request).await) };
        futures_util::join!(sent, async { drop(connection.await) });
    });
    let hyper = hyper.await;
    let ours = written(&listener, async |tcp| {
        let (host, path) = (HeaderValue::from_static("h"), PathAndQuery::from_static("/a?b"));
        let head =
            RequestHead { method: &asked.method, target: ("", &path), headers: &asked.headers, host: &host };
        let rest = Rest { body: asked.body.out(), opener: None };
        drop(Http1::new(Io::new(Stream::Plain(Tcp::new(tcp)), None)).send(&head, rest).await);
    });
    (hyper, ours.await)
}

/// Request line, sorted field lines, body: the order of fields with different names has no meaning (RFC 9110 section 5.3).
fn parts(wire: &[u8]) -> (String, Vec<String>, Vec<u8>) {
    let end = wire.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&wire[..end]).into_owned();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let first = lines.next().unwrap();
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|a, b| a.split(':').next().cmp(&b.split(':').next()));
    (first, lines, wire[end + 4..].to_vec())
}

fn asked() -> impl Strategy<Value = Asked> {
    let method = prop::sample::select(vec![Method::GET, Method::DELETE, Method::POST, Method::PUT]);
    let fields = prop::collection::vec(("x-[a-z]{1,3}", "[!-~]{1,8}"), 0..5);
    let piece = || prop::collection::vec(any::<u8>(), 1..40);
    let large = prop::collection::vec(any::<u8>(), 5_000..6_000);
    let body = prop_oneof![
        2 => Just(Body::Empty),
        2 => piece().prop_map(Body::Full),
        1 => large.prop_map(Body::Full),
        3 => (prop::collection::vec(piece(), 0..4), prop::option::of(Just("x-sum")))
            .prop_map(|(pieces, name)| Body::Stream(pieces, name.map(|name| {
                HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("7"))])
            }))),
    ];
    (method, fields, body).prop_map(|(method, fields, body)| {
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        if matches!(body, Body::Stream(_, Some(_))) {
            headers.insert(header::TRAILER, HeaderValue::from_static("x-sum"));
        }
        Asked { method, headers, body }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn both_write_the_same(mut asked in asked()) {
        // hyper drops a body of unknown length that goes with GET; ours sends it. And ours says that a POST or PUT has no body.
        if asked.method == Method::GET && matches!(asked.body, Body::Stream(..)) {
            asked.body = Body::Empty;
        }
        let (hyper, ours) = run(both(&asked));
        let (mut hyper, ours) = (parts(&hyper), parts(&ours));
        if matches!(asked.body, Body::Empty) && matches!(asked.method, Method::POST | Method::PUT) {
            hyper.1.insert(0, "content-length: 0".to_owned());
        }
        prop_assert_eq!(ours, hyper);
    }
}

#[test]
fn a_stream_that_goes_with_get_is_sent_and_not_lost() {
    let asked = Asked {
        method: Method::GET,
        headers: HeaderMap::new(),
        body: Body::Stream(vec![b"query".to_vec()], None),
    };
    let (hyper, ours) = run(both(&asked));
    assert_eq!(parts(&hyper).2, b"");
    assert_eq!(parts(&ours).2, b"5\r\nquery\r\n0\r\n\r\n");
}
