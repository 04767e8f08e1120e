//! The edge's own events as the labels of its metrics.

use crate::{Phase, guard::Violation};
use holdfast_telemetry::metrics::{DrainPhase, FramingViolation};

/// The label of a violation; the exact reason is in the debug log.
pub(crate) const fn framing(violation: Violation) -> FramingViolation {
    match violation {
        Violation::LengthAndEncoding => FramingViolation::LengthAndChunked,
        Violation::BadLength | Violation::DuplicateLength | Violation::ConnectBody => {
            FramingViolation::BadLength
        }
        Violation::TransferEncoding => FramingViolation::BadTransferEncoding,
        Violation::BareLf | Violation::BareCr => FramingViolation::BareLf,
        Violation::ObsFold => FramingViolation::ObsFold,
        Violation::ChunkSize | Violation::ChunkExtension | Violation::ChunkEnd => FramingViolation::BadChunk,
        Violation::RequestLine
        | Violation::ControlByte
        | Violation::SpaceBeforeColon
        | Violation::FieldLine
        | Violation::Host
        | Violation::Trailer => FramingViolation::BadHead,
        Violation::HeadTooLarge => FramingViolation::HeadTooLarge,
        Violation::TooManyHeaders => FramingViolation::TooManyHeaders,
    }
}

/// The label of a drain phase.
pub(crate) const fn phase(phase: Phase) -> DrainPhase {
    match phase {
        Phase::Serving => DrainPhase::Serving,
        Phase::Unready => DrainPhase::Unready,
        Phase::Closing => DrainPhase::Closing,
        Phase::Stopped => DrainPhase::Stopped,
    }
}
