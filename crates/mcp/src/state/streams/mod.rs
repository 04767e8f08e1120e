//! Server-sent event streams towards legacy clients: logged, resumable, independent of the client's connection.

mod log;
mod registry;
mod total;

pub(crate) use log::{End, Found, LiveStream, LogLimits, Resume, StreamId};
pub(crate) use registry::{StreamLimits, Streams};
