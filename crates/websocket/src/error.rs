//! What can go wrong, and with which code a connection ends for it.

use crate::CloseCode;

/// How the peer broke the protocol. The text of it is what the peer gets as the reason of the close: it holds none of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Section 5.2: RSV1 to RSV3 without an extension that gives them a meaning. Compressed frames end here.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// Section 5.2: opcodes 3 to 7 and 11 to 15.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// Section 5.1: what a client sends is masked.
    #[error("a frame of a client without a mask")]
    Unmasked,
    /// Section 5.1: what a server sends is not.
    #[error("a masked frame of a server")]
    Masked,
    /// Section 5.5.
    #[error("a fragmented control frame")]
    FragmentedControl,
    /// Section 5.5.
    #[error("a control frame above 125 bytes")]
    LongControl,
    /// Section 5.2: the minimal number of bytes encodes the length.
    #[error("a length in more bytes than it needs")]
    LengthNotMinimal,
    /// Section 5.2: the most significant bit of a length is 0.
    #[error("a length above 63 bits")]
    LengthTooLarge,
    /// Section 5.4.
    #[error("a continuation of no message")]
    UnexpectedContinuation,
    /// Section 5.4.
    #[error("a new message inside another")]
    MissingContinuation,
    /// Our own limit, `max_message_bytes`: known from the header, before the payload is read.
    #[error("the message is above the limit")]
    MessageTooBig,
    /// Section 5.5.1: a body of a close frame begins with a code of two bytes.
    #[error("a close frame of one byte")]
    CloseTooShort,
    /// Section 7.4.
    #[error("a close code that must not be sent")]
    CloseCode,
    /// Section 5.5.1.
    #[error("the reason of a close is not UTF-8")]
    CloseReason,
    /// Section 8.1.
    #[error("the text is not UTF-8")]
    InvalidUtf8,
}

impl Fault {
    /// The code with which the connection fails (section 7.4.1).
    pub fn code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::Masked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::LengthNotMinimal
            | Self::LengthTooLarge
            | Self::UnexpectedContinuation
            | Self::MissingContinuation
            | Self::CloseTooShort
            | Self::CloseCode => CloseCode::PROTOCOL_ERROR,
            Self::CloseReason | Self::InvalidUtf8 => CloseCode::INVALID_DATA,
            Self::MessageTooBig => CloseCode::TOO_BIG,
        }
    }
}

/// Why a socket gave no message, or took none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream below broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The peer broke the protocol; the close frame that says so is on its way.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] Fault),
    /// The stream ended without a closing handshake: 1006 of section 7.1.5.
    #[error("the connection ended without a close")]
    Ended,
    /// A close went out or came in: nothing more is taken, nothing more comes.
    #[error("the connection is closed")]
    Closed,
    /// The payload of a ping or pong is above 125 bytes.
    #[error("a control frame holds at most 125 bytes")]
    LongControl,
    /// The peer did not end its side in the time it was given.
    #[error("the peer did not close in time")]
    Deadline,
    /// No randomness for the key of a mask.
    #[error("no randomness")]
    Random,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::REASON_BYTES_MAX;

    #[test]
    fn every_fault_has_a_code_that_may_be_sent_and_a_reason_that_fits() {
        let all = [
            (Fault::ReservedBits, 1002),
            (Fault::ReservedOpcode, 1002),
            (Fault::Unmasked, 1002),
            (Fault::Masked, 1002),
            (Fault::FragmentedControl, 1002),
            (Fault::LongControl, 1002),
            (Fault::LengthNotMinimal, 1002),
            (Fault::LengthTooLarge, 1002),
            (Fault::UnexpectedContinuation, 1002),
            (Fault::MissingContinuation, 1002),
            (Fault::CloseTooShort, 1002),
            (Fault::CloseCode, 1002),
            (Fault::CloseReason, 1007),
            (Fault::InvalidUtf8, 1007),
            (Fault::MessageTooBig, 1009),
        ];
        for (fault, code) in all {
            assert_eq!(fault.code().get(), code, "{fault:?}");
            assert!(fault.to_string().len() <= REASON_BYTES_MAX, "{fault:?}");
        }
    }
}
