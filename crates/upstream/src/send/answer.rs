//! From a response head to a [`Reply`].

use super::{Ended, Run};
use crate::{
    EndpointKey, Reply, ReplyBody, Timings, UpgradedIo,
    attempt::{Head, Progress},
    connect::Purpose,
    connection::Connection,
    hold::{Hold, Place},
    verdict,
};
use http::StatusCode;
use std::time::{Duration, Instant};

impl Run<'_> {
    /// Whether an upgrade that was asked for is agreed to.
    pub(super) fn is_switching(&self, head: &Head) -> bool {
        let switching = head.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        switching && self.ask.purpose == Purpose::Upgrade && matches!(head.connection, Connection::Http1(_))
    }

    /// A response head: the verdict on it, and the body that holds everything until its end.
    pub(super) fn answered(
        &self,
        head: Head,
        mut hold: Hold,
        place: Place,
        progress: &Progress,
        (begun, now): (Instant, Instant),
    ) -> Ended {
        let Head { response, incoming, connection } = head;
        let outcome = verdict::of(response.status(), response.headers());
        let event_stream = verdict::is_event_stream(response.headers());
        let streaming = self.streaming || event_stream;
        let retryable = verdict::retryable(response.status(), outcome);
        hold.keep(connection);
        hold.status(response.status());
        hold.head(outcome, streaming, now);
        let endpoint = hold.endpoint().key.clone();
        let timings = self.timings(progress, (begun, now));
        let idle = if streaming {
            self.upstream.shared.stream_idle_timeout
        } else {
            self.upstream.body_idle_timeout
        };
        let body = ReplyBody::new(incoming, hold, outcome, place, idle, now);
        let response = response.map(|()| body);
        let reply = Reply { event_stream, ..self.reply(response, endpoint, timings, None) };
        Ended::Response(reply, retryable)
    }

    /// The answer to an upgrade that was agreed to: the connection is handed over instead of a body.
    pub(super) fn switched(
        &self,
        head: Head,
        mut hold: Hold,
        place: Place,
        progress: &Progress,
        (begun, now): (Instant, Instant),
    ) -> Ended {
        let Head { response, connection, .. } = head;
        let outcome = verdict::of(response.status(), response.headers());
        hold.status(response.status());
        hold.head(outcome, self.streaming, now);
        let endpoint = hold.endpoint().key.clone();
        let timings = self.timings(progress, (begun, now));
        let upgraded = match connection {
            Connection::Http1(connection) => {
                Some(Box::new(UpgradedIo::new(connection.into_upgraded(), hold, place)))
            }
            // Only HTTP/1.1 is asked to switch: see `is_switching`.
            Connection::Http2(_) => None,
        };
        let response = response.map(|()| ReplyBody::empty());
        Ended::Response(self.reply(response, endpoint, timings, upgraded), None)
    }

    /// Where the time went, and the latency of the attempt for the metrics.
    fn timings(&self, progress: &Progress, (begun, now): (Instant, Instant)) -> Timings {
        let waited = now - begun;
        self.upstream.metrics.first_byte.observe(waited);
        let before = if self.number == 1 { Duration::ZERO } else { begun - self.start };
        let connect = match progress.connected {
            Some(at) if !progress.reused => at - begun,
            Some(_) | None => Duration::ZERO,
        };
        Timings { before, connect, head: before + waited, reused: progress.reused }
    }

    fn reply(
        &self,
        response: http::Response<ReplyBody>,
        endpoint: EndpointKey,
        timings: Timings,
        upgraded: Option<Box<UpgradedIo>>,
    ) -> Reply {
        Reply { response, endpoint, attempts: self.number, timings, upgraded, event_stream: false }
    }
}
