//! Entry point for fuzzing: takes any bytes, and panics only when Holdfast breaks a promise.
//!
//! The corpus in `fuzz/corpus/` is replayed here; the end to end tests (`parsers`) also try mutations of it.

use crate::{Decoder, Fault, Frame, Message, READ_BYTES, Role};

/// Large enough for messages that are not in place, small enough to be met.
const MAX_MESSAGE_BYTES: usize = 6000;

/// What came out of a stream.
type Seen = (Vec<Message>, Option<Fault>);

/// Frames: however the bytes are cut, the same messages and the same fault come out, within the memory that was promised; what came
/// out goes in again. The first byte says whose bytes these are and where to cut.
pub fn websocket(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let whole = decode(role, [stream].into_iter());
    let step = usize::from(first >> 1) + 1;
    assert_eq!(whole, decode(role, stream.chunks(step)), "cutting changed what came out");
    let (head, tail) = stream.split_at(step.min(stream.len()));
    assert_eq!(whole, decode(role, [head, tail].into_iter()), "cutting once changed what came out");
    for message in whole.0 {
        let (other, key) = match role {
            Role::Server => (Role::Client, None),
            Role::Client => (Role::Server, Some([1, 2, 3, 4])),
        };
        let frame = Frame::new(message.clone(), key);
        assert!(frame.is_ok(), "what came out does not go in: {message:?}");
        let Ok(frame) = frame else { continue };
        let back = decode(other, [frame.header(), frame.payload()].into_iter());
        assert_eq!(back, (vec![message], None), "a message changed on its way back");
    }
}

fn decode<'c>(role: Role, chunks: impl Iterator<Item = &'c [u8]>) -> Seen {
    let mut decoder = Decoder::new(role, MAX_MESSAGE_BYTES);
    let mut messages = Vec::new();
    for mut chunk in chunks {
        while !chunk.is_empty() {
            let taken = decoder.push(chunk);
            assert!(taken > 0, "no room for the next byte");
            chunk = &chunk[taken..];
            loop {
                let decoded = decoder.decode();
                let held = decoder.held_bytes();
                assert!(held <= MAX_MESSAGE_BYTES + READ_BYTES, "{held} bytes are held");
                match decoded {
                    Ok(Some(message)) => {
                        check(&message);
                        messages.push(message);
                    }
                    Ok(None) => break,
                    Err(fault) => return (messages, Some(fault)),
                }
            }
        }
    }
    (messages, None)
}

fn check(message: &Message) {
    match message {
        Message::Text(text) => assert!(str::from_utf8(text).is_ok(), "a text that is none"),
        Message::Binary(bytes) => assert!(bytes.len() <= MAX_MESSAGE_BYTES, "beyond the limit"),
        Message::Ping(payload) | Message::Pong(payload) => {
            assert!(payload.len() <= 125, "a long control frame");
        }
        Message::Close(close) => {
            assert!(close.code().is_some() || close.reason().is_empty(), "a reason alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[test]
    fn frames_survive_the_corpus() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/websocket");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "the corpus is too small to mean anything");
        for file in files {
            super::websocket(&std::fs::read(file).unwrap());
        }
    }
}
