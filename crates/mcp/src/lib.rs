//! MCP over Streamable HTTP: what a message is, which era it speaks, what a session token holds.

pub mod era;
pub mod errors;
pub mod federation;
#[doc(hidden)]
pub mod fuzz;
pub mod headers;
pub mod ids;
pub mod listing;
pub mod origin;
pub mod token;

mod caller;
mod cors;
mod drain;
mod exchange;
mod expiry;
mod failure;
mod guest;
mod legacy;
mod lens;
mod message;
mod modern;
mod operation;
mod pinning;
mod policy;
mod probe;
pub mod queue;
mod record;
mod replica;
mod reply;
mod server;
mod service;
mod shared;
mod source;
mod state;
mod tally;
mod wire;

pub use cors::with_cors;
pub use expiry::Expiry;
pub use holdfast_frames::{batch, frame, sse};
pub use holdfast_seal as seal;
pub use legacy::Reach;
pub use policy::tool_digests;
pub use replica::Replica;
pub use server::{Server, ServerError};
pub use service::{McpService, key_ring};
pub use state::{McpState, StateSizes, ToolsView};
pub use wire::{Linked, Wire};
