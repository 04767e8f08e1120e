//! What may happen on a connection, and when it may carry another request. A table without I/O.

/// The request's side of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// Nothing is being sent.
    Idle,
    Going,
    /// To its end, as it was framed.
    Done,
    /// Given up: the server answered before it had read the request, or does not read any more.
    Stopped,
}

/// The response's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Idle,
    Head,
    Body,
    /// After a 101: bytes, no messages.
    Switched,
    Broken,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Begin,
    /// The whole request was handed to the socket.
    Sent,
    /// The socket takes no more.
    SendFailed,
    Head {
        keep_alive: bool,
    },
    Switch,
    /// The response was read to its end; `surplus` bytes came after it.
    End {
        surplus: bool,
    },
    /// The server broke the protocol or the connection.
    Fault,
}

/// An event that cannot come in this state: a defect of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Illegal;

/// A connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) sending: Sending,
    pub(super) reading: Reading,
    keep_alive: bool,
}

impl Life {
    pub(super) const NEW: Self = Self { sending: Sending::Idle, reading: Reading::Idle, keep_alive: true };

    /// Where a defect leads: never used again.
    pub(super) const BROKEN: Self =
        Self { sending: Sending::Stopped, reading: Reading::Broken, keep_alive: false };

    /// Between two exchanges, and both sides agree that there may be another one.
    pub(super) fn is_reusable(self) -> bool {
        self == Self::NEW
    }

    /// The table of `docs/decisions/0008`.
    pub(super) fn on(self, event: Event) -> Result<Self, Illegal> {
        let (sending, reading) = (self.sending, self.reading);
        Ok(match (sending, reading, event) {
            (Sending::Idle, Reading::Idle, Event::Begin) if self.keep_alive => {
                Self { sending: Sending::Going, reading: Reading::Head, ..self }
            }
            (Sending::Going, Reading::Head | Reading::Body, Event::Sent) => {
                Self { sending: Sending::Done, ..self }
            }
            (Sending::Going, Reading::Head | Reading::Body, Event::SendFailed) => {
                Self { sending: Sending::Stopped, ..self }
            }
            (
                Sending::Going | Sending::Done | Sending::Stopped,
                Reading::Head,
                Event::Head { keep_alive },
            ) => Self { reading: Reading::Body, keep_alive, ..self },
            (Sending::Going | Sending::Done | Sending::Stopped, Reading::Head, Event::Switch) => {
                Self { reading: Reading::Switched, keep_alive: false, ..self }
            }
            // The one way back: request and response both went to their ends, and nothing else came.
            (Sending::Done, Reading::Body, Event::End { surplus: false }) if self.keep_alive => Self::NEW,
            (Sending::Going | Sending::Stopped | Sending::Done, Reading::Body, Event::End { .. }) => {
                let sending = if sending == Sending::Done { Sending::Idle } else { Sending::Stopped };
                Self { sending, reading: Reading::Idle, keep_alive: false }
            }
            (_, Reading::Idle | Reading::Head | Reading::Body | Reading::Broken, Event::Fault) => {
                Self::BROKEN
            }
            _ => return Err(Illegal),
        })
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
