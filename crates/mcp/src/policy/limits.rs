//! How much of a server one request may take: its time, its size, and its place among the calls of the same tools.

use crate::frame::{Frame, Member};
use holdfast_config::{Glob, McpServer, ToolLimits};
use holdfast_telemetry::metrics::Limit;
use holdfast_upstream::clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The limits of one server.
#[derive(Debug)]
pub(crate) struct Limits {
    request_max: usize,
    response_max: usize,
    tools: Vec<OfTools>,
}

#[derive(Debug)]
struct OfTools {
    matches: Glob,
    timeout: Option<Duration>,
    request_max: Option<usize>,
    response_max: Option<usize>,
    concurrency: Option<usize>,
    under_way: Arc<AtomicUsize>,
}

/// What one request may take. Dropped when its answer has ended.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Until the answer.
    pub(crate) until: Instant,
    /// Largest message of the answer.
    pub(crate) answer_max: usize,
    _turn: Option<Turn>,
}

/// One of the calls under way.
#[derive(Debug)]
struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Allowance {
    /// What a request may take that no limit speaks of.
    pub(crate) fn plain(until: Instant, answer_max: usize) -> Self {
        Self { until, answer_max, _turn: None }
    }
}

impl Limits {
    /// As configured.
    pub(crate) fn new(config: &McpServer) -> Self {
        let bytes = |size: Option<holdfast_config::ByteSize>| size.map(holdfast_config::ByteSize::as_usize);
        let of_tools = |tools: &ToolLimits| OfTools {
            matches: tools.tools.clone(),
            timeout: tools.timeout,
            request_max: bytes(tools.max_request_bytes),
            response_max: bytes(tools.max_response_bytes),
            concurrency: tools.max_concurrency,
            under_way: Arc::default(),
        };
        Self {
            request_max: bytes(config.max_request_bytes).unwrap_or(usize::MAX),
            response_max: bytes(config.max_response_bytes).unwrap_or(usize::MAX),
            tools: config.tools.iter().map(of_tools).collect(),
        }
    }

    /// Counts with these the calls of the tools of each pattern, instead of beginning anew.
    pub(crate) fn share(&mut self, under_way: impl Fn(&str) -> Arc<AtomicUsize>) {
        for tools in self.tools.iter_mut().filter(|tools| tools.concurrency.is_some()) {
            tools.under_way = under_way(tools.matches.as_str());
        }
    }

    /// What `frame` may take of what its caller has: `until` and `answer_max` where no limit is nearer. A tool's timeout stands in the
    /// place of the server's, shorter or longer.
    pub(crate) fn admit(&self, frame: &Frame, until: Instant, answer_max: usize) -> Result<Allowance, Limit> {
        let tools = if self.tools.is_empty() || !frame.is("tools/call") {
            None
        } else {
            let name = frame.text(Member::Name).unwrap_or_default();
            self.tools.iter().find(|tools| tools.matches.matches(&name))
        };
        let request_max = tools.and_then(|tools| tools.request_max).unwrap_or(self.request_max);
        if frame.bytes().len() > request_max {
            return Err(Limit::RequestBytes);
        }
        let response_max = tools.and_then(|tools| tools.response_max).unwrap_or(self.response_max);
        let timeout = tools.and_then(|tools| tools.timeout);
        Ok(Allowance {
            until: timeout.map_or(until, |timeout| clock::after(clock::now(), timeout)),
            answer_max: answer_max.min(response_max),
            _turn: match tools.and_then(|tools| Some((tools.concurrency?, &tools.under_way))) {
                Some((most, under_way)) => Some(turn(most, under_way).ok_or(Limit::Concurrency)?),
                None => None,
            },
        })
    }
}

fn turn(most: usize, under_way: &Arc<AtomicUsize>) -> Option<Turn> {
    let add = |now: usize| (now < most).then_some(now + 1);
    under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
    Some(Turn(Arc::clone(under_way)))
}
