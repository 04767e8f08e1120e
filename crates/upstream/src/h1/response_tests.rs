use super::*;
use proptest::prelude::*;

const GET: Asked = Asked { head: false };
const HEAD: Asked = Asked { head: true };

/// One head, given whole.
fn read(text: &[u8], asked: Asked) -> Result<Option<Head>, Fault> {
    take(&mut BytesMut::from(text), &mut EndScan::default(), asked)
}

fn fields(text: &str) -> Result<Head, Fault> {
    let head = format!("HTTP/1.1 200 OK\r\n{text}\r\n");
    read(head.as_bytes(), GET).map(|head| head.expect("the head is complete"))
}

/// One head in pieces that end at `cuts`; what is left stays in the buffer.
fn in_pieces(text: &[u8], cuts: &[usize]) -> (Result<Option<Head>, Fault>, usize) {
    let mut buffer = BytesMut::new();
    let mut scan = EndScan::default();
    let mut from = 0;
    for to in cuts.iter().copied().filter(|cut| *cut < text.len()).chain([text.len()]) {
        buffer.extend_from_slice(&text[from.min(to)..to]);
        from = from.max(to);
        match take(&mut buffer, &mut scan, GET) {
            Ok(None) => {}
            done => return (done, text.len() - from + buffer.len()),
        }
    }
    (Ok(None), buffer.len())
}

type Shown = (u16, Version, Vec<(String, Vec<u8>)>, Framing, bool);

fn shown(head: &Head) -> Shown {
    let list = head.response.headers().iter();
    let list = list.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    (head.response.status().as_u16(), head.response.version(), list, head.framing, head.keep_alive)
}

#[test]
fn a_head_becomes_status_fields_and_framing() {
    let text = b"HTTP/1.1 201 Made\r\nX-A:  b c \r\nx-a:d\r\nContent-Length: 7\r\nx-e:\r\n\r\nrest";
    let mut buffer = BytesMut::from(&text[..]);
    let head = take(&mut buffer, &mut EndScan::default(), GET).unwrap().unwrap();
    assert_eq!(&buffer[..], b"rest");
    assert_eq!((head.response.status().as_u16(), head.framing), (201, Framing::Length(7)));
    let all: Vec<_> = head.response.headers().get_all("x-a").iter().collect();
    assert_eq!(all, ["b c", "d"]);
    assert_eq!(head.response.headers()["x-e"], "");
    assert_eq!(head.response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"Made");
    assert!(fields("").unwrap().response.extensions().get::<ReasonPhrase>().is_none());
}

#[test]
fn framing_follows_rfc_9112_section_6_3() {
    for (text, framing) in [
        ("content-length: 5\r\n", Framing::Length(5)),
        ("content-length: 0\r\n", Framing::None),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
        ("", Framing::Close),
    ] {
        assert_eq!(fields(text).unwrap().framing, framing, "{text:?}");
    }
    for status in [103, 204, 304] {
        let text = format!("HTTP/1.1 {status} \r\ncontent-length: 5\r\n\r\n");
        assert_eq!(read(text.as_bytes(), GET).unwrap().unwrap().framing, Framing::None, "{status}");
    }
    for text in ["content-length: 5\r\n", "transfer-encoding: chunked\r\n", ""] {
        let text = format!("HTTP/1.1 200\r\n{text}\r\n");
        assert_eq!(read(text.as_bytes(), HEAD).unwrap().unwrap().framing, Framing::None, "{text:?}");
    }
}

#[test]
fn a_connection_lives_on_as_rfc_9112_section_9_3_says() {
    for (version, text, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "connection: close\r\n", false),
        ("1.1", "connection: x, Close\r\n", false),
        ("1.1", "connection: keep-alive\r\nconnection: close\r\n", false),
        ("1.1", "connection: close\r\nconnection: keep-alive\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("HTTP/{version} 200 OK\r\ncontent-length: 0\r\n{text}\r\n");
        let head = read(head.as_bytes(), GET).unwrap().unwrap();
        assert_eq!(head.keep_alive, keep_alive, "{version} {text:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (text, fault) in [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", Fault::LengthAndEncoding),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", Fault::LengthAndEncoding),
        ("content-length: 5\r\ncontent-length: 6\r\n", Fault::DuplicateLength),
        ("content-length: 5\r\ncontent-length: 5\r\n", Fault::DuplicateLength),
        ("content-length: 5, 5\r\n", Fault::DuplicateLength),
        ("content-length: +5\r\n", Fault::BadLength),
        ("content-length: 5 5\r\n", Fault::BadLength),
        ("content-length: 0x5\r\n", Fault::BadLength),
        ("content-length:\r\n", Fault::BadLength),
        ("content-length: 18446744073709551615\r\n", Fault::BadLength),
        ("content-length: 99999999999999999999\r\n", Fault::BadLength),
        ("transfer-encoding: gzip, chunked\r\n", Fault::Encoding),
        ("transfer-encoding: gzip\r\n", Fault::Encoding),
        ("transfer-encoding: identity\r\n", Fault::Encoding),
        ("transfer-encoding: chunked, chunked\r\n", Fault::Encoding),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Fault::Encoding),
        ("transfer-encoding: \x0bchunked\r\n", Fault::Head),
        ("transfer-encoding : chunked\r\n", Fault::Head),
        ("x: a\r\n b\r\n", Fault::Head),
        (" x: a\r\n", Fault::Head),
        ("x: a\rb\r\n", Fault::Head),
        ("x: a\0b\r\n", Fault::Head),
        ("x\0: a\r\n", Fault::Head),
        ("x y: a\r\n", Fault::Head),
        (": a\r\n", Fault::Head),
        ("no colon\r\n", Fault::Head),
        ("x: a\ny: b\r\n", Fault::BareLf),
    ] {
        assert_eq!(fields(text).unwrap_err(), fault, "{text:?}");
    }
    // Also where the head says that there is no body: the fields would reach the client.
    let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n";
    assert_eq!(read(text, HEAD).unwrap_err(), Fault::DuplicateLength);
    let text = b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(read(text, GET).unwrap_err(), Fault::Encoding);
}

#[test]
fn what_is_no_status_line_is_refused() {
    for text in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\nHTTP/1.1 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        assert_eq!(read(text.as_bytes(), GET).unwrap_err(), Fault::Head, "{text:?}");
    }
    assert_eq!(read(b"HTTP/1.1 200 OK\n\n", GET).unwrap_err(), Fault::BareLf);
    assert_eq!(read(b"HTTP/1.1 200 OK\r\n\n", GET).unwrap_err(), Fault::BareLf);
}

#[test]
fn limits_hold_in_one_piece_and_in_many() {
    let lines = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert!(read(lines(LINES_MAX).as_bytes(), GET).is_ok());
    assert_eq!(read(lines(LINES_MAX + 1).as_bytes(), GET).unwrap_err(), Fault::TooManyHeaders);
    let long = |len: usize| format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(len));
    let fits = HEAD_BYTES_MAX - long(0).len();
    assert!(read(long(fits).as_bytes(), GET).unwrap().is_some());
    assert_eq!(read(long(fits + 1).as_bytes(), GET).unwrap_err(), Fault::HeadTooLarge);
    let cuts: Vec<_> = (0..200_000).step_by(1000).collect();
    assert_eq!(in_pieces(long(200_000).as_bytes(), &cuts).0.unwrap_err(), Fault::HeadTooLarge);
}

/// Heads of which some are good and many nearly so.
fn any_head() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => "[a-zA-Z-]{1,6}: [ -~]{0,10}\r\n",
        1 => Just("content-length: 3\r\n".to_owned()),
        1 => Just("transfer-encoding: chunked\r\n".to_owned()),
        1 => Just("connection: close\r\n".to_owned()),
        1 => "[a-z: \r\n\0]{0,8}",
    ];
    let first = prop_oneof![4 => Just("HTTP/1.1 200 OK\r\n"), 1 => Just("HTTP/1.0 404 \r\n"), 1 => Just("HTTP/1.1 2")];
    (first, prop::collection::vec(line, 0..6), "[a-z\r\n]{0,4}")
        .prop_map(|(first, lines, rest)| format!("{first}{}\r\n{rest}", lines.concat()))
}

proptest! {
    #[test]
    fn the_pieces_a_head_comes_in_change_nothing(
        text in any_head(),
        mut cuts in prop::collection::vec(0_usize..120, 0..8),
    ) {
        cuts.sort_unstable();
        let (whole, left) = in_pieces(text.as_bytes(), &[]);
        let (pieces, left_in_pieces) = in_pieces(text.as_bytes(), &cuts);
        match (&whole, &pieces) {
            (Ok(Some(whole)), Ok(Some(pieces))) => {
                prop_assert_eq!(shown(whole), shown(pieces));
                prop_assert_eq!(left, left_in_pieces);
            }
            // A defect is named as soon as it is seen or when the head is whole; either way there is no head.
            (whole, pieces) => prop_assert!(!matches!(whole, Ok(Some(_))) && !matches!(pieces, Ok(Some(_)))),
        }
    }

    #[test]
    fn a_good_head_is_read_as_it_was_written(
        status in 200_u16..600,
        list in prop::collection::vec(("x-[a-z0-9]{1,8}", "[!-~]([ -~]{0,20}[!-~])?"), 0..20),
    ) {
        let lines: Vec<_> = list.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        let head = read(format!("HTTP/1.1 {status} X\r\n{lines}\r\n").as_bytes(), GET).unwrap().unwrap();
        prop_assert_eq!(head.response.status().as_u16(), status);
        for (name, _) in &list {
            let want: Vec<_> = list.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
            let have: Vec<_> = head.response.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
            prop_assert_eq!(have, want);
        }
        prop_assert_eq!(head.response.headers().len(), list.len());
    }
}
