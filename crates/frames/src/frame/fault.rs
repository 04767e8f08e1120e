//! What can be wrong with a message.

use super::Member;
use bytes::Bytes;

/// Why bytes are not one acceptable JSON-RPC message. Two bytes wide: the scanner returns it in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Not UTF-8 (RFC 8259 section 8.1).
    #[error("the message is not valid UTF-8")]
    Utf8,
    /// Not JSON.
    #[error("the message is not valid JSON")]
    Syntax,
    /// Something follows the message.
    #[error("more than one JSON value where a single message is expected")]
    Trailing,
    /// Nesting above the limit `mcp.max_depth`.
    #[error("the message is nested deeper than the limit (mcp.max_depth)")]
    TooDeep,
    /// Size above the limit `mcp.max_message_bytes` or `mcp.max_response_bytes`.
    #[error("the message is larger than the limit")]
    TooLarge,
    /// An array where a single message is expected.
    #[error("a batch is not accepted here: send one JSON-RPC message")]
    Batch,
    /// Neither object nor array.
    #[error("a JSON-RPC message is a JSON object")]
    NotObject,
    /// `jsonrpc` is missing or not "2.0".
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// An envelope member, or one that decides where a message goes, occurs twice.
    #[error("`{}` occurs more than once", .0.key())]
    Duplicate(Member),
    /// The same member in two spellings that differ by case only.
    #[error("`{}` occurs in more than one spelling", .0.key())]
    Ambiguous(Member),
    /// `id` is null, a boolean, an object, an array, or too long.
    #[error("`id` must be a string or an integer of at most 512 bytes")]
    Id,
    /// `method` is not a string, or empty, or holds a lone surrogate.
    #[error("`method` must be a non-empty string")]
    Method,
    /// `params`, `_meta` or `error` is not an object.
    #[error("`{}` must be an object", .0.key())]
    MemberNotObject(Member),
    /// Neither request, notification nor response.
    #[error("the message is neither a request, a notification nor a response")]
    Shape,
}

/// A refused message, with the id to answer under when one could be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct FrameError {
    /// What is wrong.
    pub fault: FrameFault,
    /// Raw JSON of the request's id, when it was read before the fault.
    pub id: Option<Bytes>,
}

impl FrameError {
    pub(crate) fn new(fault: FrameFault) -> Self {
        Self { fault, id: None }
    }
}
