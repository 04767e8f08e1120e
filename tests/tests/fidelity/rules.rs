//! The rules of `docs/reference/fidelity.md`: all that may change in a message on its way.

use crate::pieces::Slot;
use std::collections::BTreeMap;

/// What may change. Each is a row of the page's first table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    LineBreaks,
    SharedIds,
    QuestionIds,
    RequestState,
    TaskIds,
}

impl Rule {
    pub(crate) const ALL: [Self; 5] =
        [Self::LineBreaks, Self::SharedIds, Self::QuestionIds, Self::RequestState, Self::TaskIds];

    /// As the page calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LineBreaks => "line-breaks",
            Self::SharedIds => "shared-ids",
            Self::QuestionIds => "question-ids",
            Self::RequestState => "request-state",
            Self::TaskIds => "task-ids",
        }
    }
}

/// Which messages go which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    Sse,
    WebSocket,
    Stdio,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Http, Self::Sse, Self::WebSocket, Self::Stdio];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
            Self::Stdio => "stdio",
        }
    }

    /// The spelling of line breaks that a client can send at all.
    pub(crate) fn client_says(self) -> Breaks {
        if self == Self::Stdio { Breaks::Spaces } else { Breaks::Kept }
    }

    /// The same for a server, as an event of a stream where it has a choice.
    pub(crate) fn server_says(self, as_event: bool) -> Breaks {
        match self {
            Self::Stdio => Breaks::Spaces,
            Self::Sse => Breaks::Lf,
            Self::Http if as_event => Breaks::Lf,
            Self::Http | Self::WebSocket => Breaks::Kept,
        }
    }
}

/// What becomes of raw line breaks between tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaks {
    /// Nothing.
    Kept,
    /// Each CR and each LF is a space.
    Spaces,
    /// Each may be a space.
    MayBeSpaces,
    /// CR LF and CR are LF: lines of an event.
    Lf,
}

/// From a client to a server ("line-breaks").
pub(crate) fn towards_server(server: Transport) -> Breaks {
    if server == Transport::Stdio { Breaks::Spaces } else { Breaks::Kept }
}

/// From a server to a client ("line-breaks"). `as_json`: the whole body of an HTTP response.
pub(crate) fn towards_client(client: Transport, as_json: bool) -> Breaks {
    match client {
        Transport::Sse | Transport::Stdio => Breaks::Spaces,
        Transport::Http | Transport::WebSocket if as_json => Breaks::Kept,
        Transport::Http | Transport::WebSocket => Breaks::MayBeSpaces,
    }
}

/// Which rule lets the value of a slot change, if one does.
pub(crate) fn of_slot(slot: Slot, modern: bool, server: Transport) -> Option<Rule> {
    let shared = modern && server != Transport::Http;
    match slot {
        Slot::Id | Slot::Token => shared.then_some(Rule::SharedIds),
        Slot::Question => Some(Rule::QuestionIds),
        Slot::State => Some(Rule::RequestState),
        Slot::Task => Some(Rule::TaskIds),
    }
}

/// How many messages were compared, and how often each rule was needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages: usize,
    pub(crate) used: BTreeMap<Rule, usize>,
}

impl Tally {
    pub(crate) fn used(&mut self, rule: Rule) {
        *self.used.entry(rule).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        for (rule, times) in &other.used {
            *self.used.entry(*rule).or_default() += times;
        }
    }

    pub(crate) fn of(&self, rule: Rule) -> usize {
        self.used.get(&rule).copied().unwrap_or(0)
    }
}
