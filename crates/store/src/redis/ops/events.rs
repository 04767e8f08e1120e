//! Event logs on Redis: a hash that says whose a stream is, a Redis stream with its events, and a script for each operation.

use super::{Core, Data, keys::Key, millis, peers, reply, sealer::Place};
use crate::redis::{Command, Script};
use crate::seam::{
    Answer, Append, Appended, Claimed, ENTRY_BYTES_MAX, Epoch, EventLog, Opened, Owner, Page, PageLimit,
    ReplicaId, Sequence, Stream, limits,
};
use crate::{StoreError, StoreErrorKind};
use bytes::Bytes;
use holdfast_telemetry::{StorePart, StoreValue};
use redis::Value;
use std::time::{Duration, Instant};

static OPEN: Script = Script::new(include_str!("lua/stream_open.lua"));
static APPEND: Script = Script::new(include_str!("lua/stream_append.lua"));
static READ: Script = Script::new(include_str!("lua/stream_read.lua"));
static CLAIM: Script = Script::new(include_str!("lua/stream_claim.lua"));

/// Opening a stream whose owner does not open is repeated, the stream taken for absent; somebody who keeps forging owners ends it here.
const OPENS: usize = 3;

/// Both keys of a stream.
struct Keys {
    head: Vec<u8>,
    events: Vec<u8>,
}

impl Keys {
    fn owner(&self, epoch: Epoch) -> Place<'_> {
        Place::new(StoreValue::Stream, &self.head).field(b"owner").number(epoch.0)
    }

    fn meta(&self) -> Place<'_> {
        Place::new(StoreValue::Stream, &self.head).field(b"meta")
    }

    fn event(&self, sequence: Sequence) -> Place<'_> {
        Place::new(StoreValue::Event, &self.events).number(sequence.0)
    }

    fn script(&self, script: &'static Script) -> Command {
        Command::script(script, vec![self.head.clone(), self.events.clone()], Vec::new()).repeatable()
    }
}

impl Core {
    fn keys(&self, stream: Stream) -> Keys {
        Keys {
            head: self.names.stream(Key::StreamHead, stream),
            events: self.names.stream(Key::StreamEvents, stream),
        }
    }

    fn seal_owner(&self, keys: &Keys, owner: Owner) -> Result<Vec<u8>, StoreError> {
        limits::countable(owner.epoch.0)?;
        self.sealer.seal(keys.owner(owner.epoch), &owner.replica.0.to_be_bytes())
    }

    /// The owner as the head says in clear, if its seal says the same.
    fn owner(&self, keys: &Keys, [replica, epoch, sealed]: [&[u8]; 3]) -> Option<Owner> {
        let (replica, epoch) = (peers::parse(replica), reply::number(epoch).map(Epoch));
        let (Some(replica), Some(epoch)) = (replica, epoch) else {
            self.sealer.count_bad(StoreValue::Stream);
            return None;
        };
        let plain = self.sealer.open(keys.owner(epoch), sealed)?;
        if *plain != replica.0.to_be_bytes() {
            self.sealer.count_bad(StoreValue::Stream);
            return None;
        }
        Some(Owner { replica, epoch })
    }

    async fn open_stream(
        &self,
        (stream, owner): (Stream, Owner),
        meta: &[u8],
        keep: Duration,
        until: Instant,
    ) -> Result<Opened, StoreError> {
        limits::fits(meta.len(), ENTRY_BYTES_MAX)?;
        let keys = self.keys(stream);
        let sealed_owner = self.seal_owner(&keys, owner)?;
        let sealed_meta = self.sealer.seal(keys.meta(), meta)?;
        let mut bad = Vec::new();
        for _ in 0..OPENS {
            let command = keys
                .script(&OPEN)
                .arg(owner.replica.to_string())
                .arg(owner.epoch.0)
                .arg(sealed_owner.as_slice())
                .arg(sealed_meta.as_slice())
                .arg(millis(keep))
                .arg(bad.as_slice());
            let answer = reply::all_bytes(self.run(&keys.head, command, until).await?)?;
            let [replica, epoch, sealed] = answer.as_slice() else { return Ok(Opened::Yours) };
            match self.owner(&keys, [replica, epoch, sealed]) {
                Some(other) => return Ok(Opened::Fenced(other)),
                None => bad.clone_from(sealed),
            }
        }
        Err(StoreError::new(StoreErrorKind::Corrupt, "owners that do not open keep coming"))
    }

    /// What `append` answers.
    fn appended(&self, keys: &Keys, answer: Value) -> Result<Appended, StoreError> {
        let answer = reply::all_bytes(answer)?;
        let answer: Vec<&[u8]> = answer.iter().map(Vec::as_slice).collect();
        match *answer.as_slice() {
            [b"done"] => Ok(Appended::Done),
            [b"unknown"] => Ok(Appended::Unknown),
            [b"stale", last] => {
                reply::number(last).map(|last| Appended::Stale(Sequence(last))).ok_or_else(reply::strange)
            }
            // An owner whose seal does not open is none, and a stream without an owner is not known.
            [b"fenced", replica, epoch, sealed] => {
                Ok(self.owner(keys, [replica, epoch, sealed]).map_or(Appended::Unknown, Appended::Fenced))
            }
            _ => Err(reply::strange()),
        }
    }

    async fn append_event(&self, append: Append, until: Instant) -> Result<Appended, StoreError> {
        let Append { stream, owner, sequence, follows, event } = append;
        limits::fits(event.len(), self.limits.stream_bytes)?;
        limits::countable(sequence.0)?;
        let keys = self.keys(stream);
        let command = keys
            .script(&APPEND)
            .arg(owner.replica.to_string())
            .arg(owner.epoch.0)
            .arg(self.seal_owner(&keys, owner)?)
            .arg(sequence.0)
            .arg(follows.map_or(String::new(), |follows| follows.0.to_string()))
            .arg(self.sealer.seal(keys.event(sequence), &event)?)
            .arg(self.limits.stream_events)
            .arg(self.limits.stream_bytes);
        self.appended(&keys, self.run(&keys.head, command, until).await?)
    }

    async fn read_page(
        &self,
        stream: Stream,
        from: Sequence,
        limit: PageLimit,
        until: Instant,
    ) -> Result<Option<Page>, StoreError> {
        let keys = self.keys(stream);
        // More than a log holds is not asked for.
        let most = limit.events.min(self.limits.stream_events.max(1));
        let command = keys.script(&READ).arg(from.0).arg(most).arg(limit.bytes);
        let answer = reply::all_bytes(self.run(&keys.head, command, until).await?)?;
        if answer.is_empty() {
            return Ok(None);
        }
        let Some(([replica, epoch, sealed, meta, first, last, more], events)) =
            answer.split_first_chunk::<7>()
        else {
            return Err(reply::strange());
        };
        let Some(owner) = self.owner(&keys, [replica, epoch, sealed]) else { return Ok(None) };
        let Some(meta) = self.sealer.open(keys.meta(), meta) else { return Ok(None) };
        let event = |pair: &[Vec<u8>]| {
            let [id, sealed] = pair else { return None };
            let Some(sequence) = id.strip_suffix(b"-1").and_then(reply::number).map(Sequence) else {
                self.sealer.count_bad(StoreValue::Event);
                return None;
            };
            Some((sequence, self.sealer.open(keys.event(sequence), sealed)?))
        };
        Ok(Some(Page {
            meta,
            owner,
            first: Sequence(reply::number(first).unwrap_or(0)),
            last: reply::number(last).map(Sequence),
            events: events.chunks(2).filter_map(event).collect(),
            more: more == b"1",
        }))
    }

    async fn claim_stream(
        &self,
        stream: Stream,
        from: Owner,
        to: ReplicaId,
        until: Instant,
    ) -> Result<Claimed, StoreError> {
        let keys = self.keys(stream);
        let claimed = Owner { replica: to, epoch: Epoch(from.epoch.0.saturating_add(1)) };
        let command = keys
            .script(&CLAIM)
            .arg(from.replica.to_string())
            .arg(from.epoch.0)
            .arg(to.to_string())
            .arg(claimed.epoch.0)
            .arg(self.seal_owner(&keys, claimed)?);
        let answer = reply::all_bytes(self.run(&keys.head, command, until).await?)?;
        let answer: Vec<&[u8]> = answer.iter().map(Vec::as_slice).collect();
        match *answer.as_slice() {
            [b"done"] => Ok(Claimed::Yours(claimed)),
            [b"unknown"] => Ok(Claimed::Unknown),
            [b"lost", replica, epoch, sealed] => {
                Ok(self.owner(&keys, [replica, epoch, sealed]).map_or(Claimed::Unknown, Claimed::Lost))
            }
            _ => Err(reply::strange()),
        }
    }
}

impl EventLog for Data {
    fn open(
        &self,
        stream: Stream,
        owner: Owner,
        meta: Bytes,
        keep: Duration,
        until: Instant,
    ) -> Answer<'_, Opened> {
        let core = &*self.core;
        let open = async move { core.open_stream((stream, owner), &meta, keep, until).await };
        core.counted(StorePart::Events, open)
    }

    fn append(&self, append: Append, until: Instant) -> Answer<'_, Appended> {
        self.core.counted(StorePart::Events, self.core.append_event(append, until))
    }

    fn read(
        &self,
        stream: Stream,
        from: Sequence,
        limit: PageLimit,
        until: Instant,
    ) -> Answer<'_, Option<Page>> {
        self.core.counted(StorePart::Events, self.core.read_page(stream, from, limit, until))
    }

    fn claim(&self, stream: Stream, from: Owner, to: ReplicaId, until: Instant) -> Answer<'_, Claimed> {
        self.core.counted(StorePart::Events, self.core.claim_stream(stream, from, to, until))
    }

    fn remove(&self, stream: Stream, until: Instant) -> Answer<'_, ()> {
        let core = &*self.core;
        core.counted(StorePart::Events, async move {
            let keys = core.keys(stream);
            let command = Command::new("UNLINK").arg(keys.head.as_slice()).arg(keys.events.as_slice());
            core.run(&keys.head, command.repeatable(), until).await.map(drop)
        })
    }
}
