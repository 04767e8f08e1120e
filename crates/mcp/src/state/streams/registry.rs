//! All logged streams of this process: found by event id, or by session for the one GET stream a session has.

use super::{
    id::StreamId,
    log::{End, LiveStream, LogLimits},
    total::Total,
};
use crate::token::SessionUid;
use holdfast_edge::DrainHandle;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Streams looked at per insertion while the finished ones are swept: bounds the work of one request.
const SWEEP_MAX: usize = 8;

/// Limits of the registry, from `sessions.*`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Of one log (`stream_events`, `stream_bytes`).
    pub(crate) log: LogLimits,
    /// Streams known at once (`max_entries`).
    pub(crate) streams: usize,
    /// How long a finished or abandoned stream can be resumed (`stream_retention`).
    pub(crate) retention: Duration,
}

/// The streams. One short lock; taken when a stream opens, ends or is resumed, never per event.
pub(crate) struct Streams {
    total: Arc<Total>,
    limits: StreamLimits,
    inner: Mutex<Inner>,
}

struct Inner {
    by_id: HashMap<StreamId, Entry>,
    by_session: HashMap<SessionUid, StreamId>,
    finished: VecDeque<(Instant, StreamId)>,
}

struct Entry {
    stream: Arc<LiveStream>,
    session: SessionUid,
    reading: Reading,
}

/// How a stream is read by another replica.
#[derive(Clone)]
pub(crate) struct Reading {
    /// Time between comments on a quiet stream.
    pub(crate) keep_alive: Duration,
    /// Whether this replica leaves service.
    pub(crate) drain: DrainHandle,
}

impl Streams {
    /// An empty registry.
    pub(crate) fn new(limits: StreamLimits, bytes_total: usize) -> Self {
        let inner = Inner { by_id: HashMap::new(), by_session: HashMap::new(), finished: VecDeque::new() };
        Self { total: Total::new(bytes_total), limits, inner: Mutex::new(inner) }
    }

    /// How long a finished or abandoned stream can be resumed.
    pub(crate) fn retention(&self) -> Duration {
        self.limits.retention
    }

    /// Opens a stream of `session`. When the registry is full of live streams the new one is not registered: it works,
    /// but can be resumed only through the upstream.
    pub(crate) fn open(&self, session: SessionUid, reading: Reading) -> Arc<LiveStream> {
        self.open_at(session, StreamId(fastrand::u64(..)), 0, reading)
    }

    /// Goes on with a stream that another replica carried, from event number `base` on.
    pub(crate) fn open_at(
        &self,
        session: SessionUid,
        id: StreamId,
        base: u64,
        reading: Reading,
    ) -> Arc<LiveStream> {
        let stream = LiveStream::new(id, base, self.limits.log, Arc::clone(&self.total));
        let mut inner = self.inner.lock();
        inner.sweep(Instant::now(), self.limits.retention, self.total.over());
        if inner.by_id.len() >= self.limits.streams {
            inner.forget_oldest_finished();
        }
        if inner.by_id.len() < self.limits.streams {
            inner.by_id.insert(stream.id, Entry { stream: Arc::clone(&stream), session, reading });
        }
        stream
    }

    /// Makes `stream` the GET stream of `session`.
    pub(crate) fn set_get_stream(&self, session: SessionUid, stream: &LiveStream) {
        let mut inner = self.inner.lock();
        if inner.by_id.contains_key(&stream.id) {
            inner.by_session.insert(session, stream.id);
        }
    }

    /// The GET stream of `session`.
    pub(crate) fn get_stream(&self, session: SessionUid) -> Option<Arc<LiveStream>> {
        let inner = self.inner.lock();
        let id = inner.by_session.get(&session)?;
        inner.by_id.get(id).map(|entry| Arc::clone(&entry.stream))
    }

    /// The stream of an event id, if it belongs to `session`.
    pub(crate) fn find(&self, id: StreamId, session: SessionUid) -> Option<Arc<LiveStream>> {
        let inner = self.inner.lock();
        inner.by_id.get(&id).filter(|entry| entry.session == session).map(|entry| Arc::clone(&entry.stream))
    }

    /// As [`find`](Self::find), with how another replica reads it, and whether it is the session's GET stream.
    pub(crate) fn find_for_peer(
        &self,
        id: StreamId,
        session: SessionUid,
    ) -> Option<(Arc<LiveStream>, Reading, bool)> {
        let inner = self.inner.lock();
        let entry = inner.by_id.get(&id).filter(|entry| entry.session == session)?;
        let listening = inner.by_session.get(&session) == Some(&id);
        Some((Arc::clone(&entry.stream), entry.reading.clone(), listening))
    }

    /// The stream has no pump any more; it stays for the retention time.
    pub(crate) fn finished(&self, id: StreamId) {
        self.inner.lock().finished.push_back((Instant::now(), id));
    }

    /// Forgets a stream at once (its session was deleted).
    pub(crate) fn forget_session(&self, session: SessionUid) {
        let mut inner = self.inner.lock();
        if let Some(listening) = inner.by_session.remove(&session)
            && let Some(entry) = inner.by_id.get(&listening)
        {
            // Its server may not end it. An answer that is on its way to its client still arrives.
            entry.stream.finish(End::Lost);
        }
        inner.by_id.retain(|_, entry| entry.session != session);
    }

    /// Streams known now.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().by_id.len()
    }

    /// Bytes in all logs.
    pub(crate) fn bytes(&self) -> usize {
        self.total.used()
    }
}

impl Inner {
    fn sweep(&mut self, now: Instant, retention: Duration, pressed: bool) {
        for _ in 0..SWEEP_MAX {
            match self.finished.front() {
                Some((at, _)) if pressed || now.duration_since(*at) >= retention => {}
                _ => return,
            }
            self.forget_oldest_finished();
        }
    }

    fn forget_oldest_finished(&mut self) {
        let Some((_, id)) = self.finished.pop_front() else { return };
        // A stream that was suspended and is pumped again is not finished: it will be reported once more.
        if self.by_id.get(&id).is_none_or(|entry| entry.stream.end().is_none()) {
            return;
        }
        if let Some(entry) = self.by_id.remove(&id)
            && self.by_session.get(&entry.session) == Some(&id)
        {
            self.by_session.remove(&entry.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Resume;
    use super::*;
    use crate::ids::Epoch;
    use bytes::Bytes;

    fn reading() -> Reading {
        Reading { keep_alive: Duration::from_secs(1), drain: DrainHandle::new() }
    }

    fn streams(max: usize, retention: Duration) -> Streams {
        let log = LogLimits { events: 8, bytes: 1024 };
        Streams::new(StreamLimits { log, streams: max, retention }, 2048)
    }

    #[test]
    fn a_stream_is_found_only_by_its_own_session() {
        let streams = streams(8, Duration::from_mins(1));
        let stream = streams.open(SessionUid([1; 16]), reading());
        assert!(streams.find(stream.id, SessionUid([1; 16])).is_some());
        assert!(streams.find(stream.id, SessionUid([2; 16])).is_none());
    }

    #[test]
    fn a_peer_finds_what_the_session_has_and_hears_which_stream_listens() {
        let (streams, session) = (streams(8, Duration::from_mins(1)), SessionUid([1; 16]));
        let (post, get) = (streams.open(session, reading()), streams.open(session, reading()));
        streams.set_get_stream(session, &get);
        let listens = |id| streams.find_for_peer(id, session).map(|(_, _, listening)| listening);
        assert_eq!((listens(post.id), listens(get.id)), (Some(false), Some(true)));
        assert!(streams.find_for_peer(get.id, SessionUid([2; 16])).is_none());
        let taken_over = streams.open_at(session, post.id, 9, reading());
        assert_eq!(taken_over.next_sequence(), 9);
        assert_eq!(streams.len(), 2, "the newer one stands in the older one's place");
    }

    #[test]
    fn a_full_registry_forgets_finished_streams_and_never_live_ones() {
        let streams = streams(2, Duration::from_mins(1));
        let first = streams.open(SessionUid([1; 16]), reading());
        let second = streams.open(SessionUid([2; 16]), reading());
        let third = streams.open(SessionUid([3; 16]), reading());
        assert!(streams.find(third.id, SessionUid([3; 16])).is_none(), "two live streams fill it");
        first.finish(End::Complete);
        streams.finished(first.id);
        let fourth = streams.open(SessionUid([4; 16]), reading());
        assert!(streams.find(fourth.id, SessionUid([4; 16])).is_some());
        assert!(streams.find(first.id, SessionUid([1; 16])).is_none());
        assert!(streams.find(second.id, SessionUid([2; 16])).is_some());
    }

    #[test]
    fn retention_over_means_forgotten_at_the_next_opening() {
        let streams = streams(8, Duration::ZERO);
        let stream = streams.open(SessionUid([1; 16]), reading());
        streams.set_get_stream(SessionUid([1; 16]), &stream);
        stream.push(Bytes::from_static(b"event"));
        stream.finish(End::Complete);
        streams.finished(stream.id);
        let id = stream.id;
        drop(stream);
        assert_eq!(streams.bytes(), 5);
        let _next = streams.open(SessionUid([2; 16]), reading());
        assert!(streams.find(id, SessionUid([1; 16])).is_none());
        assert!(streams.get_stream(SessionUid([1; 16])).is_none());
        assert_eq!(streams.bytes(), 0);
        assert_eq!(streams.len(), 1);
    }

    #[test]
    fn a_reopened_stream_is_not_swept() {
        let streams = streams(8, Duration::ZERO);
        let stream = streams.open(SessionUid([1; 16]), reading());
        let resume = Resume { upstream_event: Bytes::new(), epoch: Epoch(0), awaiting: None, log: None };
        stream.suspend(resume);
        streams.finished(stream.id);
        assert!(stream.wake().is_some());
        let _next = streams.open(SessionUid([2; 16]), reading());
        assert!(streams.find(stream.id, SessionUid([1; 16])).is_some());
    }
}
