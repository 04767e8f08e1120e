//! Which message of a server belongs to whom. Pure: messages in, decisions out.
//!
//! A link of one session carries its client's ids as they are. A link that several requests share carries ids and progress tokens of
//! our own, which nobody can guess the owner of, and what comes back is either matched to one of them or shown to nobody.
//!
//! | state of a request | on | next |
//! |---|---|---|
//! | waiting | the answer with its id | gone; the answer stands alone |
//! | waiting, streaming | a message that belongs to it | streaming |
//! | streaming | the answer | gone; the answer is the last event |
//! | waiting, streaming | its reader leaves | session: left; shared: gone, and the server is told |
//! | left | the answer | gone; the answer is dropped |

mod entry;
mod names;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_random;

use bytes::Bytes;
use entry::{Entry, Phase, Requests};
use holdfast_frames::frame::{Frame, IdKey, Kind, Member};
use holdfast_telemetry::metrics::LinkDrop;
pub(crate) use names::{Name, Owner};
use std::collections::VecDeque;

/// Answered requests of a session that are remembered, so that a second answer is told from one that was never asked for.
const ANSWERED_MAX: usize = 64;

/// Whose requests go over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those of one session, under their own ids.
    Session,
    /// Those of one principal.
    Principal,
    /// Anybody's.
    Everybody,
}

/// What may be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests at once, those included whose reader has left.
    pub(crate) requests: usize,
    /// Messages that wait for a listener.
    pub(crate) waiting_messages: usize,
    /// Their bytes. One message is always let in.
    pub(crate) waiting_bytes: usize,
}

/// A request that may go out.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) name: Name,
    /// As the server gets it.
    pub(crate) message: Bytes,
    /// What the server said before, and nobody has heard.
    pub(crate) before: Vec<Bytes>,
}

/// Why a message does not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// [`Limits::requests`].
    Full,
    /// A request with this id is in flight.
    IdInUse,
    /// It cannot be given another name.
    Malformed,
    /// It speaks of no request of its sender.
    NotTheirs,
}

/// Where a message of the server goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// To this request, which ends with it.
    Answer(Name, Bytes),
    /// To this request, before its answer.
    Before(Name, Bytes),
    /// To whoever listens.
    Listener(Bytes),
    /// It waits for somebody who listens; so many older ones had to go for it.
    Waits(usize),
    /// To nobody.
    Dropped(LinkDrop),
    /// A request that nobody here may see: this is the answer to it.
    Refused(Bytes),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Switchboard {
    sharing: Sharing,
    limits: Limits,
    requests: Requests,
    answered: VecDeque<IdKey>,
    listening: bool,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
}

impl Switchboard {
    /// Of a new link.
    pub(crate) fn new(sharing: Sharing, limits: Limits) -> Self {
        Self {
            sharing,
            limits,
            requests: Requests::default(),
            answered: VecDeque::new(),
            listening: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    fn renames(&self) -> bool {
        self.sharing != Sharing::Session
    }

    /// Requests that somebody waits for.
    pub(crate) fn in_flight(&self) -> usize {
        self.requests.live().count()
    }

    // === Towards the server ===

    /// A request of `owner`.
    pub(crate) fn begin(&mut self, frame: &Frame, owner: Owner) -> Result<Begun, Refused> {
        let id = frame.id().ok_or(Refused::Malformed)?;
        let key = IdKey::of(id);
        if !self.renames() {
            match self.requests.by_id(&key) {
                Some((name, entry)) if entry.phase == Phase::Left => drop(self.requests.remove(name)),
                Some(_) => return Err(Refused::IdInUse),
                None => {}
            }
            // It is not answered any more.
            self.answered.retain(|answered| *answered != key);
        }
        if self.requests.len() >= self.limits.requests && !self.requests.forget_oldest_left() {
            return Err(Refused::Full);
        }
        let token = frame.raw(Member::MetaProgressToken).map(Bytes::copy_from_slice);
        let name = self.requests.next_name();
        let message = if self.renames() {
            let mut splice = frame.splice().set(Member::Id, name.raw());
            if token.is_some() {
                splice = splice.set(Member::MetaProgressToken, name.raw());
            }
            splice.finish().map_err(|_| Refused::Malformed)?
        } else {
            frame.bytes().clone()
        };
        // The gateway keeps the answer to this alone.
        let deaf = frame.is("initialize");
        let before = if deaf || self.listening { Vec::new() } else { self.take_waiting() };
        let phase = if before.is_empty() { Phase::Waiting } else { Phase::Streaming };
        let entry = Entry { id: Bytes::copy_from_slice(id), key, token, owner, phase, deaf };
        self.requests.insert(name, entry);
        Ok(Begun { name, message, before })
    }

    /// A notification or an answer of `owner`, as the server gets it.
    pub(crate) fn told(&self, frame: &Frame, owner: Owner) -> Result<Bytes, Refused> {
        if !self.renames() {
            return Ok(frame.bytes().clone());
        }
        if frame.is_response() {
            // A request of the server never reached anybody on this link.
            return Err(Refused::NotTheirs);
        }
        if !frame.is("notifications/cancelled") {
            return Ok(frame.bytes().clone());
        }
        let id = IdKey::of(frame.raw(Member::RequestId).ok_or(Refused::Malformed)?);
        let mut meant = self.requests.live().filter(|(_, entry)| entry.owner == owner && entry.key == id);
        match (meant.next(), meant.next()) {
            (Some((name, _)), None) => {
                frame.splice().set(Member::RequestId, name.raw()).finish().map_err(|_| Refused::Malformed)
            }
            _ => Err(Refused::NotTheirs),
        }
    }

    /// The reader of a request has gone, or gets nothing any more. On a link that is shared the server hears of it.
    pub(crate) fn leave(&mut self, name: Name) -> Option<Bytes> {
        if !self.renames() {
            if let Some(entry) = self.requests.get_mut(name) {
                entry.phase = Phase::Left;
            }
            return None;
        }
        self.requests.remove(name)?;
        let id = name.raw();
        let head: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"#;
        Some([head, &id, b"}}"].concat().into())
    }

    /// Somebody listens from now on; what waited for that.
    pub(crate) fn listen(&mut self) -> Vec<Bytes> {
        self.listening = true;
        self.take_waiting()
    }

    /// Nobody listens any more.
    pub(crate) fn stop_listening(&mut self) {
        self.listening = false;
    }

    fn take_waiting(&mut self) -> Vec<Bytes> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting).into()
    }

    // === From the server ===

    /// A message of the server.
    pub(crate) fn incoming(&mut self, frame: &Frame) -> Incoming {
        match frame.kind() {
            Kind::Response | Kind::ErrorResponse => self.answer(frame),
            Kind::Request if self.renames() => {
                let id = frame.id().unwrap_or(b"null");
                let tail: &[u8] = br#","error":{"code":-32601,"message":"Method not found"}}"#;
                Incoming::Refused([&br#"{"jsonrpc":"2.0","id":"#[..], id, tail].concat().into())
            }
            Kind::Request | Kind::Notification => {
                if self.renames() {
                    self.renamed(frame)
                } else {
                    self.of_session(frame)
                }
            }
        }
    }

    fn answer(&mut self, frame: &Frame) -> Incoming {
        let Some(id) = frame.id().filter(|id| *id != b"null") else {
            // It could not read the id of what it answers. With one request in flight it is clear which that is.
            let sole = (self.sharing != Sharing::Everybody).then(|| self.requests.sole()).flatten();
            return match sole {
                Some(name) => self.end(name, frame),
                None => Incoming::Dropped(LinkDrop::Unmatched),
            };
        };
        let key = IdKey::of(id);
        let name = if self.renames() {
            key.whole().map(Name).filter(|name| self.requests.get(*name).is_some())
        } else {
            self.requests.by_id(&key).map(|(name, _)| name)
        };
        match name {
            Some(name) => self.end(name, frame),
            None => Incoming::Dropped(self.stray(&key)),
        }
    }

    /// Why an answer finds no request.
    fn stray(&self, key: &IdKey) -> LinkDrop {
        let was_asked = if self.renames() {
            key.whole().is_some_and(|whole| self.requests.was_given(Name(whole)))
        } else {
            self.answered.contains(key)
        };
        match (was_asked, self.renames()) {
            (false, _) => LinkDrop::Unknown,
            // The server was told that nobody waits, and this crossed it; or it is a second answer.
            (true, true) => LinkDrop::Late,
            (true, false) => LinkDrop::Duplicate,
        }
    }

    /// The answer to `name`.
    fn end(&mut self, name: Name, frame: &Frame) -> Incoming {
        let Some(entry) = self.requests.remove(name) else { return Incoming::Dropped(LinkDrop::Unknown) };
        if !self.renames() {
            if self.answered.len() >= ANSWERED_MAX {
                self.answered.pop_front();
            }
            self.answered.push_back(entry.key);
        }
        if entry.phase == Phase::Left {
            return Incoming::Dropped(LinkDrop::Late);
        }
        if !self.renames() {
            return Incoming::Answer(name, frame.bytes().clone());
        }
        let mut splice = frame.splice().set(Member::Id, entry.id.clone());
        if frame.raw(Member::MetaSubscriptionId).is_some_and(|id| name.is(id)) {
            splice = splice.set(Member::MetaSubscriptionId, entry.id);
        }
        match splice.finish() {
            Ok(message) => Incoming::Answer(name, message),
            Err(_) => Incoming::Dropped(LinkDrop::Noise),
        }
    }

    /// A message on a link whose ids are ours: it names a request, or nobody sees it.
    fn renamed(&mut self, frame: &Frame) -> Incoming {
        let mut named = None;
        let mut splice = frame.splice();
        for member in [Member::MetaSubscriptionId, Member::ProgressToken, Member::RequestId] {
            let method_fits = match member {
                Member::ProgressToken => frame.is("notifications/progress"),
                Member::RequestId => frame.is("notifications/cancelled"),
                _ => true,
            };
            let Some(raw) = frame.raw(member).filter(|_| method_fits) else { continue };
            let Some(name) = IdKey::of(raw).whole().map(Name) else { continue };
            let Some(entry) = self.requests.get(name) else { continue };
            if named.is_some_and(|other| other != name) {
                return Incoming::Dropped(LinkDrop::Unmatched);
            }
            let original = match member {
                Member::ProgressToken => entry.token.clone(),
                _ => Some(entry.id.clone()),
            };
            let Some(original) = original else { continue };
            splice = splice.set(member, original);
            named = Some(name);
        }
        // A log message names no request in any version. Where one alone is in flight, and all are of one principal, it is that one's.
        let sole = || {
            let may = self.sharing == Sharing::Principal && frame.is("notifications/message");
            may.then(|| self.requests.sole()).flatten()
        };
        let Some(name) = named.or_else(sole) else { return Incoming::Dropped(LinkDrop::Unmatched) };
        let Ok(message) = splice.finish() else { return Incoming::Dropped(LinkDrop::Noise) };
        self.before(name, message)
    }

    fn before(&mut self, name: Name, message: Bytes) -> Incoming {
        match self.requests.get_mut(name) {
            Some(entry) if entry.phase != Phase::Left => {
                entry.phase = Phase::Streaming;
                Incoming::Before(name, message)
            }
            _ => Incoming::Dropped(LinkDrop::Late),
        }
    }

    /// A message on a link of one session: to the request that it names, or to the newest one, because a client that has no listening
    /// stream open must hear it too; else to whoever listens, or it waits for somebody who does.
    fn of_session(&mut self, frame: &Frame) -> Incoming {
        let message = frame.bytes().clone();
        let named = match frame.raw(Member::ProgressToken).filter(|_| frame.is("notifications/progress")) {
            Some(token) => self.requests.by_token(&IdKey::of(token)),
            None => None,
        };
        if let Some(name) = named {
            return self.before(name, message);
        }
        if let Some(name) = self.requests.newest_hearing() {
            return self.before(name, message);
        }
        if self.listening {
            return Incoming::Listener(message);
        }
        let mut dropped = 0;
        while !self.waiting.is_empty()
            && (self.waiting.len() >= self.limits.waiting_messages
                || self.waiting_bytes + message.len() > self.limits.waiting_bytes)
        {
            self.waiting_bytes -= self.waiting.pop_front().map_or(0, |oldest| oldest.len());
            dropped += 1;
        }
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
        Incoming::Waits(dropped)
    }
}
