//! What the driver tells of an exchange that fails.

use super::{fault::Fault, outgoing::BadLength};
use crate::BoxError;
use std::io;

/// A response body that does not come to its end.
#[derive(Debug)]
pub(crate) struct BodyError {
    pub(crate) error: BoxError,
    /// The request's body failed, not the server.
    pub(crate) ours: bool,
}

/// Why no response head comes.
pub(super) enum SendError {
    Io(io::Error),
    /// Our own side: the request's body.
    Body(BoxError),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        Self::Io(fault.into())
    }
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BadLength> for SendError {
    fn from(error: BadLength) -> Self {
        Self::Body(error.into())
    }
}

impl From<SendError> for BodyError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Io(error) => Self { error: error.into(), ours: false },
            SendError::Body(error) => Self { error, ours: true },
        }
    }
}

impl From<Fault> for BodyError {
    fn from(fault: Fault) -> Self {
        Self { error: fault.into(), ours: false }
    }
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self { error: error.into(), ours: false }
    }
}
