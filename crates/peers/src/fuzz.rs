//! Entry points for fuzzing: each takes any bytes, and panics only when a promise is broken.
//!
//! The corpora in `fuzz/corpus/` are replayed by a test, which also tries mutations of them; `FUZZ_ROUNDS` sets how many.

use crate::{channel::stream, hello::Hello, notes, wire::WireAsk};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A hello that is accepted is one that we could have written ourselves.
///
/// # Panics
/// When it is not.
pub fn hello(data: &[u8]) {
    if let Some(hello) = Hello::parse(data) {
        assert_eq!(Hello::parse(&hello.to_bytes()), Some(hello));
    }
}

/// The notes of a batch are what stands in it, in order, and nothing is left over.
///
/// # Panics
/// When they are not.
pub fn notes(data: &[u8]) {
    if let Some(parsed) = notes::parse(Bytes::copy_from_slice(data)) {
        let mut again = Vec::new();
        for note in &parsed {
            again.extend_from_slice(&(note.len() as u32).to_be_bytes());
            again.extend_from_slice(note);
        }
        assert_eq!(again, data);
    }
}

/// Headers of a question, one `name: value` a line: what is accepted is written again as the same.
///
/// # Panics
/// When it is not.
pub fn question(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    if let Some(ask) = WireAsk::parse(&headers) {
        let mut again = HeaderMap::new();
        assert!(ask.write(&mut again).is_some());
        assert_eq!(WireAsk::parse(&again), Some(ask));
    }
}

/// The head of a frame: its length is within what is buffered.
///
/// # Panics
/// When it is not.
pub fn frame(data: &[u8]) {
    if let Ok(Some(len)) = stream::frame_len(data) {
        assert!((2 + 17..=2 + 16 + stream::PLAIN_MAX).contains(&len));
    }
}
