//! Events of a legacy server on their way to the client: ids become ours, everything else stays.

use super::session::Session;
use crate::state::streams::StreamId;
use crate::{
    frame::{Frame, Kind, Member, single_line},
    ids::{self, Epoch},
    shared::Shared,
    source::Event,
    token::EventId,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::sync::Arc;

/// Longest upstream event id that is carried in ours. A longer one is not carried: such a stream resumes from the log only.
const UPSTREAM_ID_BYTES_MAX: usize = 512;
/// Longest id of a request that is carried in ours. A stream that answers a longer one is taken up elsewhere through the shared log only.
const AWAITING_BYTES_MAX: usize = 256;

/// Writes the events of one upstream stream.
pub(crate) struct Translator {
    shared: Arc<Shared>,
    session: Arc<Session>,
    stream: StreamId,
    epoch: Epoch,
    /// Id of the request whose answer ends the stream.
    awaiting: Option<Bytes>,
    last_upstream_id: Option<Bytes>,
    /// The upstream stream was taken up after this event of its, which must not come again.
    resumed_after: Option<Bytes>,
}

impl Translator {
    /// For events of `stream` that come over the binding of `epoch`, and end with the answer to the request `awaiting` if there is one.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        stream: StreamId,
        epoch: Epoch,
        awaiting: Option<&Bytes>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            session: Arc::clone(session),
            stream,
            epoch,
            awaiting: awaiting.filter(|id| id.len() <= AWAITING_BYTES_MAX).cloned(),
            last_upstream_id: None,
            resumed_after: None,
        }
    }

    /// The upstream's id of the last event that had one.
    pub(crate) fn last_upstream_id(&self) -> Option<&Bytes> {
        self.last_upstream_id.as_ref()
    }

    /// Says where the upstream stream was left before.
    pub(crate) fn resumed_at(&mut self, upstream_id: Bytes) {
        self.resumed_after = Some(upstream_id.clone());
        self.last_upstream_id = Some(upstream_id);
    }

    /// Whether this is the first event of a stream taken up, and the one after which it was taken up: some servers begin with that.
    pub(crate) fn repeats(&mut self, event: &Event) -> bool {
        self.resumed_after.take().is_some_and(|after| event.id.as_ref() == Some(&after))
    }

    /// The binding the events come over.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// One event, which becomes number `sequence` of the stream. With `always_id` it gets an id even if the upstream gave
    /// none: the log can be resumed by it.
    pub(crate) fn event(&mut self, event: &Event, sequence: u64, always_id: bool) -> Bytes {
        if let Some(id) = event.id.as_ref().filter(|id| !id.is_empty() && id.len() <= UPSTREAM_ID_BYTES_MAX) {
            self.last_upstream_id = Some(id.clone());
        }
        let named = event.id.is_some() || (always_id && event.data.is_some());
        let id = if named { self.id(sequence) } else { None };
        let data = event.data.as_ref().map(|data| match &event.frame {
            Some(frame) => single_line(&self.message(frame)),
            None => data.clone(),
        });
        write(id.as_deref(), event.retry, event.name.as_deref(), data.as_ref())
    }

    /// An event without data that tells the client by which id to resume (2025-11-25, "Sending Messages to the Server", 6).
    pub(crate) fn priming(&self, sequence: u64) -> Bytes {
        write(self.id(sequence).as_deref(), None, None, Some(&Bytes::new()))
    }

    /// A message of the gateway's own.
    pub(crate) fn own(&self, message: &Bytes, sequence: u64) -> Bytes {
        write(self.id(sequence).as_deref(), None, None, Some(message))
    }

    /// An event whose id cannot be sealed goes out without one: it then cannot be resumed from.
    fn id(&self, sequence: u64) -> Option<String> {
        let upstream = self.last_upstream_id.as_ref();
        let id = EventId {
            session: self.session.uid,
            stream: self.stream.0,
            sequence,
            epoch: self.epoch,
            upstream: upstream.and_then(|id| std::str::from_utf8(id).ok()).map(str::to_owned),
            replica: self.shared.state.replica(),
            awaiting: self.awaiting.clone(),
        };
        id.seal(&self.shared.ring, self.session.audience(), self.session.expires).ok()
    }

    /// A server's own requests get ids that lead back over this binding; its cancellations name the same ids.
    fn message(&self, frame: &Frame) -> Bytes {
        let member = match frame.kind() {
            Kind::Request => Member::Id,
            Kind::Notification if frame.is("notifications/cancelled") => Member::RequestId,
            Kind::Notification if self.session.is_part => return self.of_part(frame),
            Kind::Notification | Kind::Response | Kind::ErrorResponse => return frame.bytes().clone(),
        };
        let Some(original) = frame.raw(member) else { return frame.bytes().clone() };
        let mut wrapped = ids::wrap(self.epoch, original);
        if self.session.is_part {
            wrapped = ids::of_member(self.session.server(), &wrapped);
        }
        frame.splice().set(member, wrapped).finish().unwrap_or_else(|_| frame.bytes().clone())
    }
}

impl Translator {
    /// A notification of a member of the merged endpoint: its lists may have changed, and its URIs may have other names there.
    fn of_part(&self, frame: &Frame) -> Bytes {
        let (shelf, member) = (&self.shared.state.shelf, self.session.server());
        shelf.hear(member, frame);
        let shown = frame
            .text(Member::Uri)
            .filter(|_| frame.is("notifications/resources/updated"))
            .and_then(|uri| shelf.shown(self.session.audience().principal, member, &uri));
        match shown {
            Some(uri) => {
                let changed = frame.splice().set_text(Member::Uri, &uri).finish();
                changed.unwrap_or_else(|_| frame.bytes().clone())
            }
            None => frame.bytes().clone(),
        }
    }
}

/// Writes one event (HTML, "Server-sent events"). `data` has no line breaks, or is written line by line.
pub(crate) fn write(
    id: Option<&str>,
    retry: Option<u64>,
    name: Option<&[u8]>,
    data: Option<&Bytes>,
) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + id.map_or(0, str::len) + data.map_or(0, Bytes::len));
    if let Some(id) = id {
        out.put_slice(b"id: ");
        out.put_slice(id.as_bytes());
        out.put_u8(b'\n');
    }
    if let Some(retry) = retry {
        out.put_slice(b"retry: ");
        out.put_slice(itoa::Buffer::new().format(retry).as_bytes());
        out.put_u8(b'\n');
    }
    if let Some(name) = name {
        out.put_slice(b"event: ");
        out.put_slice(name);
        out.put_u8(b'\n');
    }
    if let Some(data) = data {
        for line in data.split(|byte| *byte == b'\n') {
            out.put_slice(b"data: ");
            out.put_slice(line);
            out.put_u8(b'\n');
        }
    }
    out.put_u8(b'\n');
    out.freeze()
}
