//! A server's messages on their way to a caller: what they say of tools is noted, and what the caller may not see is taken out.
//!
//! One place for every transport, era and endpoint, and for what the gateway asks on its own account (decisions 0016, 0019).

use crate::{
    exchange::Answer,
    frame::{Frame, Kind, Member},
    policy::{Pins, Screened, Sight, View, screen},
    source::answer_limits,
    state::{Before, News, ToolsView, Verdict, Watch},
};
use holdfast_telemetry::metrics::McpMetrics;
use holdfast_upstream::clock;
use std::{fmt, sync::Arc};

/// What is held against the tools of one server.
pub(crate) struct Watched {
    pub(crate) name: Arc<str>,
    pub(crate) pins: Option<Pins>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) metrics: Arc<McpMetrics>,
}

/// Through which one caller sees a server.
#[derive(Clone)]
pub(crate) struct Lens {
    pub(crate) view: Option<Arc<View>>,
    pub(crate) watched: Arc<Watched>,
}

impl Lens {
    /// Whether anything may have to be hidden.
    pub(crate) fn hides(&self) -> bool {
        self.view.is_some() || self.watched.pins.is_some()
    }

    /// What the caller may see of `message`.
    pub(crate) fn see(&self, message: &Frame) -> Screened {
        self.watched.see(self.view.as_deref(), message)
    }
}

impl Watched {
    /// Notes what `message` says of tools, and tells what the caller of `view` may see of it.
    fn see(&self, view: Option<&View>, message: &Frame) -> Screened {
        match message.kind() {
            Kind::Response => {
                if let Some(list) = message.raw(Member::Tools) {
                    self.learn(list);
                }
            }
            Kind::Notification if self.pins.is_some() => {
                if message.is("notifications/tools/list_changed") {
                    self.watch.outdated();
                }
            }
            Kind::Request | Kind::Notification | Kind::ErrorResponse => {}
        }
        if view.is_none() && self.pins.is_none() {
            return Screened::AsIs;
        }
        let sight = Sight::new(view, self.pins.as_ref());
        let screened = screen(&sight, message);
        self.metrics.tools_withheld.inc_by(sight.withheld());
        screened
    }

    /// A JSON answer as its reader may see it.
    pub(crate) fn seen(&self, answer: Answer, view: Option<&View>) -> Answer {
        let Answer::Message(head, frame) = answer else { return answer };
        match self.see(view, &frame) {
            Screened::AsIs => Answer::Message(head, frame),
            Screened::Changed(bytes) => {
                let limits = answer_limits(bytes.len());
                match Frame::parse(bytes, &limits) {
                    Ok(frame) => Answer::Message(head, frame),
                    Err(_) => Answer::Bare(head),
                }
            }
            Screened::Dropped => Answer::Bare(head),
        }
    }

    /// What may be thought of a tool; without pins every tool is as good as another.
    pub(crate) fn judge(&self, tool: &str) -> Verdict {
        self.pins.as_ref().map_or(Verdict::Pinned, |pins| self.watch.judge(pins, tool, clock::now()))
    }

    /// For `/status`.
    pub(crate) fn view(&self) -> ToolsView {
        self.watch.view(self.pins.as_ref())
    }

    fn learn(&self, list: &[u8]) {
        for news in self.watch.learn(list, self.pins.is_some(), clock::now()) {
            let other = self.pins.as_ref().is_some_and(|pins| !pins.hold(&news.tool, news.new));
            let changed = news.old != Before::Unseen;
            if changed {
                self.metrics.tool_changes.inc();
            }
            if (other || changed)
                && let Some(kept_back) = self.watch.line(clock::now())
            {
                self.tell(&news, other, kept_back);
            }
        }
    }

    /// One line, without a word of the description.
    fn tell(&self, news: &News, other: bool, kept_back: u64) {
        let (server, tool, new) = (&*self.name, &*news.tool, Shown(news.new));
        let old = match news.old {
            Before::Unseen => None,
            Before::Was(digest) => Some(Shown(digest)),
        };
        let old = old.as_ref().map(tracing::field::display);
        match (other, old.is_some()) {
            (false, _) => {
                tracing::warn!(server, tool, old, %new, kept_back, "a tool has another definition than before");
            }
            (true, true) => tracing::warn!(
                server,
                tool,
                old,
                %new,
                kept_back,
                "a tool has another definition than before, which is not a pinned one: it is neither shown nor called"
            ),
            (true, false) => tracing::warn!(
                server,
                tool,
                %new,
                kept_back,
                "the definition of a tool is not a pinned one: it is neither shown nor called"
            ),
        }
    }
}

/// A digest, or that there is none.
struct Shown(Option<crate::policy::Digest>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(digest) => digest.fmt(f),
            None => f.write_str("none"),
        }
    }
}
