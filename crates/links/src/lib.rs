//! MCP servers that are not Streamable HTTP, shown as Streamable HTTP servers (`docs/decisions/0014-mcp-transports.md`).
//!
//! A *link* is a connection to such a server: a child process, a WebSocket, an event stream with its address for posts. [`Links::send`] answers what a Streamable HTTP client asks: `initialize`
//! opens a link and names it, a POST puts a message on it, GET hears what nobody asked for, DELETE closes it. [`switchboard`] decides
//! which message belongs to whom, [`link`] carries them, a [`carrier`] knows how.

mod body;
mod carrier;
mod carry;
mod link;
mod links;
mod opening;
mod outbox;
mod places;
mod pool;
mod queue;
mod remote;
mod send;
mod session_id;
mod start;
mod stdio;
mod switchboard;

pub use body::{LinkBody, Torn};
pub use carrier::{Carried, Carrier, Closer, Dial, MessageSink, MessageStream, SendError, StreamError};
pub use links::{LinkView, Links, LinksView, Parts};
pub use remote::BadCredential;
pub use send::{LinkCall, LinkReply};
