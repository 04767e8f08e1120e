//! MCP over Streamable HTTP: what a message is, which era it speaks, what a session token holds.

pub mod era;
pub mod errors;
pub mod frame;
pub mod ids;
