//! The contract of revocations and the change feed.

use crate::world::{World, bytes, epoch, eventually, session, until};
use holdfast_store::{Change, Entry, Feed, Store};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What a replica has heard.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<Change>>>);

impl Heard {
    /// Listens to `store` until the feed is dropped.
    pub(crate) fn listen(store: &Store) -> (Self, Feed) {
        let heard = Self::default();
        let list = Arc::clone(&heard.0);
        let feed = store.changes(&(Arc::new(move |change| list.lock().unwrap().push(change)) as _));
        (heard, feed)
    }

    pub(crate) fn list(&self) -> Vec<Change> {
        self.0.lock().unwrap().clone()
    }

    /// Times that a change was heard.
    pub(crate) fn times(&self, change: Change) -> usize {
        self.list().into_iter().filter(|heard| *heard == change).count()
    }

    pub(crate) async fn wait_for(&self, change: Change) {
        eventually(&format!("{change:?}"), async || self.times(change) > 0).await;
    }
}

/// A token that expires in an hour.
pub(crate) fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600
}

pub(crate) async fn changes_reach_everybody_and_late_comers(world: &World) {
    let (a, _feed) = Heard::listen(&world.a);
    let (b, b_feed) = Heard::listen(&world.b);
    a.wait_for(Change::Resync).await;
    b.wait_for(Change::Resync).await;
    eventually("the operator sees a feed that is complete", async || world.a.view().feed_complete).await;

    let revoked = Change::Revoked { session: session(), expires: in_an_hour() };
    let Change::Revoked { session: ended, expires } = revoked else { unreachable!() };
    world.a.revocations().revoke(ended, expires, until()).await.unwrap();
    b.wait_for(revoked).await;
    a.wait_for(revoked).await;

    let moved = session();
    let entry = Entry { epoch: epoch(4), value: bytes("there") };
    world.b.journal().swap(moved, entry, Duration::from_mins(1), until()).await.unwrap();
    a.wait_for(Change::Rebound { session: moved, epoch: epoch(4) }).await;
    let older = Entry { epoch: epoch(3), value: bytes("elsewhere") };
    world.a.journal().swap(moved, older, Duration::from_mins(1), until()).await.unwrap();

    let (late, _late_feed) = Heard::listen(&world.b);
    late.wait_for(Change::Resync).await;
    let list = late.list();
    let resync = list.iter().position(|change| *change == Change::Resync).unwrap();
    assert!(list[..resync].contains(&revoked), "what still matters is told before the resync");

    drop(b_feed);
    let before = b.list().len();
    let another = Change::Revoked { session: session(), expires };
    let Change::Revoked { session: ended, .. } = another else { unreachable!() };
    world.b.revocations().revoke(ended, expires, until()).await.unwrap();
    late.wait_for(another).await;
    a.wait_for(another).await;
    assert_eq!(b.list().len(), before, "a dropped feed is silent");
    assert_eq!(a.times(Change::Rebound { session: moved, epoch: epoch(3) }), 0, "a lost swap is no change");
}
