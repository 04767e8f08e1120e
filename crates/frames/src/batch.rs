//! JSON-RPC batches, which only 2025-03-26 has: "Implementations MUST support receiving JSON-RPC batches".
//!
//! Servers often refuse arrays, so a batch is split, each message goes its own way, and the answers are joined.

use crate::frame::{Frame, FrameError, FrameFault, Limits, array_elements};
use bytes::Bytes;

/// Bytes that are an array rather than one message.
pub fn is_batch(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// A valid array whose elements have not been looked at yet.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    elements: Vec<(usize, usize)>,
    limits: Limits,
}

impl Batch {
    /// Splits an array of 1 to `count_max` elements. The whole array counts against `limits.bytes_max`.
    pub fn parse(bytes: Bytes, limits: &Limits, count_max: usize) -> Result<Self, FrameError> {
        let elements = array_elements(&bytes, limits, count_max)?;
        // JSON-RPC 2.0 section 6: an empty array is an invalid request.
        if elements.is_empty() {
            return Err(FrameError::new(FrameFault::Shape));
        }
        Ok(Self { bytes, elements, limits: *limits })
    }

    /// How many elements there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// The messages in their order, each read when it is asked for. A bad element is one error; the others stand.
    /// `initialize` is refused: "MUST NOT be part of a JSON-RPC batch".
    pub fn frames(&self) -> impl Iterator<Item = Result<Frame, FrameError>> + '_ {
        self.elements.iter().map(|&(start, end)| {
            let frame = Frame::parse(self.bytes.slice(start..end), &self.limits)?;
            if frame.is("initialize") {
                return Err(FrameError { fault: FrameFault::Batch, id: frame.id_bytes() });
            }
            Ok(frame)
        })
    }
}

/// The answer to a batch: an array of responses. None when there is nothing to answer (202 then).
pub fn join(answers: &[Bytes]) -> Option<Bytes> {
    if answers.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(answers.iter().map(Bytes::len).sum::<usize>() + answers.len() + 1);
    for (index, answer) in answers.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.extend_from_slice(answer);
    }
    out.push(b']');
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::{Batch, is_batch, join};
    use crate::frame::{FrameFault, Kind, Limits};
    use bytes::Bytes;

    fn split(text: &str) -> Result<Batch, FrameFault> {
        let limits = Limits { depth_max: 3, ..Limits::default() };
        Batch::parse(Bytes::copy_from_slice(text.as_bytes()), &limits, 3).map_err(|error| error.fault)
    }

    #[test]
    fn each_element_is_a_message_or_an_error_of_its_own() {
        let text = r#" [ {"jsonrpc":"2.0","id":1,"method":"ping"}, 7 ,{"jsonrpc":"2.0","method":"n"}] "#;
        let batch = split(text).unwrap();
        let kinds: Vec<_> =
            batch.frames().map(|frame| frame.map(|f| f.kind()).map_err(|e| e.fault)).collect();
        assert_eq!(kinds, [Ok(Kind::Request), Err(FrameFault::NotObject), Ok(Kind::Notification)]);
        assert_eq!(batch.len(), 3);
    }

    #[test]
    fn initialize_is_refused_under_its_id() {
        let batch = split(r#"[{"jsonrpc":"2.0","id":"x","method":"initialize"}]"#).unwrap();
        let error = batch.frames().next().unwrap().unwrap_err();
        assert_eq!((error.fault, error.id.as_deref()), (FrameFault::Batch, Some(&b"\"x\""[..])));
    }

    #[test]
    fn empty_long_deep_and_broken_batches_are_refused() {
        assert_eq!(split("[]").unwrap_err(), FrameFault::Shape);
        assert_eq!(split("[1,2,3,4]").unwrap_err(), FrameFault::TooLarge);
        assert_eq!(split("[[[[[]]]]]").unwrap_err(), FrameFault::TooDeep);
        assert_eq!(split("[1,]").unwrap_err(), FrameFault::Syntax);
        assert_eq!(split("[1][2]").unwrap_err(), FrameFault::Trailing);
        assert_eq!(split("{}").unwrap_err(), FrameFault::Syntax);
    }

    #[test]
    fn answers_are_joined() {
        assert_eq!(join(&[]), None);
        assert_eq!(join(&["{}".into(), "1".into()]).unwrap(), "[{},1]");
        assert!(is_batch(b" \n[") && !is_batch(b"{[") && !is_batch(b""));
    }
}
