//! The JSON-RPC answer to a message that cannot be read.

use super::{McpError, Problem};
use crate::frame::{FrameError, FrameFault};

/// What a message that cannot be read is answered with.
pub(crate) trait Refusal {
    /// The JSON-RPC answer.
    fn to_mcp(&self) -> McpError;
}

impl Refusal for FrameError {
    fn to_mcp(&self) -> McpError {
        let problem = match self.fault {
            FrameFault::Utf8 | FrameFault::Syntax | FrameFault::Trailing => Problem::ParseError,
            FrameFault::TooLarge => Problem::PayloadTooLarge,
            FrameFault::TooDeep
            | FrameFault::Batch
            | FrameFault::NotObject
            | FrameFault::Version
            | FrameFault::Duplicate(_)
            | FrameFault::Ambiguous(_)
            | FrameFault::Id
            | FrameFault::Method
            | FrameFault::MemberNotObject(_)
            | FrameFault::Shape => Problem::InvalidRequest,
        };
        McpError::new(problem).detail(self.fault.to_string())
    }
}
