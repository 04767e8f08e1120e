//! How a message was answered, as metrics and spans tell it.

use super::{McpOutcome, label::label};
use crate::trace::Fault;

label! {
    /// `error.type` of an operation. A closed list: a server cannot make series by inventing codes.
    pub(super) enum OperationError {
        /// It did not fail.
        None => "",
        /// `isError` in the result.
        Tool => "tool_error",
        Refused => "refused",
        Upstream => "upstream_error",
        Timeout => "timeout",
        Cancelled => "cancelled",
        /// A code that is none of those below.
        Other => "_OTHER",
        Parse => "-32700",
        InvalidRequest => "-32600",
        MethodNotFound => "-32601",
        InvalidParams => "-32602",
        Internal => "-32603",
        Server0 => "-32000",
        Server1 => "-32001",
        Server2 => "-32002",
        Server3 => "-32003",
        Server4 => "-32004",
        Mismatch => "-32020",
        Capability => "-32021",
        Version => "-32022",
        Elicitation => "-32042",
    }
}

/// How a message was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In one of few words.
    pub outcome: McpOutcome,
    /// The code of a JSON-RPC error.
    pub code: Option<i64>,
}

impl From<McpOutcome> for Verdict {
    fn from(outcome: McpOutcome) -> Self {
        Self { outcome, code: None }
    }
}

impl Verdict {
    /// `error.type`: the code "if one is returned", else a word.
    pub fn fault(self) -> Option<Fault> {
        let word = self.word()?;
        Some(Fault { word, code: self.code })
    }

    fn word(self) -> Option<&'static str> {
        Some(match self.outcome {
            McpOutcome::Ok => return None,
            McpOutcome::ToolError => "tool_error",
            McpOutcome::CallerError | McpOutcome::ServerError => "_OTHER",
            McpOutcome::Refused => "refused",
            McpOutcome::UpstreamError => "upstream_error",
            McpOutcome::Timeout => "timeout",
            McpOutcome::Cancelled => "cancelled",
        })
    }

    /// The same as a label.
    pub(super) fn error(self) -> OperationError {
        use OperationError as Error;
        match self.code {
            Some(-32700) => Error::Parse,
            Some(-32600) => Error::InvalidRequest,
            Some(-32601) => Error::MethodNotFound,
            Some(-32602) => Error::InvalidParams,
            Some(-32603) => Error::Internal,
            Some(-32000) => Error::Server0,
            Some(-32001) => Error::Server1,
            Some(-32002) => Error::Server2,
            Some(-32003) => Error::Server3,
            Some(-32004) => Error::Server4,
            Some(-32020) => Error::Mismatch,
            Some(-32021) => Error::Capability,
            Some(-32022) => Error::Version,
            Some(-32042) => Error::Elicitation,
            Some(_) => Error::Other,
            None => match self.outcome {
                McpOutcome::Ok => Error::None,
                McpOutcome::ToolError => Error::Tool,
                McpOutcome::CallerError | McpOutcome::ServerError => Error::Other,
                McpOutcome::Refused => Error::Refused,
                McpOutcome::UpstreamError => Error::Upstream,
                McpOutcome::Timeout => Error::Timeout,
                McpOutcome::Cancelled => Error::Cancelled,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Label as _;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_label_of_a_code_is_the_code_or_other(code in prop_oneof![any::<i64>(), -32800i64..-31900]) {
            let label = Verdict { outcome: McpOutcome::ServerError, code: Some(code) }.error().as_str();
            prop_assert!(label == code.to_string() || label == "_OTHER", "{} for {}", label, code);
        }
    }

    #[test]
    fn only_what_went_well_has_no_fault() {
        for outcome in
            [McpOutcome::ToolError, McpOutcome::Refused, McpOutcome::Timeout, McpOutcome::Cancelled]
        {
            let verdict = Verdict::from(outcome);
            assert_eq!(verdict.fault().map(|fault| fault.word), Some(verdict.error().as_str()));
        }
        assert_eq!(Verdict::from(McpOutcome::Ok).fault(), None);
        assert_eq!(Verdict::from(McpOutcome::Ok).error().as_str(), "");
    }
}
