//! One event and its fields.

use bytes::{BufMut, Bytes, BytesMut};

/// One event as it came, up to and with the empty line that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    raw: Bytes,
    data: Option<Bytes>,
    id: Option<Bytes>,
    name: Option<Bytes>,
    retry: Option<u64>,
}

impl Event {
    /// Reads the fields of a whole block of lines.
    pub(super) fn new(raw: &Bytes) -> Self {
        let mut event = Self { data: None, id: None, name: None, retry: None, raw: raw.clone() };
        let mut joined: Option<BytesMut> = None;
        for (start, end) in lines(raw) {
            let line = &raw[start..end];
            let colon = line.iter().position(|&byte| byte == b':');
            let (field, value) = match colon {
                // A comment.
                Some(0) => continue,
                Some(colon) => {
                    let blank = usize::from(line.get(colon + 1) == Some(&b' '));
                    (&line[..colon], raw.slice(start + colon + 1 + blank..end))
                }
                None => (line, Bytes::new()),
            };
            match field {
                b"data" => match (&mut joined, &event.data) {
                    (Some(lines), _) => add_line(lines, &value),
                    (None, None) => event.data = Some(value),
                    (None, Some(first)) => {
                        let mut lines = BytesMut::from(&first[..]);
                        add_line(&mut lines, &value);
                        joined = Some(lines);
                    }
                },
                // "If the field value does not contain U+0000 NULL"
                b"id" if !value.contains(&0) => event.id = Some(value),
                b"event" => event.name = Some(value),
                // "If the field value consists of only ASCII digits"
                b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                    event.retry = std::str::from_utf8(&value).ok().and_then(|digits| digits.parse().ok());
                }
                _ => {}
            }
        }
        if let Some(lines) = joined {
            event.data = Some(lines.freeze());
        }
        event
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The data, its lines joined by LF; None without a `data` field. Shares the raw bytes when it is one line.
    pub fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }

    /// The `id` field; empty when it resets the last event id.
    pub fn id(&self) -> Option<&Bytes> {
        self.id.as_ref()
    }

    /// The `event` field. None means `message`.
    pub fn name(&self) -> Option<&Bytes> {
        self.name.as_ref()
    }

    /// The `retry` field, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// True when the data may be a JSON-RPC message: data that is not empty, of type `message`.
    pub fn is_message(&self) -> bool {
        self.data.as_ref().is_some_and(|data| !data.is_empty())
            && self.name.as_ref().is_none_or(|name| name.is_empty() || name == "message")
    }

    /// True for blocks without any field: comments, keep-alives.
    pub fn is_comment(&self) -> bool {
        self.data.is_none() && self.id.is_none() && self.name.is_none() && self.retry.is_none()
    }
}

fn add_line(lines: &mut BytesMut, line: &[u8]) {
    lines.put_u8(b'\n');
    lines.put_slice(line);
}

/// The ranges of the lines, without their ends: LF, CR or CRLF.
fn lines(raw: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let length = raw.get(start..)?.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let end = start + length;
        at = end + 1 + usize::from(raw[end] == b'\r' && raw.get(end + 1) == Some(&b'\n'));
        Some((start, end))
    })
    .filter(|(start, end)| start != end)
}
