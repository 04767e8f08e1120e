//! The only door to atomics and locks: the interleaving tests compile the same sources with another `sync`, whose
//! every operation is a point where a scheduler may switch threads (`tests/interleavings.rs`).

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
