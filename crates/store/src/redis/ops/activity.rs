//! Last use and end of sessions on Redis: a hash and a sorted set for each shard, and the server's own clock.

use super::{
    Core, Data,
    keys::{Key, SHARDS, shard},
    millis, reply,
    sealer::Place,
};
use crate::StoreError;
use crate::memory::check_touches;
use crate::redis::{Command, Script};
use crate::seam::{Activity, Answer, Due, LastUsed, SessionId, Touch};
use holdfast_telemetry::{StorePart, StoreValue};
use redis::Value;
use std::time::{Duration, Instant};

static TOUCH: Script = Script::new(include_str!("lua/activity_touch.lua"));
static LAST_USED: Script = Script::new(include_str!("lua/activity_last_used.lua"));
static DUE: Script = Script::new(include_str!("lua/activity_due.lua"));

/// Sessions touched with one command.
const BATCH: usize = 128;
/// Room of a shard, as a multiple of an equal part of all sessions: ids are random, so shards differ.
const SHARD_FACTOR: usize = 2;

impl Core {
    fn shard_keys(&self, number: usize) -> Vec<Vec<u8>> {
        [Key::Uses, Key::Due, Key::Birth].map(|key| self.names.shard(key, number)).into()
    }

    /// How long a shard lives without a use: longer than any session.
    fn shard_life(&self) -> u64 {
        millis(self.limits.session_life.saturating_add(self.limits.session_ttl))
    }

    fn touch_command(&self, number: usize, touches: &[&Touch]) -> Result<(Vec<u8>, Command), StoreError> {
        let keys = self.shard_keys(number);
        let uses = keys[0].clone();
        let most = self.limits.sessions.div_ceil(SHARDS) * SHARD_FACTOR;
        let mut command = Command::script(&TOUCH, keys, Vec::new()).arg(most).arg(self.shard_life());
        for touch in touches {
            let id = touch.session.0.as_slice();
            let place = Place::new(StoreValue::Ending, &uses).field(id);
            let sealed = touch.ending.as_ref().map(|ending| self.sealer.seal(place, ending)).transpose()?;
            command = command
                .arg(id)
                .arg(touch.idle.as_millis().min(1 << 50) as u64)
                .arg(millis(touch.due))
                .arg(sealed.unwrap_or_default());
        }
        Ok((uses, command.repeatable()))
    }

    async fn touch_all(&self, touches: &[Touch], until: Instant) -> Result<(), StoreError> {
        check_touches(touches)?;
        let mut shards: Vec<Vec<&Touch>> = vec![Vec::new(); SHARDS];
        for touch in touches {
            shards[shard(touch.session)].push(touch);
        }
        let mut commands = Vec::new();
        for (number, touches) in shards.iter().enumerate() {
            for batch in touches.chunks(BATCH) {
                commands.push(self.touch_command(number, batch)?);
            }
        }
        self.link.run_all(commands, until).await.into_iter().try_for_each(|answer| answer.map(drop))
    }

    async fn last_use(&self, session: SessionId, until: Instant) -> Result<LastUsed, StoreError> {
        let number = shard(session);
        let keys = [Key::Uses, Key::Birth].map(|key| self.names.shard(key, number));
        let slot = keys[0].clone();
        let command = Command::script(&LAST_USED, keys.into(), Vec::new())
            .arg(session.0.as_slice())
            .arg(millis(self.limits.session_ttl))
            .arg(self.shard_life())
            .repeatable();
        match self.run(&slot, command, until).await? {
            Value::Int(ago) => Ok(LastUsed::Ago(Duration::from_millis(u64::try_from(ago).unwrap_or(0)))),
            other => match reply::some(other)?.as_slice() {
                b"unknown" => Ok(LastUsed::Unknown),
                b"idle" => Ok(LastUsed::Idle),
                _ => Err(reply::strange()),
            },
        }
    }

    fn due_command(&self, number: usize, most: usize) -> (Vec<u8>, Command) {
        let keys = self.shard_keys(number);
        let slot = keys[0].clone();
        // Not repeatable: what was taken and did not arrive must not be followed by more.
        (slot, Command::script(&DUE, keys, Vec::new()).arg(most).arg(self.shard_life()))
    }

    fn taken(&self, uses: &[u8], answer: Value) -> Result<Vec<Due>, StoreError> {
        let answer = reply::all_bytes(answer)?;
        let due = |pair: &[Vec<u8>]| {
            let [id, stored] = pair else { return None };
            let session = SessionId(id.as_slice().try_into().ok()?);
            let sealed =
                reply::numbered(stored).map(|(_, sealed)| sealed).filter(|sealed| !sealed.is_empty());
            let place = Place::new(StoreValue::Ending, uses).field(id);
            Some(Due { session, ending: sealed.and_then(|sealed| self.sealer.open(place, sealed)) })
        };
        Ok(answer.chunks(2).filter_map(due).collect())
    }

    /// Every shard is asked; one that fails does not take away what others gave.
    async fn due_everywhere(&self, each: usize, until: Instant) -> Result<Vec<Due>, StoreError> {
        let commands: Vec<_> = (0..SHARDS).map(|number| self.due_command(number, each)).collect();
        let slots: Vec<_> = commands.iter().map(|(slot, _)| slot.clone()).collect();
        let answers = self.link.run_all(commands, until).await;
        let mut ended = Vec::new();
        let mut failed = None;
        for (uses, answer) in slots.iter().zip(answers) {
            match answer.and_then(|answer| self.taken(uses, answer)) {
                Ok(taken) => ended.extend(taken),
                Err(error) => failed = Some(error),
            }
        }
        failed.filter(|_| ended.is_empty()).map_or(Ok(ended), Err)
    }

    /// Shard after shard, from a random one, until there are enough.
    async fn due_somewhere(&self, limit: usize, until: Instant) -> Result<Vec<Due>, StoreError> {
        let start = fastrand::usize(..SHARDS);
        let mut ended = Vec::new();
        for number in (start..start + SHARDS).map(|number| number % SHARDS) {
            if ended.len() == limit {
                break;
            }
            let (uses, command) = self.due_command(number, limit - ended.len());
            match self.run(&uses, command, until).await.and_then(|answer| self.taken(&uses, answer)) {
                Ok(taken) => ended.extend(taken),
                Err(error) if ended.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(ended)
    }
}

impl Activity for Data {
    fn touch<'a>(&'a self, touches: &'a [Touch], until: Instant) -> Answer<'a, ()> {
        self.core.counted(StorePart::Activity, self.core.touch_all(touches, until))
    }

    fn last_used(&self, session: SessionId, until: Instant) -> Answer<'_, LastUsed> {
        self.core.counted(StorePart::Activity, self.core.last_use(session, until))
    }

    fn due(&self, limit: usize, until: Instant) -> Answer<'_, Vec<Due>> {
        let core = &*self.core;
        core.counted(StorePart::Activity, async move {
            if limit < SHARDS {
                core.due_somewhere(limit, until).await
            } else {
                core.due_everywhere(limit / SHARDS, until).await
            }
        })
    }

    fn end(&self, session: SessionId, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Activity, async move {
            let [uses, due] = [Key::Uses, Key::Due].map(|key| core.names.shard(key, shard(session)));
            let remove = |name, key: &Vec<u8>| {
                (key.clone(), Command::new(name).arg(key.as_slice()).arg(session.0.as_slice()).repeatable())
            };
            let answers = core.link.run_all(vec![remove("ZREM", &due), remove("HDEL", &uses)], until).await;
            answers.into_iter().try_for_each(|answer| answer.map(drop))
        })
    }
}
