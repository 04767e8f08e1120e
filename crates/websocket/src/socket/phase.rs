//! Where the closing handshake is (RFC 6455 section 7.1): a decision without I/O.

/// What may still be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything.
    Open,
    /// Our close is out; the peer may still talk until its own.
    Closing,
    /// Both closes are there.
    Closed,
    /// The peer broke the protocol, or the stream broke: what comes is not read any more.
    Failed,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// We want to close.
    WeClose,
    /// The peer's close came.
    TheyClose,
    /// The peer broke the protocol.
    Fault,
    /// The stream below broke or ended.
    Broke,
}

impl Phase {
    /// The next phase, and whether a close frame of ours goes out now: at most one ever does.
    pub(super) fn on(self, event: Event) -> (Self, bool) {
        match (self, event) {
            (Self::Open, Event::WeClose) => (Self::Closing, true),
            // Section 5.5.1: a close is answered with one, unless ours is out already.
            (Self::Open, Event::TheyClose) => (Self::Closed, true),
            (Self::Closing, Event::TheyClose) => (Self::Closed, false),
            // Section 7.1.7: failing the connection says why.
            (Self::Open, Event::Fault) => (Self::Failed, true),
            (Self::Closing, Event::Fault) | (Self::Open | Self::Closing, Event::Broke) => {
                (Self::Failed, false)
            }
            (Self::Closing, Event::WeClose) | (Self::Closed | Self::Failed, _) => (self, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_phase_and_event() {
        use Event::{Broke, Fault, TheyClose, WeClose};
        use Phase::{Closed, Closing, Failed, Open};
        let table = [
            (
                Open,
                [
                    (WeClose, Closing, true),
                    (TheyClose, Closed, true),
                    (Fault, Failed, true),
                    (Broke, Failed, false),
                ],
            ),
            (
                Closing,
                [
                    (WeClose, Closing, false),
                    (TheyClose, Closed, false),
                    (Fault, Failed, false),
                    (Broke, Failed, false),
                ],
            ),
            (
                Closed,
                [
                    (WeClose, Closed, false),
                    (TheyClose, Closed, false),
                    (Fault, Closed, false),
                    (Broke, Closed, false),
                ],
            ),
            (
                Failed,
                [
                    (WeClose, Failed, false),
                    (TheyClose, Failed, false),
                    (Fault, Failed, false),
                    (Broke, Failed, false),
                ],
            ),
        ];
        for (phase, row) in table {
            for (event, next, ours) in row {
                assert_eq!(phase.on(event), (next, ours), "{phase:?} {event:?}");
            }
        }
    }
}
