//! MCP clients that do not speak Streamable HTTP (decision 0014).
//!
//! A [`Conversation`] is a client's connection, translated into Streamable HTTP: each message is given to a [`Service`] as the
//! request that a Streamable HTTP client would have made, and what the answers hold goes back over the connection. What carries it
//! differs in how bytes arrive and leave, and in nothing else.

mod carriage;
mod conversation;
mod fronts;
mod queue;
mod service;
mod sse;
pub mod stdio;
pub mod websocket;

pub use carriage::Carriage;
pub use conversation::{Comeback, Conversation, MessageLimits, Opening, Origin};
pub use fronts::{Fronts, Place};
pub use queue::{Closed, Receiver, Sender};
pub use service::Service;
pub use sse::{Desk, Owners, Stream};

use carriage::polite;
