//! Event logs in memory.

use super::{Memory, expiring::Expiring, ready};
use crate::seam::{
    Answer, Append, Appended, Claimed, ENTRY_BYTES_MAX, Epoch, EventLog, Limits, Opened, Owner, Page,
    PageLimit, ReplicaId, Sequence, Stream, limits,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// One stream.
struct Log {
    meta: Bytes,
    owner: Owner,
    keep: Duration,
    events: BTreeMap<Sequence, Bytes>,
    bytes: usize,
    first: Sequence,
    last: Option<Sequence>,
    /// Epoch of who wrote the last event.
    writer: Epoch,
}

/// Every stream. The one that would be forgotten first makes room for others.
pub(super) struct Logs {
    limits: Limits,
    streams: Expiring<Stream, Log>,
    bytes: usize,
}

impl Log {
    fn drop_event(&mut self, sequence: Sequence) -> usize {
        let length = self.events.remove(&sequence).map_or(0, |event| event.len());
        self.bytes -= length;
        length
    }

    /// Makes `follows` the last event. What was logged after it had been given up by its writer. If it is not there itself, the store has
    /// lost events: the log begins anew behind it. Returns the bytes that went.
    fn follow(&mut self, follows: Option<Sequence>) -> usize {
        if self.last == follows {
            return 0;
        }
        let keep_to = follows.filter(|follows| self.last.is_some_and(|last| last > *follows));
        if let Some(lost) = follows
            && keep_to.is_none()
        {
            self.first = Sequence(lost.0 + 1);
        }
        let from = keep_to.map_or(Sequence(0), |last| Sequence(last.0 + 1));
        let gone: Vec<_> = self.events.range(from..).map(|(sequence, _)| *sequence).collect();
        gone.into_iter().map(|sequence| self.drop_event(sequence)).sum()
    }

    /// What makes the log too big, from its beginning; the newest event always stays.
    fn trim(&mut self, limits: &Limits) -> usize {
        let mut freed = 0;
        while self.events.len() > limits.stream_events.max(1)
            || (self.bytes > limits.stream_bytes && self.events.len() > 1)
        {
            let Some(oldest) = self.events.keys().next().copied() else { break };
            freed += self.drop_event(oldest);
            self.first = Sequence(oldest.0 + 1);
        }
        freed
    }
}

impl Logs {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, streams: Expiring::new(limits.streams), bytes: 0 }
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((_, ended)) = self.streams.pop_ended(now) {
            self.bytes -= ended.bytes;
        }
    }

    fn open(&mut self, stream: Stream, owner: Owner, meta: Bytes, keep: Duration, now: Instant) -> Opened {
        self.sweep(now);
        if let Some(log) = self.streams.get_mut(stream, now) {
            if owner.is_fenced_by(log.owner) {
                return Opened::Fenced(log.owner);
            }
            (log.owner, log.meta, log.keep) = (owner, meta, keep);
            self.streams.extend(stream, now + keep);
            return Opened::Yours;
        }
        let events = BTreeMap::new();
        let log =
            Log { meta, owner, keep, events, bytes: 0, first: Sequence(0), last: None, writer: Epoch(0) };
        if let Some(out) = self.streams.insert_over(stream, log, now + keep, now) {
            self.bytes -= out.bytes;
        }
        Opened::Yours
    }

    fn append(&mut self, append: Append, now: Instant) -> Appended {
        self.sweep(now);
        let limits = self.limits;
        let Some(log) = self.streams.get_mut(append.stream, now) else { return Appended::Unknown };
        if append.owner.is_fenced_by(log.owner) {
            return Appended::Fenced(log.owner);
        }
        if let Some(last) = log.last
            && last >= append.sequence
        {
            let again =
                last == append.sequence && log.owner == append.owner && log.writer == append.owner.epoch;
            return if again { Appended::Done } else { Appended::Stale(last) };
        }
        (log.owner, log.writer) = (append.owner, append.owner.epoch);
        let mut freed = log.follow(append.follows);
        let length = append.event.len();
        log.events.insert(append.sequence, append.event);
        log.last = Some(append.sequence);
        log.bytes += length;
        freed += log.trim(&limits);
        let until = now + log.keep;
        self.streams.extend(append.stream, until);
        self.bytes = self.bytes + length - freed;
        self.make_room(append.stream);
        Appended::Done
    }

    /// Forgets whole streams, those first that would be forgotten first, but never the one that is written.
    fn make_room(&mut self, written: Stream) {
        while self.bytes > self.limits.stream_bytes_total {
            let Some(first) = self.streams.first(Some(written)) else { return };
            self.remove(first);
        }
    }

    fn remove(&mut self, stream: Stream) {
        self.bytes -= self.streams.remove(stream).map_or(0, |log| log.bytes);
    }

    fn read(&self, stream: Stream, from: Sequence, limit: PageLimit, now: Instant) -> Option<Page> {
        let log = self.streams.get(stream, now)?;
        let mut events = Vec::new();
        let mut bytes = 0;
        for (sequence, event) in log.events.range(from..).take(limit.events) {
            bytes += event.len();
            if bytes > limit.bytes && !events.is_empty() {
                break;
            }
            events.push((*sequence, event.clone()));
        }
        let more = log.events.range(from..).count() > events.len();
        let meta = log.meta.clone();
        Some(Page { meta, owner: log.owner, first: log.first, last: log.last, events, more })
    }

    fn claim(&mut self, stream: Stream, from: Owner, to: ReplicaId, now: Instant) -> Claimed {
        let Some(log) = self.streams.get_mut(stream, now) else { return Claimed::Unknown };
        let claimed = Owner { replica: to, epoch: Epoch(from.epoch.0 + 1) };
        if log.owner != from && log.owner != claimed {
            return Claimed::Lost(log.owner);
        }
        log.owner = claimed;
        let until = now + log.keep;
        self.streams.extend(stream, until);
        Claimed::Yours(claimed)
    }
}

impl EventLog for Memory {
    fn open(
        &self,
        stream: Stream,
        owner: Owner,
        meta: Bytes,
        keep: Duration,
        _: Instant,
    ) -> Answer<'_, Opened> {
        let checked =
            limits::fits(meta.len(), ENTRY_BYTES_MAX).and_then(|()| limits::countable(owner.epoch.0));
        ready(checked.map(|()| self.logs.lock().open(stream, owner, meta, keep, self.now())))
    }

    fn append(&self, append: Append, _: Instant) -> Answer<'_, Appended> {
        let checked = limits::fits(append.event.len(), self.limits.stream_bytes)
            .and_then(|()| limits::countable(append.owner.epoch.0))
            .and_then(|()| limits::countable(append.sequence.0));
        ready(checked.map(|()| self.logs.lock().append(append, self.now())))
    }

    fn read(&self, stream: Stream, from: Sequence, limit: PageLimit, _: Instant) -> Answer<'_, Option<Page>> {
        ready(Ok(self.logs.lock().read(stream, from, limit, self.now())))
    }

    fn claim(&self, stream: Stream, from: Owner, to: ReplicaId, _: Instant) -> Answer<'_, Claimed> {
        let checked = limits::countable(from.epoch.0.saturating_add(1));
        ready(checked.map(|()| self.logs.lock().claim(stream, from, to, self.now())))
    }

    fn remove(&self, stream: Stream, _: Instant) -> Answer<'_, ()> {
        self.logs.lock().remove(stream);
        ready(Ok(()))
    }
}
