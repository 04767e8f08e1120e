//! Calls under way of tools whose number is limited: counted across snapshots, or a reload would let in as many again.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize},
};

/// By server and pattern.
type Counts = HashMap<(Box<str>, Box<str>), Arc<AtomicUsize>>;

/// See the module.
#[derive(Default)]
pub(crate) struct UnderWay(Mutex<Counts>);

impl UnderWay {
    /// The count for the tools of one pattern. What nobody counts with any more is forgotten.
    pub(crate) fn of(&self, server: &str, tools: &str) -> Arc<AtomicUsize> {
        let mut counts = self.0.lock();
        counts.retain(|_, count| Arc::strong_count(count) > 1);
        Arc::clone(counts.entry((server.into(), tools.into())).or_default())
    }
}
