//! The parts without I/O, fed with any bytes. They panic only when a promise is broken.
//!
//! The corpora in `fuzz/corpus/` are replayed by a test, which also tries mutations of them; `FUZZ_ROUNDS` sets how many.

use super::{
    body::{BodyReader, Piece},
    chunks::TRAILER_BYTES_MAX,
    fault::Fault,
    response::{self, Asked, Framing, HEAD_BYTES_MAX, INTERIM_MAX},
    section::EndScan,
};
use bytes::BytesMut;
use http::{HeaderMap, Response, header};

/// What a whole exchange came to.
#[derive(Debug)]
struct Told {
    response: Response<()>,
    framing: Framing,
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    surplus: usize,
}

/// A response, as a server might send it. The first byte says how to cut it and what was asked.
///
/// # Panics
/// Only where a promise is broken: the pieces that it comes in change what is read, or what is let through could be read in
/// two ways.
pub fn fuzz_http1_response(input: &[u8]) {
    let (control, bytes) = input.split_first().map_or((0, input), |(first, rest)| (*first, rest));
    let asked = Asked { head: control & 1 == 1 };
    let whole = read(std::iter::once(bytes), asked);
    let pieces = read(bytes.chunks(usize::from(control >> 1) + 1), asked);
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!(whole.response.status(), pieces.response.status(), "cutting changed the status");
            assert_eq!(whole.response.headers(), pieces.response.headers(), "cutting changed the fields");
            assert_eq!(
                (&whole.data, &whole.trailers),
                (&pieces.data, &pieces.trailers),
                "cutting changed the body"
            );
            assert_eq!((whole.framing, whole.surplus), (pieces.framing, pieces.surplus));
            promises(whole, asked);
        }
        (Err(_), Err(_)) => {}
        _ => assert!(whole.is_err() && pieces.is_err(), "cutting decided: {whole:?}, {pieces:?}"),
    }
}

/// What a client may rely on in a response that was let through.
fn promises(told: &Told, asked: Asked) {
    let headers = told.response.headers();
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let encodings = headers.get_all(header::TRANSFER_ENCODING).iter().count();
    assert!(lengths + encodings <= 1, "two statements about one body");
    for value in headers.values().chain(told.trailers.iter().flat_map(HeaderMap::values)) {
        assert!(
            !value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "a value ends its line"
        );
    }
    let status = told.response.status().as_u16();
    match told.framing {
        Framing::None => assert!(told.data.is_empty()),
        Framing::Length(length) => assert_eq!(told.data.len() as u64, length),
        Framing::Chunked | Framing::Close => assert!(!asked.head && !matches!(status, 204 | 304)),
    }
    if let Some(trailers) = &told.trailers {
        assert_eq!(told.framing, Framing::Chunked);
        assert!(
            !trailers.contains_key(header::CONTENT_LENGTH)
                && !trailers.contains_key(header::TRANSFER_ENCODING)
        );
    }
}

/// As the driver does, without a socket: bytes, then the end of the connection.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, asked: Asked) -> Result<Told, Fault> {
    let (mut buffer, mut scan, mut interim) = (BytesMut::new(), EndScan::default(), 0);
    let mut told: Option<(Told, BodyReader)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if told.is_none() {
            told = head(&mut buffer, &mut scan, &mut interim, asked)?;
        }
        match &mut told {
            Some((told, reader)) => body(&mut buffer, reader, told)?,
            None => assert!(buffer.len() <= HEAD_BYTES_MAX, "a head without end is kept"),
        }
    }
    let (mut told, mut reader) = told.ok_or(Fault::TruncatedHead)?;
    reader.closed()?;
    told.surplus = buffer.len();
    Ok(told)
}

fn head(
    buffer: &mut BytesMut,
    scan: &mut EndScan,
    interim: &mut u8,
    asked: Asked,
) -> Result<Option<(Told, BodyReader)>, Fault> {
    while !buffer.is_empty() {
        let Some(head) = response::take(buffer, scan, asked)? else { return Ok(None) };
        let (response, framing) = (head.response, head.framing);
        if !response.status().is_informational() || response.status().as_u16() == 101 {
            let told = Told { response, framing, data: Vec::new(), trailers: None, surplus: 0 };
            return Ok(Some((told, BodyReader::new(framing))));
        }
        *interim += 1;
        if *interim > INTERIM_MAX {
            return Err(Fault::TooManyInterim);
        }
    }
    Ok(None)
}

fn body(buffer: &mut BytesMut, reader: &mut BodyReader, told: &mut Told) -> Result<(), Fault> {
    loop {
        match reader.next(buffer)? {
            Piece::Data(data) => told.data.extend_from_slice(&data),
            Piece::Trailers(fields) => told.trailers = Some(fields),
            Piece::End => return Ok(()),
            Piece::More => {
                assert!(buffer.len() <= TRAILER_BYTES_MAX, "more is kept than trailers may be");
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    const ROUNDS: usize = 3000;

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "the corpus of {name} is too small to mean anything");
        files.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn mutate(data: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut fastrand::Rng) {
        let at = rng.usize(..=data.len());
        match rng.u8(..6) {
            0 => data.insert(at, b"\r\n :;,\t\0\xff0123456789aF"[rng.usize(..21)]),
            1 if at < data.len() => data[at] = rng.u8(..),
            2 if at < data.len() => drop(data.remove(at)),
            3 => data.truncate(at),
            4 if !data.is_empty() => data[0] = rng.u8(..),
            _ => {
                let other = &corpus[rng.usize(..corpus.len())];
                let from = rng.usize(..=other.len());
                let to = (from + rng.usize(..40)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
        }
    }

    #[test]
    fn responses_survive_the_corpus_and_its_mutations() {
        let corpus = corpus("h1_response");
        for data in &corpus {
            for control in 0..=40 {
                let mut data = data.clone();
                data[0] = control;
                super::fuzz_http1_response(&data);
            }
        }
        let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
        let mut rng = fastrand::Rng::with_seed(0x486f_6c64);
        for _ in 0..rounds {
            let mut data = corpus[rng.usize(..corpus.len())].clone();
            for _ in 0..rng.usize(1..6) {
                mutate(&mut data, &corpus, &mut rng);
            }
            super::fuzz_http1_response(&data);
        }
    }
}
