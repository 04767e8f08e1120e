//! The other replicas: who they are, whether they live, and the channel between them.
//!
//! A thing that lives in one process has a [`Handle`]: sealed, and naming a replica, never an address. Whoever holds it asks
//! that replica through [`Peers::ask`]; what it has to do there is an [`Owner`]'s. [`Peers::tell`] carries small notes to all.
//! How the channel proves who is at its ends, and every state of a link, are in `docs/decisions/0011-peers.md`.

mod ask;
mod backoff;
mod body;
mod channel;
mod dial;
mod discovery;
mod driver;
mod error;
pub mod fuzz;
mod handle;
mod hello;
mod limits;
mod link;
mod listen;
mod nonces;
mod notes;
mod peers;
mod serve;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod view;
mod wire;

pub use ask::{Ask, Asked, Owner};
pub use body::{PeerBody, Torn};
pub use error::{BuildError, PeerError, PeerLimit, Refusal};
pub use handle::{HANDLE_BYTES_MAX, Handle, PARTS_BYTES_MAX};
pub use holdfast_store::ReplicaId;
pub use holdfast_upstream::BoxedBody;
pub use peers::{Parts, Peers};
pub use view::{PeerState, PeerView};
