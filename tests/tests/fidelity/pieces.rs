//! Messages as text with holes: what a peer says, and what the other must hear.

use crate::rules::Breaks;
use holdfast_tests::Result;
use hyper::body::Bytes;
use std::collections::BTreeMap;

/// A value in a message that a rule may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// Of a client's request, its cancellation and its answer.
    Id,
    /// `progressToken` of a client's request and of what is told about it.
    Token,
    /// Id of a server's request, its cancellation and its answer.
    Question,
    /// `requestState`
    State,
    /// `taskId`
    Task,
}

/// What stands in the holes, as raw JSON.
pub(crate) type Values = BTreeMap<Slot, Bytes>;

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Hole(Slot),
}

/// A message, or a part of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template(Vec<Piece>);

/// What was heard.
pub(crate) struct Met {
    pub(crate) values: Values,
    /// Line breaks that became spaces.
    pub(crate) broken: usize,
}

impl Template {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    pub(crate) fn hole(slot: Slot) -> Self {
        Self(vec![Piece::Hole(slot)])
    }

    pub(crate) fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        for piece in other.0 {
            match piece {
                Piece::Text(text) => self.push(&text),
                Piece::Hole(slot) => self.0.push(Piece::Hole(slot)),
            }
        }
    }

    /// As a sender writes it whose transport leaves it no other line breaks.
    pub(crate) fn said(&self, breaks: Breaks) -> Self {
        let written = |text: &String| match breaks {
            Breaks::Kept | Breaks::MayBeSpaces => text.clone(),
            Breaks::Spaces => text.replace(['\r', '\n'], " "),
            Breaks::Lf => text.replace("\r\n", "\n").replace('\r', "\n"),
        };
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Piece::Text(written(text)),
            Piece::Hole(slot) => Piece::Hole(*slot),
        };
        Self(self.0.iter().map(piece).collect())
    }

    /// The bytes of the message.
    pub(crate) fn fill(&self, values: &Values) -> Result<Bytes> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Hole(slot) => {
                    out.extend_from_slice(values.get(slot).ok_or_else(|| format!("no value for {slot:?}"))?);
                }
            }
        }
        Ok(out.into())
    }

    /// Reads what came. Every byte outside of the holes is the one that was said, but for line breaks; a value that occurs twice is the
    /// same both times.
    pub(crate) fn meet(&self, heard: &[u8], breaks: Breaks) -> Result<Met> {
        let (mut values, mut broken, mut at) = (Values::new(), 0, 0);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => {
                    for &said in text.as_bytes() {
                        let came = heard.get(at).copied();
                        let is_break = matches!(said, b'\r' | b'\n');
                        let became_space = is_break && came == Some(b' ');
                        let fits = match breaks {
                            Breaks::Spaces if is_break => became_space,
                            Breaks::MayBeSpaces => became_space || came == Some(said),
                            Breaks::Kept | Breaks::Spaces | Breaks::Lf => came == Some(said),
                        };
                        if !fits {
                            return Err(self.mismatch(heard, at, said));
                        }
                        broken += usize::from(became_space);
                        at += 1;
                    }
                }
                Piece::Hole(slot) => {
                    let length = scalar(heard.get(at..).unwrap_or_default());
                    let value = Bytes::copy_from_slice(&heard[at..at + length]);
                    at += length;
                    if values.insert(*slot, value.clone()).is_some_and(|before| before != value) {
                        return Err(format!("two values of {slot:?} in {}", lossy(heard)).into());
                    }
                }
            }
        }
        if at != heard.len() {
            return Err(format!("more than was said: {}", lossy(&heard[at..])).into());
        }
        Ok(Met { values, broken })
    }

    fn mismatch(&self, heard: &[u8], at: usize, said: u8) -> holdfast_tests::Error {
        let near = &heard[at.saturating_sub(40).min(heard.len())..(at + 40).min(heard.len())];
        format!(
            "byte {at} should be {:?}, near {:?}\nsaid:  {self:?}\nheard: {:?}",
            said as char,
            lossy(near),
            lossy(heard)
        )
        .into()
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Length of the JSON string or number that `text` begins with.
fn scalar(text: &[u8]) -> usize {
    if text.first() != Some(&b'"') {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        return text.iter().position(ends).unwrap_or(text.len());
    }
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Characters of a JSON string; `None` for what no text can hold.
pub(crate) fn decoded(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(raw).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        let mut template = Template::text("{\"a\":\r\n1.10,\"id\":");
        template.append(Template::hole(Slot::Id));
        template.push("}");
        template
    }

    #[test]
    fn a_changed_byte_is_seen_and_a_hole_takes_any_value() -> Result {
        let template = template();
        let met = template.meet(b"{\"a\":\r\n1.10,\"id\":\"x\\\",}\"}", Breaks::Kept)?;
        assert_eq!((&met.values[&Slot::Id][..], met.broken), (&b"\"x\\\",}\""[..], 0));
        assert_eq!(template.meet(b"{\"a\":  1.10,\"id\":7}", Breaks::Spaces)?.broken, 2);
        assert_eq!(template.meet(b"{\"a\":\r 1.10,\"id\":7}", Breaks::MayBeSpaces)?.broken, 1);
        for (changed, breaks) in [
            (&b"{\"a\":\r\n1.1,\"id\":7}"[..], Breaks::Kept),
            (b"{\"a\":  1.10,\"id\":7}", Breaks::Kept),
            (b"{\"a\":\r\n1.10,\"id\":7}", Breaks::Spaces),
            (b"{\"a\": 1.10,\"id\":7}", Breaks::MayBeSpaces),
            (b"{\"a\":\r\n1.10,\"id\":7} ", Breaks::Kept),
            (b"{\"a\":\r\n1.10,\"id\":7", Breaks::Kept),
            (b"", Breaks::Kept),
        ] {
            assert!(template.meet(changed, breaks).is_err(), "{}", lossy(changed));
        }
        Ok(())
    }

    #[test]
    fn what_is_said_fits_its_transport() -> Result {
        let values = Values::from([(Slot::Id, Bytes::from_static(b"7"))]);
        let said = |breaks| template().said(breaks).fill(&values);
        assert_eq!(said(Breaks::Lf)?, "{\"a\":\n1.10,\"id\":7}");
        assert_eq!(said(Breaks::Spaces)?, "{\"a\":  1.10,\"id\":7}");
        assert!(template().fill(&Values::new()).is_err());
        Ok(())
    }
}
