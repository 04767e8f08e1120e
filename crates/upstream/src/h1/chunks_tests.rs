use super::*;
use proptest::prelude::*;

type Read = Result<(Vec<u8>, Option<HeaderMap>, Vec<u8>), Fault>;

/// Data, trailers and what follows the body, from pieces that end at `cuts`. `None`: the body did not end.
fn read(text: &[u8], cuts: &[usize]) -> Option<Read> {
    let mut chunks = Chunks::new();
    let (mut buffer, mut data, mut from) = (BytesMut::new(), Vec::new(), 0);
    for to in cuts.iter().copied().filter(|cut| *cut < text.len()).chain([text.len()]) {
        buffer.extend_from_slice(&text[from.min(to)..to]);
        from = from.max(to);
        loop {
            let trailers = match chunks.next(&mut buffer) {
                Ok(Chunk::More) => break,
                Ok(Chunk::Data(piece)) => {
                    assert!(!piece.is_empty());
                    data.extend_from_slice(&piece);
                    if !chunks.ends_with(&mut buffer) {
                        continue;
                    }
                    None
                }
                Ok(Chunk::Trailers(fields)) => Some(fields),
                Ok(Chunk::End) => None,
                Err(fault) => {
                    assert_eq!(chunks.next(&mut buffer), Err(fault), "a fault is not got over");
                    return Some(Err(fault));
                }
            };
            buffer.extend_from_slice(&text[from..]);
            return Some(Ok((data, trailers, buffer.to_vec())));
        }
    }
    None
}

fn whole(text: &str) -> Read {
    read(text.as_bytes(), &[]).expect("the body ends")
}

#[test]
fn chunks_are_joined_and_what_follows_stays() {
    let (data, trailers, rest) = whole("3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n000\r\n\r\nHTTP").unwrap();
    assert_eq!((data.as_slice(), trailers, rest.as_slice()), (&b"abc0123456789"[..], None, &b"HTTP"[..]));
    // Padded sizes, as old servers write them.
    assert_eq!(whole("3  \r\nabc\r\n0\r\n\r\n").unwrap().0, b"abc");
    assert_eq!(whole("3 ;x\r\nabc\r\n0\r\n\r\n").unwrap().0, b"abc");
}

#[test]
fn trailers_come_after_the_data() {
    let trailers = whole("1\r\na\r\n0\r\nX-Sum: 7\r\nx-sum: 8\r\n\r\n").unwrap().1.unwrap();
    assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["7", "8"]);
}

#[test]
fn bad_framing_is_refused() {
    for (text, fault) in [
        ("g\r\n", Fault::ChunkSize),
        ("\r\n", Fault::ChunkSize),
        ("-1\r\n", Fault::ChunkSize),
        ("+1\r\n", Fault::ChunkSize),
        (" 1\r\n", Fault::ChunkSize),
        ("0x1\r\n", Fault::ChunkSize),
        (";x\r\n", Fault::ChunkSize),
        ("1 1\r\n", Fault::ChunkSize),
        ("1_0\r\n", Fault::ChunkSize),
        ("10000000000000000\r\n", Fault::ChunkSize),
        ("00000000000000001\r\n", Fault::ChunkSize),
        ("1\ra", Fault::ChunkSize),
        ("1\na\r\n", Fault::BareLf),
        ("1;x\na\r\n", Fault::BareLf),
        ("1;x\0\r\n", Fault::ChunkExtension),
        ("1;x\ry\r\n", Fault::ChunkSize),
        ("1\r\nab\r\n", Fault::ChunkEnd),
        ("1\r\na\n0\r\n\r\n", Fault::ChunkEnd),
        ("2\r\na\r\n0\r\n\r\n", Fault::ChunkEnd),
        ("0\r\nx: y\n\r\n", Fault::BareLf),
        ("0\r\n\n", Fault::BareLf),
        ("0\r\nno colon\r\n\r\n", Fault::Trailer),
        ("0\r\nx: y\r\n z\r\n\r\n", Fault::Trailer),
        ("0\r\nx: \0\r\n\r\n", Fault::Trailer),
        ("0\r\ncontent-length: 5\r\n\r\n", Fault::Trailer),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Trailer),
        ("0\r\nhost: other\r\n\r\n", Fault::Trailer),
    ] {
        assert_eq!(whole(text), Err(fault), "{text:?}");
    }
}

#[test]
fn extensions_and_trailers_have_limits() {
    let extended = |len: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(len));
    let most = EXTENSION_BYTES_MAX as usize - 1;
    assert!(whole(&extended(most)).is_ok());
    assert_eq!(whole(&extended(most + 1)), Err(Fault::ChunkExtension));
    // The limit is for the body, not for a chunk.
    let many = "1;x\r\na\r\n".repeat(EXTENSION_BYTES_MAX as usize / 2 + 1);
    assert_eq!(whole(&many), Err(Fault::ChunkExtension));
    let trailed = |len: usize| format!("0\r\nx: {}\r\n\r\n", "y".repeat(len));
    assert!(whole(&trailed(TRAILER_BYTES_MAX - 12)).is_ok());
    assert_eq!(whole(&trailed(TRAILER_BYTES_MAX)), Err(Fault::TrailersTooLarge));
    let endless = format!("0\r\nx: {}", "y".repeat(TRAILER_BYTES_MAX));
    assert_eq!(whole(&endless), Err(Fault::TrailersTooLarge));
    let lines = format!("0\r\n{}\r\n", "x: y\r\n".repeat(LINES_MAX + 1));
    assert_eq!(whole(&lines), Err(Fault::TooManyHeaders));
}

#[test]
fn the_last_chunk_is_taken_with_the_data_before_it_if_it_is_there() {
    let mut chunks = Chunks::new();
    let mut buffer = BytesMut::from(&b"1\r\na\r\n0\r\n\r\n"[..]);
    assert_eq!(chunks.next(&mut buffer), Ok(Chunk::Data(Bytes::from_static(b"a"))));
    assert!(chunks.ends_with(&mut buffer) && buffer.is_empty());
    let mut chunks = Chunks::new();
    let mut buffer = BytesMut::from(&b"1\r\na\r\n0\r\nx: y\r\n\r\n"[..]);
    assert_eq!(chunks.next(&mut buffer), Ok(Chunk::Data(Bytes::from_static(b"a"))));
    assert!(!chunks.ends_with(&mut buffer), "trailers are still to be told");
    assert!(matches!(chunks.next(&mut buffer), Ok(Chunk::Trailers(_))));
}

/// A body in chunks, some with extensions, with or without trailers.
fn body() -> impl Strategy<Value = (Vec<u8>, String)> {
    let chunk = ("[a-z\r\n]{1,20}", prop_oneof![3 => Just(""), 1 => Just(";a=b"), 1 => Just(" ")]);
    (prop::collection::vec(chunk, 0..6), any::<bool>()).prop_map(|(chunks, trailers)| {
        let data = chunks.iter().flat_map(|(data, _)| data.bytes()).collect();
        let framed: Vec<_> =
            chunks.iter().map(|(d, extra)| format!("{:x}{extra}\r\n{d}\r\n", d.len())).collect();
        let framed = framed.concat();
        (data, format!("{framed}0\r\n{}\r\nnext", if trailers { "x-sum: 1\r\n" } else { "" }))
    })
}

proptest! {
    #[test]
    fn a_body_is_read_whatever_the_pieces((data, text) in body(), mut cuts in prop::collection::vec(0_usize..160, 0..10)) {
        cuts.sort_unstable();
        let (read, trailers, rest) = read(text.as_bytes(), &cuts).unwrap().unwrap();
        prop_assert_eq!(read, data);
        prop_assert_eq!(trailers.is_some(), text.contains("x-sum"));
        prop_assert_eq!(rest, b"next");
    }

    #[test]
    fn any_bytes_end_the_same_way_whatever_the_pieces(
        text in "[0-3a;: \r\nx]{0,60}",
        mut cuts in prop::collection::vec(0_usize..60, 0..10),
    ) {
        cuts.sort_unstable();
        prop_assert_eq!(read(text.as_bytes(), &[]), read(text.as_bytes(), &cuts));
    }
}
