//! The change feed: two Redis streams that every replica reads to their end, again and again.
//!
//! Read by polling, not with XREAD BLOCK. A blocked read needs a socket of its own, a deadline and a failover of its own, and it saves
//! half a poll, 50 ms, of a message that the peers have had over their channel already. A poll is one command in the pipeline of the
//! connection that is there anyway, under the same breaker.

use super::{Core, Data, keys::Key, millis, reply, result, sealer::Place};
use crate::redis::{Command, Script};
use crate::seam::{Answer, Change, Epoch, Revocations, SessionId};
use crate::{StoreError, StoreErrorKind, sinks::unix_now};
use holdfast_telemetry::{StorePart, StoreValue};
use redis::Value;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

static PUBLISH: Script = Script::new(include_str!("lua/feed_publish.lua"));
static POLL: Script = Script::new(include_str!("lua/feed_poll.lua"));

/// Pause between two looks at the feed.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// Longest time for one look, and for one batch of changes.
const FEED_TIMEOUT: Duration = Duration::from_secs(1);
/// Changes read with one look of each stream, and told with one command.
const PAGE: usize = 1000;
const BATCH: usize = 256;
/// Revocations in the store, as a multiple of what one replica remembers: a replica that starts reads them all.
const REVOKED_FACTOR: usize = 4;

/// Both streams, in the order of the poll's answer.
const STREAMS: [Key; 2] = [Key::Revoked, Key::Rebound];

/// How far this replica has read.
struct Position {
    /// Last id read of each stream.
    last: [Vec<u8>; 2],
    /// Mark of the store's life that these ids belong to.
    mark: Option<Vec<u8>>,
    generation: u64,
    /// Everything has been read once since the beginning, or the last doubt.
    complete: bool,
}

impl Position {
    fn begin(generation: u64) -> Self {
        Self { last: [b"0-0".to_vec(), b"0-0".to_vec()], mark: None, generation, complete: false }
    }
}

/// Tells and hears of changes for as long as the store is used.
pub(super) async fn follow(core: Arc<Core>) {
    let mut position = Position::begin(core.link.generation());
    core.outbox.doubt_all();
    loop {
        core.round(&mut position).await;
        core.metrics.changes_pending.set(i64::try_from(core.outbox.len()).unwrap_or(i64::MAX));
        tokio::select! {
            () = tokio::time::sleep(POLL_EVERY) => {}
            () = core.wake.notified() => {}
            () = core.link.reconnected() => {}
        }
    }
}

impl Core {
    /// One look: begins again if values may have been lost, reads to the end, tells what is to be told.
    async fn round(&self, position: &mut Position) {
        let generation = self.link.generation();
        if self.outbox.take_begin_again() || generation != position.generation {
            // A new connection may lead to a server that has lost the last writes, and counts its ids from another clock.
            *position = Position::begin(generation);
            self.outbox.doubt_all();
        }
        if self.sinks.is_empty() && self.outbox.len() == 0 {
            return;
        }
        let read = self.read_to_end(position).await;
        if read.is_ok() && self.tell().await.is_ok() && !position.complete {
            position.complete = true;
            self.metrics.resyncs.inc();
            self.sinks.tell(Change::Resync);
        }
        self.feed_complete.store(read.is_ok() && position.complete, Ordering::Relaxed);
    }

    async fn read_to_end(&self, position: &mut Position) -> Result<(), StoreError> {
        loop {
            let until = Instant::now() + FEED_TIMEOUT;
            let polled = self.poll(position, until).await;
            self.metrics.operations.get(StorePart::Feed).inc(result(polled.as_ref().err()));
            let (mark, pages) = polled?;
            if position.mark.as_ref().is_some_and(|known| *known != mark) {
                *position = Position::begin(position.generation);
                self.outbox.doubt_all();
                continue;
            }
            position.mark = Some(mark);
            let full = pages.iter().any(|page| page.len() >= PAGE);
            for (number, page) in pages.into_iter().enumerate() {
                self.hear(STREAMS[number], &page);
                if let Some((last, _)) = page.into_iter().next_back() {
                    position.last[number] = last;
                }
            }
            if !full {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    async fn poll(&self, position: &Position, until: Instant) -> Result<(Vec<u8>, [Page; 2]), StoreError> {
        let keys = [Key::Revoked, Key::Rebound, Key::ChangesBirth].map(|key| self.names.only(key));
        let slot = keys[0].clone();
        let command = Command::script(&POLL, keys.into(), Vec::new())
            .arg(position.last[0].as_slice())
            .arg(position.last[1].as_slice())
            .arg(PAGE)
            .arg(fastrand::u64(..).to_string())
            .arg(millis(self.limits.session_life));
        let answer = reply::list(self.run(&slot, command.repeatable(), until).await?)?;
        let [mark, revoked, rebound] = <[Value; 3]>::try_from(answer).map_err(|_| reply::strange())?;
        Ok((reply::some(mark)?, [reply::entries(revoked)?, reply::entries(rebound)?]))
    }

    fn hear(&self, stream: Key, page: &Page) {
        let key = self.names.only(stream);
        for (_, sealed) in page {
            let Some(change) = self.open_change(stream, &key, sealed) else { continue };
            if let Change::Revoked { session, .. } = change {
                self.outbox.told([session]);
            }
            self.sinks.tell(change);
        }
    }

    fn open_change(&self, stream: Key, key: &[u8], sealed: &[u8]) -> Option<Change> {
        let plain = self.sealer.open(Place::new(StoreValue::Change, key), sealed)?;
        let (session, number) = plain.split_first_chunk::<16>()?;
        let (session, number) = (SessionId(*session), u64::from_be_bytes(number.try_into().ok()?));
        Some(match stream {
            Key::Revoked => Change::Revoked { session, expires: number },
            _ => Change::Rebound { session, epoch: Epoch(number) },
        })
    }

    /// Tells what has not been told.
    async fn tell(&self) -> Result<(), StoreError> {
        loop {
            let until = Instant::now() + FEED_TIMEOUT;
            let moved = self.outbox.take_moved(BATCH);
            let told =
                self.publish(Key::Rebound, moved.iter().map(|(id, epoch)| (*id, epoch.0)), until).await;
            let count = moved.len();
            if let Err(error) = told {
                self.outbox.put_back(moved);
                return Err(error);
            }
            let revoked = self.outbox.untold(BATCH, Instant::now());
            self.publish(Key::Revoked, revoked.iter().copied(), until).await?;
            self.outbox.told(revoked.iter().map(|(session, _)| *session));
            if count < BATCH && revoked.len() < BATCH {
                return Ok(());
            }
        }
    }

    async fn publish(
        &self,
        stream: Key,
        changes: impl Iterator<Item = (SessionId, u64)>,
        until: Instant,
    ) -> Result<(), StoreError> {
        let key = self.names.only(stream);
        let (life, most) = match stream {
            Key::Revoked => (self.limits.revoked_life(), self.limits.sessions.saturating_mul(REVOKED_FACTOR)),
            _ => (self.limits.session_ttl, self.limits.sessions),
        };
        let mut command =
            Command::script(&PUBLISH, vec![key.clone()], Vec::new()).arg(millis(life)).arg(most);
        let mut any = false;
        for (session, number) in changes {
            any = true;
            let plain = [session.0.as_slice(), &number.to_be_bytes()].concat();
            command = command.arg(self.sealer.seal(Place::new(StoreValue::Change, &key), &plain)?);
        }
        if !any {
            return Ok(());
        }
        let told = self.run(&key, command.repeatable(), until).await.map(drop);
        self.metrics.operations.get(StorePart::Feed).inc(result(told.as_ref().err()));
        told
    }
}

/// Entries of one stream: id and sealed change.
type Page = Vec<reply::StreamEntry>;

impl Revocations for Data {
    fn revoke(&self, session: SessionId, expires: u64, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Revocations, async move {
            let now = Instant::now();
            let life = core.limits.revoked_for(expires, unix_now());
            let kept = core.outbox.revoked(session, expires, now + life, now);
            let told = core.publish(Key::Revoked, std::iter::once((session, expires)), until).await;
            if told.is_ok() {
                core.outbox.told([session]);
            } else if !kept {
                let full = "sessions.max_entries sessions are revoked, and this one could not be told";
                return Err(StoreError::new(StoreErrorKind::Full, full));
            }
            told
        })
    }
}
