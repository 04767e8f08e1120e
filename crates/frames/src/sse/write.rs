//! Writing events.
//!
//! Ids and names come from the gateway's own tokens and constants; a line break in one would start a new field, so
//! such bytes end the value.

use bytes::{BufMut, BytesMut};

/// A comment that keeps an idle stream open (2026-07-28 "Receiving Messages").
pub const KEEP_ALIVE: &[u8] = b":\n\n";

/// A message event. The data of a JSON-RPC message has no line break that matters: CR and LF become spaces.
pub fn message(out: &mut BytesMut, id: Option<&str>, data: &[u8]) {
    out.reserve(data.len() + id.map_or(0, str::len) + 32);
    out.put_slice(b"event: message\n");
    put_id(out, id);
    out.put_slice(b"data: ");
    let mut rest = data;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        out.put_slice(&rest[..at]);
        out.put_u8(b' ');
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_slice(b"\n\n");
}

/// An event with an id and empty data, so that a client can resume a stream it has read nothing of (2025-11-25
/// "Sending Messages to the Server"). `retry` in milliseconds.
pub fn priming(out: &mut BytesMut, id: &str, retry: Option<u64>) {
    put_id(out, Some(id));
    put_retry(out, retry);
    out.put_slice(b"data:\n\n");
}

/// Tells the client when to come back, before the stream is closed. In milliseconds.
pub fn retry(out: &mut BytesMut, milliseconds: u64) {
    put_retry(out, Some(milliseconds));
    out.put_u8(b'\n');
}

/// A comment line.
pub fn comment(out: &mut BytesMut, text: &str) {
    out.put_slice(b": ");
    out.put_slice(one_line(text));
    out.put_slice(b"\n\n");
}

/// An event with any of its fields. `name` must have no line break, which none that was read has.
pub fn event(
    out: &mut BytesMut,
    id: Option<&[u8]>,
    milliseconds: Option<u64>,
    name: Option<&[u8]>,
    data: &[u8],
) {
    put_id(out, id.and_then(|id| std::str::from_utf8(id).ok()));
    put_retry(out, milliseconds);
    if let Some(name) = name {
        out.put_slice(b"event: ");
        out.put_slice(name);
        out.put_u8(b'\n');
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

fn put_id(out: &mut BytesMut, id: Option<&str>) {
    if let Some(id) = id {
        out.put_slice(b"id: ");
        out.put_slice(one_line(id));
        out.put_u8(b'\n');
    }
}

fn put_retry(out: &mut BytesMut, milliseconds: Option<u64>) {
    if let Some(milliseconds) = milliseconds {
        out.put_slice(b"retry: ");
        out.put_slice(itoa::Buffer::new().format(milliseconds).as_bytes());
        out.put_u8(b'\n');
    }
}

fn one_line(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(bytes.len());
    &bytes[..end]
}
