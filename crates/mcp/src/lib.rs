//! MCP over Streamable HTTP: what a message is, which era it speaks, what a session token holds.

pub mod batch;
pub mod era;
pub mod errors;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod headers;
pub mod ids;
pub mod listing;
pub mod origin;
pub mod seal;
pub mod sse;
pub mod token;
