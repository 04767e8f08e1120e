//! Messages on their way into and out of a conversation, within a number of bytes.

use bytes::Bytes;
pub use holdfast_mcp::queue::Closed;
pub(crate) use holdfast_mcp::queue::queue;

/// The end where messages come in. Clones share the room.
pub type Sender = holdfast_mcp::queue::Sender<Bytes>;

/// The end where they go out.
pub type Receiver = holdfast_mcp::queue::Receiver<Bytes>;
