//! Server-sent event streams towards legacy clients: logged, resumable, independent of the client's connection.

pub(crate) mod body;
pub(crate) mod log;
pub(crate) mod registry;
