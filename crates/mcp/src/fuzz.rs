//! Entry points for fuzzing: each takes any bytes, and panics only when Holdfast breaks a promise.
//!
//! The corpora in `fuzz/corpus/` are replayed here; the end to end tests (`parsers`) also try mutations of them.

use crate::frame::{Frame, FrameFault, Limits, Member, single_line};
use crate::headers::{
    ParamSchema, check_accept, check_content_type, check_modern, decode_value, encode_value,
};
use crate::policy::canonical;
use crate::seal::{KeyRing, Purpose};
use crate::sse::Parser;
use crate::token::{Audience, EndingRecord, EventId, Handle, SessionToken};
use crate::{batch, ids, listing, origin};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::IgnoredAny;

const EVENT_BYTES_MAX: usize = 1 << 16;

/// Frames: the grammar is serde's, the ranges are what they claim, splices change nothing else.
pub fn frame(data: &[u8]) {
    let limits = Limits::default();
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(batch) = batch::Batch::parse(bytes.clone(), &limits, 100) {
        batch.frames().for_each(drop);
    }
    let frame = match Frame::parse(bytes, &limits) {
        Ok(frame) => frame,
        Err(error) => {
            if matches!(error.fault, FrameFault::Syntax | FrameFault::Trailing) {
                assert!(serde_json::from_slice::<IgnoredAny>(data).is_err(), "refused valid JSON");
            }
            return;
        }
    };
    assert!(serde_json::from_slice::<IgnoredAny>(data).is_ok(), "accepted invalid JSON");
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
        assert_eq!(value["method"].as_str().unwrap_or_default(), frame.method(), "another method");
        let name = frame.text(Member::Name);
        let body = if frame.has(Member::Method) { &value["params"] } else { &value["result"] };
        assert_eq!(body["name"].as_str(), name.as_deref(), "another name");
    }
    if let Some(id) = frame.id() {
        let changed = frame.splice().set(Member::Id, "\"hf\"").finish();
        let back = changed.ok().and_then(|bytes| Frame::parse(bytes, &limits).ok());
        let back =
            back.and_then(|new| new.splice().set(Member::Id, Bytes::copy_from_slice(id)).finish().ok());
        assert_eq!(back.as_deref(), Some(data), "a splice changed more than the id");
        if !id.contains(&b'.') && !id.contains(&b'e') && !id.contains(&b'E') || id.starts_with(b"\"") {
            let way_back = ids::unwrap(&ids::wrap(ids::Epoch(1), id));
            assert_eq!(
                way_back.map(|wrapped| wrapped.original).as_deref(),
                Some(id),
                "an id without a way back"
            );
        }
    }
    let tools = listing::tools(&frame);
    let shown = listing::without_invalid(&frame, &tools).ok().map(|bytes| Frame::parse(bytes, &limits));
    assert!(matches!(shown, Some(Ok(_))), "a list became invalid");
    if let Some(form) = canonical(data) {
        assert_eq!(canonical(&form).as_deref(), Some(&*form), "a canonical form has another one");
        let values = [data, &form].map(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok());
        assert_eq!(values[0], values[1], "a canonical form says something else");
    }
    let flat = single_line(frame.bytes());
    assert!(!flat.contains(&b'\n') && Frame::parse(flat, &limits).is_ok(), "a line break mattered");
}

/// Tokens: nothing forged opens, and payloads that decode are canonical.
pub fn token(data: &[u8]) {
    if let Some(token) = SessionToken::decode(data) {
        assert_eq!(token.encode_all(), data);
    }
    if let Some(record) = EndingRecord::decode(data) {
        assert_eq!(record.encode().as_deref(), Some(data));
    }
    if let Some(handle) = Handle::decode(data) {
        assert_eq!(handle.encode(), data);
    }
    if let Some(id) = EventId::decode(data) {
        assert_eq!(id.encode(), data);
    }
    let Ok(ring) = KeyRing::new([("k1", [1; 32])]) else { return };
    let audience = Audience { server: "s", principal: &[0; 32] };
    let text = String::from_utf8_lossy(data);
    assert!(SessionToken::open(&ring, audience, &text, 0).is_err(), "a forged session opened");
    assert!(ring.open(Purpose::Task, b"", &text, 0).is_err(), "a forged token opened");
    let opened =
        ring.seal(Purpose::Task, b"", data, 1).ok().and_then(|t| ring.open(Purpose::Task, b"", &t, 1).ok());
    assert_eq!(opened.as_deref(), Some(data));
}

/// SSE: however the bytes are cut, the same events come out. The first byte says where to cut.
pub fn sse(data: &[u8]) {
    let (cut, stream) = data.split_first().map_or((0, data), |(cut, rest)| (usize::from(*cut), rest));
    let whole = events([stream].into_iter());
    let pieces = events(stream.chunks(cut % 7 + 1));
    let (head, tail) = stream.split_at(cut.min(stream.len()));
    assert_eq!(whole, pieces, "cutting changed the events");
    assert_eq!(whole, events([head, tail].into_iter()), "cutting once changed the events");
}

/// Headers: one header a line, then an empty line, then a body.
pub fn headers(data: &[u8]) {
    let split = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..split], data.get(split + 2..).unwrap_or_default());
    let mut map = HeaderMap::new();
    for line in head.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            map.append(name, value);
        }
    }
    let _ = check_accept(&map, &["application/json", "text/event-stream"]);
    let _ = check_content_type(&map);
    let policy = origin::OriginPolicy::default();
    let _ = policy.check(&map, None, [127, 0, 0, 1].into(), false);
    for value in map.values().filter_map(|value| value.to_str().ok()) {
        if let Ok(decoded) = decode_value(value.trim()) {
            assert_eq!(decode_value(&encode_value(&decoded)).as_deref(), Ok(&*decoded));
        }
    }
    let schema = ParamSchema::read(body);
    let Ok(frame) = Frame::parse(Bytes::copy_from_slice(body), &Limits::default()) else { return };
    if check_modern(&map, &frame, &crate::era::Version::MODERN).is_ok() {
        let method = map.get("mcp-method").and_then(|value| value.to_str().ok()).map(str::trim);
        assert!(method.is_none_or(|method| method == frame.method()), "passed with another method");
    }
    if let Ok(schema) = schema {
        let _ = schema.check(&map, &frame);
        let _ = schema.headers(&frame);
    }
}

type Meaning = (Vec<u8>, [Option<Bytes>; 3], Option<u64>);

/// What the events of a stream say. A block cut inside CRLF may lack its last LF. An event above the limit ends it.
fn events<'c>(chunks: impl Iterator<Item = &'c [u8]>) -> Vec<Meaning> {
    let mut parser = Parser::new(EVENT_BYTES_MAX);
    let mut found = Vec::new();
    for chunk in chunks {
        parser.push(chunk);
        while let Some(Ok(event)) = parser.next() {
            let raw = event.raw().strip_suffix(b"\n").unwrap_or(event.raw()).to_vec();
            let fields = [event.data(), event.id(), event.name()].map(Option::<&Bytes>::cloned);
            found.push((raw, fields, event.retry()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "the corpus of {name} is too small to mean anything");
        files.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn replay(name: &str, target: fn(&[u8])) {
        for data in corpus(name) {
            target(&data);
        }
    }

    #[test]
    fn frames_survive_the_corpus() {
        replay("frame", super::frame);
    }

    #[test]
    fn tokens_survive_the_corpus() {
        replay("token", super::token);
    }

    #[test]
    fn streams_survive_the_corpus() {
        replay("sse", super::sse);
    }

    #[test]
    fn headers_survive_the_corpus() {
        replay("headers", super::headers);
    }
}
