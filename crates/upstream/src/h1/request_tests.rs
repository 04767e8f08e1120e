use super::*;
use proptest::prelude::*;

fn wire(method: &Method, headers: &HeaderMap, body: BodySize) -> (String, Framing) {
    let path = PathAndQuery::from_static("/a?b");
    let host = HeaderValue::from_static("upstream:1");
    let head = RequestHead { method, target: ("/base", &path), headers, host: &host };
    let mut wire = Vec::new();
    let framing = write(&head, body, &mut wire);
    (String::from_utf8(wire).unwrap(), framing)
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

#[test]
fn a_head_is_the_target_the_host_and_the_fields() {
    let (text, framing) = wire(&Method::GET, &headers(&[("x-a", "b")]), BodySize::None);
    assert_eq!(text, "GET /base/a?b HTTP/1.1\r\nhost: upstream:1\r\nx-a: b\r\n\r\n");
    assert_eq!(framing, Framing::None);
    let (text, _) = wire(&Method::GET, &headers(&[("x-a", "b"), ("host", "client")]), BodySize::None);
    assert_eq!(text, "GET /base/a?b HTTP/1.1\r\nhost: client\r\nx-a: b\r\n\r\n");
}

#[test]
fn the_framing_is_what_is_sent_and_not_what_was_said() {
    let said = headers(&[("content-length", "7"), ("transfer-encoding", "gzip")]);
    for (body, line, framing) in [
        (BodySize::None, "content-length: 0\r\n", Framing::None),
        (BodySize::Exact(3), "content-length: 3\r\n", Framing::Length(3)),
        (BodySize::Unknown, "content-length: 7\r\n", Framing::Length(7)),
    ] {
        let (text, framed) = wire(&Method::POST, &said, body);
        assert_eq!(text, format!("POST /base/a?b HTTP/1.1\r\nhost: upstream:1\r\n{line}\r\n"));
        assert_eq!(framed, framing);
    }
    let (text, framed) = wire(&Method::GET, &HeaderMap::new(), BodySize::Unknown);
    assert!(text.ends_with("transfer-encoding: chunked\r\n\r\n"), "{text}");
    assert_eq!(framed, Framing::Chunked);
    let bad = headers(&[("content-length", "7, 7")]);
    assert_eq!(wire(&Method::PUT, &bad, BodySize::Unknown).1, Framing::Chunked);
}

#[test]
fn a_missing_body_is_said_where_one_is_expected() {
    for (method, said) in
        [(Method::GET, false), (Method::DELETE, false), (Method::POST, true), (Method::PATCH, true)]
    {
        let (text, _) = wire(&method, &HeaderMap::new(), BodySize::None);
        assert_eq!(text.contains("content-length: 0\r\n"), said, "{method}");
    }
}

#[test]
fn only_announced_and_harmless_trailers_are_sent() {
    let said = headers(&[("trailer", "X-Sum, content-length ,te,\t x-b,,@")]);
    assert_eq!(announced_trailers(&said), ["x-sum", "x-b"]);
}

proptest! {
    /// Response splitting and request smuggling need a value that ends its line. None can be made.
    #[test]
    fn what_is_written_is_read_back_as_it_was(
        list in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..8),
        path in any::<Vec<u8>>(),
    ) {
        let mut given = HeaderMap::new();
        for (name, value) in &list {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                given.append(name, value);
            }
        }
        let path = PathAndQuery::try_from(path.as_slice()).unwrap_or_else(|_| PathAndQuery::from_static("/"));
        let host = HeaderValue::from_static("h");
        let head = RequestHead { method: &Method::GET, target: ("", &path), headers: &given, host: &host };
        let mut wire = Vec::new();
        write(&head, BodySize::None, &mut wire);
        let ends = wire.windows(2).filter(|two| two == b"\r\n").count();
        prop_assert_eq!(memchr::memchr_iter(b'\n', &wire).count(), ends);
        prop_assert_eq!(memchr::memchr_iter(b'\r', &wire).count(), ends);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut back = httparse::Request::new(&mut fields);
        let read = back.parse(&wire);
        // A path with bytes beyond ASCII is legal for one library and not for the other; it still ends no line.
        if path.as_str().is_ascii() {
            prop_assert_eq!(read.unwrap(), httparse::Status::Complete(wire.len()));
            let other = |name: &str| !["host", "content-length", "transfer-encoding"].contains(&name);
            let sent: Vec<_> = given.iter().filter(|(n, _)| other(n.as_str())).map(|(n, v)| (n.as_str(), v.as_bytes().trim_ascii())).collect();
            let seen: Vec<_> = back.headers.iter().filter(|f| other(f.name)).map(|f| (f.name, f.value.trim_ascii())).collect();
            prop_assert_eq!(seen, sent);
        }
    }
}
