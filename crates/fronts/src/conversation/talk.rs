//! What has been said in a conversation, and what is to happen with the next message: a decision without I/O.
//!
//! | state | message | what happens |
//! |---|---|---|
//! | any | `initialize` | posted without a session; the session id of its answer is kept from then on |
//! | any | a modern request | posted with the headers that mirror it, and without a session |
//! | any | `notifications/cancelled` of a modern request | that request is dropped: over Streamable HTTP a closed stream is the cancellation |
//! | any | any other | posted with the session id, if there is one; without one the answer is the error that any client would get |
//! | too much in flight, or an id twice | a request | answered with an error, posted to nobody |

use super::mirror::{self, Schemas};
use bytes::Bytes;
use holdfast_frames::{
    batch::{self, Batch},
    frame::{self, Frame, IdKey, Kind, Member},
};
use holdfast_mcp::{
    era::Version,
    headers::{PROTOCOL_VERSION, SESSION_ID},
};
use http::{HeaderMap, HeaderValue};
use std::collections::{HashMap, HashSet};

/// What one conversation may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TalkLimits {
    /// Requests without an answer.
    pub(crate) requests: usize,
    /// Their bytes; one is always let in.
    pub(crate) bytes: usize,
    pub(crate) message: frame::Limits,
    pub(crate) batch: usize,
}

/// One message that was posted, until its answer has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallId(u64);

/// What a posted message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Initialize,
    /// `notifications/initialized`: from now on the server may talk on its own.
    Initialized,
    /// Any other notification of a session.
    Notification,
    Request,
    /// A request that waits for what may never come: nobody waits for its end.
    Listen,
    /// A modern `tools/list`.
    Tools,
    /// An answer to a question of the server.
    Reply,
    /// What cannot be read.
    Unread,
}

impl Sort {
    /// Whether the next message waits until the server has this one. A Streamable HTTP client waits for the answer to both.
    pub(crate) fn goes_first(self) -> bool {
        matches!(self, Self::Initialize | Self::Initialized | Self::Notification)
    }
}

/// What is to be done with a message.
#[derive(Debug)]
pub(crate) enum Step {
    /// Give it to the service.
    Post { call: CallId, sort: Sort, headers: HeaderMap },
    /// Answer these requests with an error.
    Refuse { ids: Vec<Bytes>, why: Refused },
    /// Stop this call; nobody waits for its answer.
    Cancel(CallId),
}

/// Why requests are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    TooMany,
    TooManyBytes,
    IdInUse,
}

/// What a message of the service is to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Nothing it waits for.
    Not,
    AsIs,
    /// The answer that begins this session.
    Begins(HeaderValue),
}

struct Call {
    sort: Sort,
    modern: bool,
    /// Requests in it that have no answer yet.
    awaiting: Vec<Bytes>,
    bytes: usize,
}

/// A conversation.
pub(crate) struct Talk {
    limits: TalkLimits,
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    calls: HashMap<CallId, Call>,
    /// By value: a server may write an id in another way than its client.
    ids: HashMap<IdKey, CallId>,
    bytes: usize,
    next: u64,
    schemas: Schemas,
}

/// What a message is, as far as it matters here.
struct Read {
    sort: Sort,
    modern: bool,
    ids: Vec<Bytes>,
    headers: HeaderMap,
}

impl Talk {
    /// A conversation that begins with a session, or without one.
    pub(crate) fn new(
        limits: TalkLimits,
        (session, version): (Option<HeaderValue>, Option<HeaderValue>),
    ) -> Self {
        Self {
            limits,
            session,
            version,
            calls: HashMap::new(),
            ids: HashMap::new(),
            bytes: 0,
            next: 0,
            schemas: Schemas::default(),
        }
    }

    /// The headers that name the session; `None` without one.
    pub(crate) fn session(&self) -> Option<HeaderMap> {
        self.session.is_some().then(|| self.of_session())
    }

    /// Whether more calls are under way than requests and their answers account for: no more is taken until some have ended.
    pub(crate) fn is_full(&self) -> bool {
        self.calls.len() >= self.limits.requests.saturating_mul(2)
    }

    /// Whether a call is under way whose end is waited for.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls.values().any(|call| call.sort != Sort::Listen)
    }

    /// Takes the next message of the client.
    pub(crate) fn take(&mut self, message: &Bytes) -> Step {
        let read = match self.read(message) {
            Ok(read) => read,
            Err(cancelled) => {
                self.end(cancelled);
                return Step::Cancel(cancelled);
            }
        };
        if let Some(why) = self.refusal(&read, message.len()) {
            return Step::Refuse { ids: read.ids, why };
        }
        let call = CallId(self.next);
        self.next += 1;
        for id in &read.ids {
            self.ids.insert(IdKey::of(id), call);
        }
        let bytes = if read.ids.is_empty() { 0 } else { message.len() };
        self.bytes += bytes;
        self.calls.insert(call, Call { sort: read.sort, modern: read.modern, awaiting: read.ids, bytes });
        Step::Post { call, sort: read.sort, headers: read.headers }
    }

    /// The head of a call's answer has come. Gives the session that was in the place of a new one, to be ended.
    pub(crate) fn head(&mut self, call: CallId, answer: &HeaderMap) -> Option<HeaderMap> {
        if self.calls.get(&call)?.sort != Sort::Initialize {
            return None;
        }
        let fresh = answer.get(SESSION_ID)?.clone();
        let before = self.session();
        self.session = Some(fresh);
        self.version = None;
        before
    }

    /// Whether a message of the service is the client's: what the server asks or tells always, an answer if it is waited for.
    pub(crate) fn pass(&mut self, message: &Frame) -> Passed {
        if !message.is_response() {
            return Passed::AsIs;
        }
        let Some(key) = message.id().map(IdKey::of) else { return Passed::Not };
        let Some(call) = self.ids.remove(&key) else { return Passed::Not };
        let Some(call) = self.calls.get_mut(&call) else { return Passed::Not };
        call.awaiting.retain(|id| IdKey::of(id) != key);
        match call.sort {
            Sort::Initialize => {
                let agreed = message.text(Member::ProtocolVersion);
                let agreed = agreed.as_deref().and_then(Version::parse).filter(|v| v.has_version_header());
                self.version = agreed.map(|version| HeaderValue::from_static(version.as_str()));
                if message.kind() == Kind::Response
                    && let Some(session) = &self.session
                {
                    return Passed::Begins(session.clone());
                }
            }
            Sort::Tools => self.schemas.learn(message),
            _ => {}
        }
        Passed::AsIs
    }

    /// The one request that a call is about, if it still waits for its answer.
    pub(crate) fn only(&self, call: CallId) -> Option<Bytes> {
        match &self.calls.get(&call)?.awaiting[..] {
            [id] => Some(id.clone()),
            _ => None,
        }
    }

    /// Whether every request of a call has its answer.
    pub(crate) fn is_answered(&self, call: CallId) -> bool {
        self.calls.get(&call).is_none_or(|call| call.awaiting.is_empty())
    }

    /// The session, if a call that broke off is resumed within it.
    pub(crate) fn resumption(&self, call: CallId) -> Option<HeaderMap> {
        let call = self.calls.get(&call)?;
        if call.modern || call.awaiting.is_empty() { None } else { self.session() }
    }

    /// The headers that mirror a modern message, as far as is known here.
    pub(crate) fn mirrored(&self, frame: &Frame) -> HeaderMap {
        let mut headers = HeaderMap::new();
        mirror::add(&mut headers, frame, &self.schemas);
        headers
    }

    /// Learns which arguments have headers from a list that no client asked for.
    pub(crate) fn learn(&mut self, tools: &Frame) {
        self.schemas.learn(tools);
    }

    /// A call is over. Gives the requests that got no answer.
    pub(crate) fn end(&mut self, call: CallId) -> Vec<Bytes> {
        let Some(ended) = self.calls.remove(&call) else { return Vec::new() };
        self.bytes -= ended.bytes;
        for id in &ended.awaiting {
            self.ids.remove(&IdKey::of(id));
        }
        ended.awaiting
    }

    fn refusal(&self, read: &Read, bytes: usize) -> Option<Refused> {
        if read.ids.is_empty() {
            return None;
        }
        let mut own = HashSet::new();
        let mut keys = read.ids.iter().map(|id| IdKey::of(id));
        if keys.any(|key| self.ids.contains_key(&key) || !own.insert(key)) {
            return Some(Refused::IdInUse);
        }
        if self.ids.len() + read.ids.len() > self.limits.requests {
            return Some(Refused::TooMany);
        }
        (self.bytes > 0 && self.bytes + bytes > self.limits.bytes).then_some(Refused::TooManyBytes)
    }

    /// What the message is, or the call that it cancels.
    fn read(&self, message: &Bytes) -> Result<Read, CallId> {
        if batch::is_batch(message) {
            return Ok(self.read_batch(message));
        }
        // The service says what is wrong with it, in the words that every client gets.
        let Ok(frame) = Frame::parse(message.clone(), &self.limits.message) else {
            return Ok(self.within(Sort::Unread, Vec::new()));
        };
        match frame.kind() {
            Kind::Response | Kind::ErrorResponse => return Ok(self.within(Sort::Reply, Vec::new())),
            Kind::Notification => {
                if let Some(call) = self.cancelled(&frame) {
                    return Err(call);
                }
                if !frame.has(Member::MetaProtocolVersion) {
                    let first = frame.is("notifications/initialized");
                    let sort = if first { Sort::Initialized } else { Sort::Notification };
                    return Ok(self.within(sort, Vec::new()));
                }
            }
            Kind::Request => {
                let ids = own_id(&frame);
                if !frame.has(Member::MetaProtocolVersion) {
                    if frame.is("initialize") {
                        return Ok(Read {
                            sort: Sort::Initialize,
                            modern: false,
                            ids,
                            headers: HeaderMap::new(),
                        });
                    }
                    return Ok(self.within(Sort::Request, ids));
                }
            }
        }
        let headers = self.mirrored(&frame);
        let sort = match &*frame.method_bytes() {
            b"subscriptions/listen" => Sort::Listen,
            b"tools/list" => Sort::Tools,
            _ => Sort::Request,
        };
        Ok(Read { sort, modern: true, ids: own_id(&frame), headers })
    }

    /// 2025-03-26 only; whether the session has them is for the service to say.
    fn read_batch(&self, message: &Bytes) -> Read {
        let Ok(batch) = Batch::parse(message.clone(), &self.limits.message, self.limits.batch) else {
            return self.within(Sort::Unread, Vec::new());
        };
        let requests = batch.frames().filter_map(Result::ok).filter(|frame| frame.kind() == Kind::Request);
        let ids: Vec<Bytes> = requests.filter_map(|frame| frame.id_bytes()).collect();
        let sort = if ids.is_empty() { Sort::Notification } else { Sort::Request };
        self.within(sort, ids)
    }

    fn within(&self, sort: Sort, ids: Vec<Bytes>) -> Read {
        Read { sort, modern: false, ids, headers: self.of_session() }
    }

    fn of_session(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(session) = &self.session {
            headers.insert(SESSION_ID, session.clone());
        }
        if let Some(version) = &self.version {
            headers.insert(PROTOCOL_VERSION, version.clone());
        }
        headers
    }

    /// The modern call that a notification cancels.
    fn cancelled(&self, frame: &Frame) -> Option<CallId> {
        if !frame.is("notifications/cancelled") {
            return None;
        }
        let call = *self.ids.get(&IdKey::of(frame.raw(Member::RequestId)?))?;
        self.calls.get(&call)?.modern.then_some(call)
    }
}

/// The id of a request in memory of its own: it is kept until the answer, which may take hours, and must not keep what the message was
/// read into.
fn own_id(frame: &Frame) -> Vec<Bytes> {
    frame.id().map(Bytes::copy_from_slice).into_iter().collect()
}

/// Puts the id of the request into an error that names none, so that its client knows what failed. As it is if that cannot be.
pub(crate) fn with_id(error: &Bytes, id: &[u8]) -> Bytes {
    const BEGIN: &[u8] = br#"{"jsonrpc":"2.0","#;
    let Some(rest) = error.strip_prefix(BEGIN) else { return error.clone() };
    [BEGIN, br#""id":"#, id, b",", rest].concat().into()
}

#[cfg(test)]
#[path = "talk_tests.rs"]
mod tests;
