//! What one replica asks of another, and who answers.

use crate::{Handle, ReplicaId};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast_upstream::BoxedBody;
use http::Response;
use std::time::Instant;

/// A question to the replica that has something.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What to do with the thing: 1 to 32 characters of `a-z0-9_`.
    pub what: &'static str,
    /// The thing: a [`Handle`], sealed. At most [`HANDLE_BYTES_MAX`](crate::HANDLE_BYTES_MAX).
    pub handle: String,
    /// For whom: the handle opens for this principal alone.
    pub principal: [u8; 32],
    /// Until when the head of the answer must be here. How much of it is left is what travels, so clocks need not agree.
    pub until: Instant,
    /// At most `ha.peer_channel.max_ask_bytes`.
    pub body: Bytes,
}

/// A question that was found to be in order: its handle opened for its principal and names this process, and it came once.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks.
    pub from: ReplicaId,
    /// What to do.
    pub what: Box<str>,
    /// The thing.
    pub handle: Handle,
    /// For whom.
    pub principal: [u8; 32],
    /// Until when the head of the answer is waited for.
    pub until: Instant,
    /// What came with it.
    pub body: Bytes,
}

/// Answers what other replicas ask. Runs on the control runtime: nothing here may block.
pub trait Owner: Send + Sync + 'static {
    /// Answers. Dropped when the asker goes away or the time is over; so is the body, which is read no faster than the asker reads.
    /// Policy is the owner's: it checks again whatever the asker has checked. An error of the body reaches the asker as
    /// [`Torn`](crate::Torn). Headers whose name starts with `holdfast-` are not passed on.
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Response<BoxedBody>>;

    /// Takes a note. Notes of one replica arrive in their order, each at most once.
    fn told(&self, from: ReplicaId, note: Bytes);
}
