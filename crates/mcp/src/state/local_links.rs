//! The links of this process by server, for replicas that ask for one.

use holdfast_links::Links;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// By the name of their server. Links that ended are forgotten when others are put in.
#[derive(Debug, Default)]
pub(crate) struct LocalLinks(Mutex<HashMap<Box<str>, Weak<Links>>>);

impl LocalLinks {
    pub(crate) fn put(&self, links: &Arc<Links>) {
        let mut all = self.0.lock();
        all.retain(|_, links| links.strong_count() > 0);
        all.insert(links.name().into(), Arc::downgrade(links));
    }

    pub(crate) fn get(&self, server: &str) -> Option<Arc<Links>> {
        self.0.lock().get(server)?.upgrade()
    }
}
