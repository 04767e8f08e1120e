//! Who may move sessions of a server, and how many at once: over all snapshots, so that a reload opens no second gate.

use holdfast_edge::Turns;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Turns by server. As many as there are servers; one that nobody uses goes when another is new.
#[derive(Default)]
pub(crate) struct ServerTurns(Mutex<HashMap<Arc<str>, Arc<Turns>>>);

impl ServerTurns {
    /// Those of `server`, of which there are `max` from now on.
    pub(crate) fn of(&self, server: &Arc<str>, max: usize) -> Arc<Turns> {
        let mut servers = self.0.lock();
        if let Some(turns) = servers.get(server) {
            turns.set(max);
            return Arc::clone(turns);
        }
        servers.retain(|_, turns| Arc::strong_count(turns) > 1);
        let turns = Turns::new(max);
        servers.insert(Arc::clone(server), Arc::clone(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_turns_while_somebody_has_one() {
        let servers = ServerTurns::default();
        let (used, unused): (Arc<str>, Arc<str>) = ("used".into(), "unused".into());
        let held = servers.of(&used, 1);
        drop(servers.of(&unused, 1));
        for number in 0..100 {
            servers.of(&Arc::from(number.to_string()), 1);
        }
        assert!(Arc::ptr_eq(&held, &servers.of(&used, 2)), "also under another limit");
        assert!(servers.0.lock().len() <= 3, "those nobody uses are gone");
    }
}
