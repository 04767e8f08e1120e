//! JSON-RPC messages as bytes, and event streams of them: what every transport of MCP reads and writes, without I/O.

pub mod batch;
pub mod frame;
pub mod sse;
