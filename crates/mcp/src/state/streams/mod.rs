//! Server-sent event streams towards legacy clients: logged, resumable, independent of the client's connection.

mod log;
mod registry;
pub(crate) mod shared_log;
mod total;

pub(crate) use log::{End, Found, LiveStream, LogLimits, Resume, StreamId};
pub(crate) use registry::{Reading, StreamLimits, Streams};
pub(crate) use shared_log::{SharedLog, Written};
