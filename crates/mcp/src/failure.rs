//! Why a message got no answer.

use crate::errors::{McpError, Problem};
use holdfast_resilience::Sent;
use holdfast_upstream::{CallError, EndpointKey};
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No response head.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer broke off.
    #[error("`{0}` broke off its answer")]
    Torn(EndpointKey),
    /// The answer is no MCP.
    #[error("`{0}` answered with something unusable: {1}")]
    Unusable(EndpointKey, String),
    /// Too many large answers at once.
    #[error("no room for the answer of `{0}` (mcp.response_bytes_total)")]
    NoRoom(EndpointKey),
    /// The deadline passed after the head.
    #[error("`{0}` did not finish its answer in time")]
    Late(EndpointKey),
}

impl Failure {
    /// Whether the endpoint may have processed the request.
    pub(crate) fn sent(&self) -> Sent {
        match self {
            Self::Call(error) => error.sent(),
            Self::Torn(_) | Self::Unusable(..) | Self::NoRoom(_) | Self::Late(_) => Sent::Maybe,
        }
    }

    /// Whether a pinned endpoint cannot be reached any more, so that its sessions are as good as lost.
    pub(crate) fn endpoint_gone(&self) -> bool {
        matches!(
            self,
            Self::Call(
                CallError::PinnedGone { .. }
                    | CallError::Connect { .. }
                    | CallError::Tls { .. }
                    | CallError::NoEndpoint { .. }
                    | CallError::Refused { .. }
            )
        )
    }

    /// Whether the connection broke under the request: another attempt may find it whole.
    pub(crate) fn broken(&self) -> bool {
        matches!(self, Self::Torn(_) | Self::Call(CallError::Reset { .. }))
    }

    /// The endpoint that failed, if one was reached.
    pub(crate) fn endpoint(&self) -> Option<&EndpointKey> {
        match self {
            Self::Torn(endpoint)
            | Self::Unusable(endpoint, _)
            | Self::NoRoom(endpoint)
            | Self::Late(endpoint)
            | Self::Call(
                CallError::Connect { endpoint, .. }
                | CallError::Tls { endpoint, .. }
                | CallError::PinnedGone { endpoint, .. }
                | CallError::Timeout { endpoint, .. }
                | CallError::Reset { endpoint, .. },
            ) => Some(endpoint),
            Self::Call(_) => None,
        }
    }

    /// The typed answer.
    pub(crate) fn to_error(&self) -> McpError {
        let problem = match self {
            Self::Torn(_) => Problem::UpstreamLost,
            Self::Unusable(..) => Problem::BadUpstream,
            Self::NoRoom(_) => Problem::AnswersFull,
            Self::Late(_) => Problem::Timeout,
            Self::Call(error) => match error {
                CallError::Overloaded { .. } => Problem::Overloaded,
                CallError::Timeout { .. } | CallError::Deadline { .. } => Problem::Timeout,
                CallError::Reset { sent: Sent::Maybe, .. } => Problem::UpstreamLost,
                _ => Problem::NoEndpoint,
            },
        };
        let error = McpError::new(problem);
        match self {
            Self::Call(call) => match call.wire().1 {
                Some(after) => error.retry_after(after),
                None if problem == Problem::NoEndpoint => error.retry_after(Duration::from_secs(1)),
                None => error,
            },
            Self::NoRoom(_) => error.retry_after(Duration::from_secs(1)),
            Self::Torn(_) | Self::Unusable(..) | Self::Late(_) => error,
        }
    }
}
