//! Server-sent event streams towards legacy clients: logged, resumable, independent of the client's connection.

mod id;
mod log;
#[cfg(test)]
mod log_tests;
mod registry;
pub(crate) mod shared_log;
mod total;

pub(crate) use id::StreamId;
pub(crate) use log::{End, Found, LiveStream, LogLimits, Resume};
pub(crate) use registry::{Reading, StreamLimits, Streams};
pub(crate) use shared_log::{SharedLog, Written};
