use super::*;
use http::{HeaderMap, HeaderValue, Method, uri::PathAndQuery};
use proptest::prelude::*;

fn begin(method: &Method, headers: &HeaderMap, size: BodySize) -> Outgoing {
    let path = PathAndQuery::from_static("/");
    let host = HeaderValue::from_static("h");
    let mut out = Outgoing::new();
    out.begin(&RequestHead { method, target: ("", &path), headers, host: &host }, size);
    out
}

/// Writes `step` bytes at a time.
fn drain(out: &mut Outgoing, step: usize, into: &mut Vec<u8>) {
    while !out.is_empty() {
        let all: Vec<u8> = out.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        let count = step.min(all.len());
        into.extend_from_slice(&all[..count]);
        out.advance(count);
    }
}

fn body_of(wire: &[u8]) -> String {
    let text = String::from_utf8(wire.to_vec()).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_small_body_goes_out_with_its_head() {
    let mut out = begin(&Method::POST, &HeaderMap::new(), BodySize::Exact(4));
    out.add(Frame::data(Bytes::from_static(b"body"))).unwrap();
    assert!(out.owes_nothing() && out.slices()[1].is_empty());
    assert!(out.slices()[0].ends_with(b"content-length: 4\r\n\r\nbody"));
}

#[test]
fn a_large_piece_is_not_copied() {
    let data = Bytes::from(vec![b'x'; COPY_MAX + 1]);
    let mut out = begin(&Method::POST, &HeaderMap::new(), BodySize::Unknown);
    out.add(Frame::data(data.clone())).unwrap();
    assert_eq!(out.slices()[1].as_ptr(), data.as_ptr());
    assert!(!out.has_room());
}

#[test]
fn a_body_that_is_not_as_long_as_promised_is_an_error() {
    let mut out = begin(&Method::POST, &HeaderMap::new(), BodySize::Exact(4));
    assert_eq!(out.add(Frame::data(Bytes::from_static(b"longer"))), Err(BadLength));
    let mut out = begin(&Method::POST, &HeaderMap::new(), BodySize::Exact(4));
    out.add(Frame::data(Bytes::from_static(b"sho"))).unwrap();
    assert_eq!(out.finish(), Err(BadLength));
}

#[test]
fn trailers_go_out_if_they_were_announced() {
    let announced = HeaderMap::from_iter([(http::header::TRAILER, HeaderValue::from_static("x-sum"))]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    trailers.insert("x-other", HeaderValue::from_static("8"));
    trailers.insert("content-length", HeaderValue::from_static("9"));
    for (headers, want) in [(&announced, "0\r\nx-sum: 7\r\n\r\n"), (&HeaderMap::new(), "0\r\n\r\n")] {
        let mut out = begin(&Method::POST, headers, BodySize::Unknown);
        out.add(Frame::trailers(trailers.clone())).unwrap();
        assert!(out.owes_nothing());
        let mut wire = Vec::new();
        drain(&mut out, 5, &mut wire);
        assert_eq!(body_of(&wire), want);
    }
}

proptest! {
    #[test]
    fn chunks_are_framed_the_same_however_they_are_written(
        sizes in prop::collection::vec(prop_oneof![0_usize..40, COPY_MAX - 2..COPY_MAX + 3], 0..6),
        step in 1_usize..3000,
    ) {
        let mut out = begin(&Method::POST, &HeaderMap::new(), BodySize::Unknown);
        let (mut wire, mut want) = (Vec::new(), Vec::new());
        for size in sizes {
            if !out.has_room() {
                drain(&mut out, step, &mut wire);
            }
            out.add(Frame::data(Bytes::from(vec![b'x'; size]))).unwrap();
            if size > 0 {
                want.push(format!("{size:X}\r\n{}\r\n", "x".repeat(size)));
            }
        }
        drain(&mut out, step, &mut wire);
        out.finish().unwrap();
        drain(&mut out, step, &mut wire);
        prop_assert_eq!(body_of(&wire), want.concat() + "0\r\n\r\n");
    }
}
