//! The JSON-RPC answer to a message that cannot be read.

use super::{McpError, Problem};
use crate::frame::{FrameError, FrameFault};

impl FrameError {
    /// The JSON-RPC answer.
    pub fn to_mcp(&self) -> McpError {
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
