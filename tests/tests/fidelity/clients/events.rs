//! Server-sent events, read without any help of the gateway's own code.

use holdfast_tests::Result;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};

/// An event: its name, its data.
pub(super) type Event = (String, Bytes);

/// Reads events.
pub(super) struct Events {
    body: Incoming,
    pending: Vec<u8>,
}

impl Events {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, pending: Vec::new() }
    }

    /// The next event that has data; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Event>> {
        let (mut name, mut data) = (String::new(), None::<Vec<u8>>);
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            if line.is_empty() {
                match data.take() {
                    Some(data) if !data.is_empty() => return Ok(Some((name, data.into()))),
                    _ => name.clear(),
                }
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &line[..colon] {
                b"event" => name = String::from_utf8(value.to_vec())?,
                b"data" => match &mut data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => data = Some(value.to_vec()),
                },
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let end = self.pending[searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| searched + end) {
                let mut line: Vec<u8> = self.pending.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            searched = self.pending.len();
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Some(data) = frame?.data_ref() {
                        self.pending.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
