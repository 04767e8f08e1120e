//! The log of one stream that all replicas can read, as the replica that carries the stream writes it (decision 0012).

use super::id::StreamId;
use crate::token::{LoggedEvent, SessionUid, StreamRecord};
use bytes::Bytes;
use holdfast_store::{
    Append, Appended, Epoch, Opened, Owner, PageLimit, ReplicaId, Sequence, SessionId, Store, StoreError,
    Stream,
};
use holdfast_upstream::clock;
use std::time::{Duration, Instant};

/// Longest wait for an event to be logged. The client gets it that much later at most.
const APPEND_WAIT: Duration = Duration::from_millis(20);
/// Longest wait for what no client waits for.
pub(crate) const UNHURRIED: Duration = Duration::from_millis(250);
/// Number of the entry that says which stream of a session is its listening one. Streams draw theirs from 64 bits.
const LISTENING: u64 = 0;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is in the log.
    Logged,
    /// The store did not take it. It is this replica's alone.
    Unlogged,
    /// Another replica carries the stream now.
    Fenced,
}

/// The log of a stream that this replica carries.
pub(crate) struct SharedLog {
    store: Store,
    stream: Stream,
    owner: Owner,
    record: Bytes,
    keep: Duration,
    open: bool,
    last: Option<Sequence>,
    /// As which owner it is the session's listening stream, if it is.
    listening: Option<Owner>,
    /// When it was last written: nobody may take a quiet stream for a forgotten one.
    written: Instant,
}

impl SharedLog {
    /// The log of `stream`, which `owner` carries. It is kept for `keep` after the last sign of life.
    pub(crate) fn new(
        store: &Store,
        stream: Stream,
        owner: Owner,
        record: &StreamRecord,
        keep: Duration,
    ) -> Self {
        Self {
            store: store.clone(),
            stream,
            owner,
            record: record.encode().into(),
            keep,
            open: false,
            last: None,
            listening: None,
            written: clock::now(),
        }
    }

    /// It is in the store, and this is the last event in it.
    #[must_use]
    pub(crate) fn going_on_after(self, last: Option<Sequence>) -> Self {
        Self { open: true, last, ..self }
    }

    /// It is the session's listening stream, held as `owner`.
    pub(crate) fn listen(&mut self, owner: Owner) {
        self.listening = Some(owner);
    }

    /// Whether it is that.
    pub(crate) fn listens(&self) -> bool {
        self.listening.is_some()
    }

    /// Appends an event, in time that a client does not notice.
    pub(crate) async fn append(&mut self, sequence: u64, event: &LoggedEvent) -> Written {
        self.written = clock::now();
        let until = clock::after(self.written, APPEND_WAIT);
        let event: Bytes = event.encode().into();
        // A second time if the store had forgotten the stream.
        for _ in 0..2 {
            if !self.open {
                match self.reopen(until).await {
                    Written::Logged => {}
                    other => return other,
                }
            }
            let append = Append {
                stream: self.stream,
                owner: self.owner,
                sequence: Sequence(sequence),
                follows: self.last,
                event: event.clone(),
            };
            match self.store.events().append(append, until).await {
                Ok(Appended::Done) => {
                    self.last = Some(Sequence(sequence));
                    return Written::Logged;
                }
                Ok(Appended::Unknown) => self.open = false,
                Ok(Appended::Fenced(_)) => return Written::Fenced,
                // Of an append that was given up and came through late.
                Ok(Appended::Stale(last)) => {
                    self.last = Some(last);
                    return Written::Unlogged;
                }
                Err(error) => return unlogged(error),
            }
        }
        Written::Unlogged
    }

    /// When a quiet stream has to be named again.
    pub(crate) fn quiet_until(&self) -> Instant {
        clock::after(self.written, self.keep / 2)
    }

    /// Keeps a quiet stream from being forgotten.
    pub(crate) async fn refresh(&mut self) -> Written {
        self.written = clock::now();
        if let Some(owner) = self.listening {
            hold(&self.store, self.stream, owner, self.keep).await;
        }
        self.reopen(clock::after(self.written, UNHURRIED)).await
    }

    async fn reopen(&mut self, until: Instant) -> Written {
        let opened =
            self.store.events().open(self.stream, self.owner, self.record.clone(), self.keep, until).await;
        match opened {
            Ok(Opened::Yours) => {
                self.open = true;
                Written::Logged
            }
            Ok(Opened::Fenced(_)) => Written::Fenced,
            Err(error) => unlogged(error),
        }
    }
}

/// A stream as the store names it.
pub(crate) fn name(session: SessionUid, stream: StreamId) -> Stream {
    Stream { session: SessionId(session.0), number: stream.0 }
}

/// Who holds the session's listening stream, and which it is; none if nobody is known to.
pub(crate) async fn listener(
    store: &Store,
    session: SessionUid,
    until: Instant,
) -> Option<(Owner, StreamId)> {
    let limit = PageLimit { events: 0, bytes: 0 };
    match store.events().read(name(session, StreamId(LISTENING)), Sequence(0), limit, until).await {
        Ok(page) => {
            let page = page?;
            let number = page.meta.as_ref().try_into().ok()?;
            Some((page.owner, StreamId(u64::from_be_bytes(number))))
        }
        Err(error) => {
            unlogged(error);
            None
        }
    }
}

/// The owner that `replica` becomes when it holds the listening stream after `before`.
pub(crate) fn next_listener(replica: ReplicaId, before: Option<Owner>) -> Owner {
    let first = Owner::first(replica);
    before.map_or(first, |before| Owner { epoch: Epoch(before.epoch.0 + 1), ..first })
}

/// Makes `stream` its session's listening one. One that another replica holds under a later epoch stays that.
pub(crate) async fn hold(store: &Store, stream: Stream, owner: Owner, keep: Duration) {
    let until = clock::after(clock::now(), UNHURRIED);
    let entry = Stream { number: LISTENING, ..stream };
    let meta = Bytes::copy_from_slice(&stream.number.to_be_bytes());
    match store.events().open(entry, owner, meta, keep, until).await {
        Ok(Opened::Yours | Opened::Fenced(_)) => {}
        Err(error) => {
            unlogged(error);
        }
    }
}

fn unlogged(error: StoreError) -> Written {
    tracing::debug!(%error, "the shared log of a stream");
    Written::Unlogged
}

impl std::fmt::Debug for SharedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedLog")
            .field("owner", &self.owner)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
