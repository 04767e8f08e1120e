//! The journal on Redis: one string a session, swapped by one script.

use super::{Core, Data, keys::Key, millis, reply, sealer::Place};
use crate::redis::{Command, Script};
use crate::seam::{Answer, ENTRY_BYTES_MAX, Entry, Epoch, Journal, SessionId, Swapped, limits};
use crate::{StoreError, StoreErrorKind};
use holdfast_telemetry::{StorePart, StoreValue};
use std::time::{Duration, Instant};

static SWAP: Script = Script::new(include_str!("lua/journal_swap.lua"));

/// A swap that meets an entry which does not open is repeated, this entry taken for none. Somebody who keeps writing such entries
/// ends it here.
const SWAPS: usize = 3;

impl Core {
    fn entry(&self, key: &[u8], stored: &[u8]) -> Option<Entry> {
        let Some((epoch, sealed)) = reply::numbered(stored) else {
            self.sealer.count_bad(StoreValue::Journal);
            return None;
        };
        let value = self.sealer.open(Place::new(StoreValue::Journal, key).number(epoch), sealed)?;
        Some(Entry { epoch: Epoch(epoch), value })
    }

    async fn swap(
        &self,
        session: SessionId,
        entry: &Entry,
        ttl: Duration,
        until: Instant,
    ) -> Result<Swapped, StoreError> {
        limits::fits(entry.value.len(), ENTRY_BYTES_MAX)?;
        limits::countable(entry.epoch.0)?;
        let key = self.names.session(Key::Journal, session);
        let sealed =
            self.sealer.seal(Place::new(StoreValue::Journal, &key).number(entry.epoch.0), &entry.value)?;
        let mut bad = Vec::new();
        for _ in 0..SWAPS {
            let command = Command::script(&SWAP, vec![key.clone()], Vec::new())
                .arg(entry.epoch.0)
                .arg(sealed.as_slice())
                .arg(millis(ttl))
                .arg(bad.as_slice())
                .repeatable();
            let Some(stored) = reply::bytes(self.run(&key, command, until).await?)? else {
                self.outbox.moved(session, entry.epoch);
                self.wake.notify_one();
                return Ok(Swapped::Stored);
            };
            match self.entry(&key, &stored) {
                // Ours already: an earlier attempt whose answer was lost.
                Some(known) if known == *entry => return Ok(Swapped::Stored),
                Some(newer) => return Ok(Swapped::Newer(newer)),
                None => bad = stored,
            }
        }
        Err(StoreError::new(StoreErrorKind::Corrupt, "entries that do not open keep coming"))
    }
}

impl Journal for Data {
    fn read(&self, session: SessionId, until: Instant) -> Answer<'_, Option<Entry>> {
        let core = &*self.core;
        core.counted(StorePart::Journal, async move {
            let key = core.names.session(Key::Journal, session);
            let command = Command::new("GET").arg(key.as_slice()).repeatable();
            let stored = reply::bytes(core.run(&key, command, until).await?)?;
            Ok(stored.and_then(|stored| core.entry(&key, &stored)))
        })
    }

    fn swap(&self, session: SessionId, entry: Entry, ttl: Duration, until: Instant) -> Answer<'_, Swapped> {
        let core = &*self.core;
        core.counted(StorePart::Journal, async move { core.swap(session, &entry, ttl, until).await })
    }

    fn forget(&self, session: SessionId, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Journal, async move {
            let key = core.names.session(Key::Journal, session);
            core.run(&key, Command::new("UNLINK").arg(key.as_slice()).repeatable(), until).await.map(drop)
        })
    }
}
