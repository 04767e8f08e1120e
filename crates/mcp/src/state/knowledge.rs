//! Which eras a server speaks, as far as it has been asked.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an answer is believed. A server that learns the modern era is noticed within this time.
const BELIEVED: Duration = Duration::from_mins(5);
/// Servers remembered. There are as many as the configuration names, over all reloads.
const SERVERS_MAX: usize = 4096;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// It answers 2026-07-28 requests.
    pub(crate) modern: bool,
}

/// Answers by server name.
#[derive(Default)]
pub(crate) struct Knowledge {
    servers: Mutex<BTreeMap<Arc<str>, (Spoken, Instant)>>,
    asking: Mutex<BTreeMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
}

impl Knowledge {
    /// What `server` said, unless that is too long ago.
    pub(crate) fn get(&self, server: &str, now: Instant) -> Option<Spoken> {
        let servers = self.servers.lock();
        let (spoken, at) = servers.get(server)?;
        (now.saturating_duration_since(*at) < BELIEVED).then(|| spoken.clone())
    }

    /// Records what `server` said.
    pub(crate) fn put(&self, server: &Arc<str>, spoken: Spoken, now: Instant) {
        let mut servers = self.servers.lock();
        if servers.len() >= SERVERS_MAX {
            servers.retain(|_, (_, at)| now.saturating_duration_since(*at) < BELIEVED);
        }
        if servers.len() < SERVERS_MAX || servers.contains_key(server) {
            servers.insert(Arc::clone(server), (spoken, now));
        }
    }

    /// The lock that lets one request ask while others wait for the answer.
    pub(crate) fn asking(&self, server: &Arc<str>) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock();
        if asking.len() >= SERVERS_MAX {
            asking.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(asking.entry(Arc::clone(server)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_believed_for_a_while() {
        let knowledge = Knowledge::default();
        let now = Instant::now();
        let name: Arc<str> = "files".into();
        knowledge.put(&name, Spoken { modern: true }, now);
        assert_eq!(knowledge.get("files", now), Some(Spoken { modern: true }));
        assert_eq!(knowledge.get("files", now + BELIEVED), None);
        assert_eq!(knowledge.get("other", now), None);
    }
}
