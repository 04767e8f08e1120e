//! The endpoints that one request has been to: never a second time into the same dead one.

use crate::outcome::EndpointId;

/// Most endpoints one request may try; matches the most attempts a retry policy allows.
pub const TRIED_MAX: usize = 16;
const _: () = assert!(TRIED_MAX >= crate::retry::ATTEMPTS_MAX as usize);

/// A small set on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    ids: [EndpointId; TRIED_MAX],
    len: usize,
}

impl Default for Tried {
    fn default() -> Self {
        Self::new()
    }
}

impl Tried {
    /// Nothing tried yet.
    pub fn new() -> Self {
        Self { ids: [EndpointId(0); TRIED_MAX], len: 0 }
    }

    /// Adds an endpoint; `false` if the set is full: the request has tried enough.
    pub fn insert(&mut self, id: EndpointId) -> bool {
        if self.contains(id) {
            return true;
        }
        let Some(slot) = self.ids.get_mut(self.len) else { return false };
        *slot = id;
        self.len += 1;
        true
    }

    /// Whether it was tried.
    #[inline]
    pub fn contains(&self, id: EndpointId) -> bool {
        self.ids[..self.len].contains(&id)
    }

    /// Whether nothing was tried.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        self.len
    }
}
