//! A response body that completes its access record when it ends, however it ends.

use crate::{Body, BodyError};
use bytes::Bytes;
use holdfast_telemetry::{AccessRecord, RecordOutcome, RouteMetrics};
use http::Method;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Not yet.
    Open,
    /// To its last byte.
    Whole,
    /// Its source failed.
    Failed,
}

/// Made by [`Body::recorded`]. Dropping it is the end of the request: duration and bytes are filled in, the route's metrics are
/// updated once, and the record is emitted once.
///
/// A body that was dropped before its end means that the client went away: [`RecordOutcome::ClientAbort`]. A failed source means
/// [`RecordOutcome::Truncated`]. An outcome that was already set to anything but `Ok` is kept.
#[derive(Debug)]
pub struct Recorded {
    body: Body,
    record: Box<AccessRecord>,
    metrics: Option<Arc<RouteMetrics>>,
    started: Instant,
    expected: Option<u64>,
    end: End,
}

impl Recorded {
    pub(crate) fn new(
        body: Body,
        record: Box<AccessRecord>,
        metrics: Option<Arc<RouteMetrics>>,
        started: Instant,
    ) -> Self {
        let expected = body.size_hint().exact();
        Self { body, record, metrics, started, expected, end: End::Open }
    }

    /// The record, for what becomes known only while the body streams.
    pub fn record_mut(&mut self) -> &mut AccessRecord {
        &mut self.record
    }

    /// Whether everything that the client was to get was handed out. The HTTP layer stops asking at the declared length, and does
    /// not ask at all for `HEAD`, 204 and 304.
    fn is_whole(&self) -> bool {
        self.end == End::Whole
            || self.body.is_end_stream()
            || self.expected == Some(self.record.bytes_out)
            || self.record.method == Method::HEAD
            || matches!(self.record.status, 101 | 204 | 304)
    }
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                self.record.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(_)) => self.end = End::Failed,
            None => self.end = End::Whole,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.record.duration = self.started.elapsed();
        if self.record.outcome == RecordOutcome::Ok {
            self.record.outcome = match self.end {
                End::Failed => RecordOutcome::Truncated,
                End::Open if !self.is_whole() => RecordOutcome::ClientAbort,
                End::Open | End::Whole => RecordOutcome::Ok,
            };
        }
        if let Some(metrics) = &self.metrics {
            metrics.count(&self.record);
        }
        self.record.emit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use holdfast_telemetry::Registry;
    use http_body_util::{BodyExt as _, StreamBody};
    use std::collections::BTreeMap;

    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn streamed(items: Vec<Item>) -> Body {
        Body::boxed(StreamBody::new(stream::iter(items)))
    }

    #[allow(clippy::unnecessary_wraps, reason = "an item of a stream that can fail")]
    fn data(text: &'static str) -> Item {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn outcomes(route: &RouteMetrics) -> Vec<(RecordOutcome, u64)> {
        route.outcomes.iter().map(|(label, count)| (label, count.get())).filter(|(_, n)| *n > 0).collect()
    }

    fn recorded(body: Body, change: impl FnOnce(&mut AccessRecord)) -> (Body, Arc<RouteMetrics>) {
        let registry = Registry::new(&BTreeMap::new()).expect("registry");
        let metrics = Arc::new(RouteMetrics::new(&registry, "r"));
        let mut record = AccessRecord { status: 200, ..AccessRecord::default() };
        change(&mut record);
        (body.recorded(record, Some(Arc::clone(&metrics)), Instant::now()), metrics)
    }

    #[tokio::test]
    async fn a_body_read_to_its_end_is_ok_and_counted_once() {
        let (body, metrics) = recorded(streamed(vec![data("abc"), data("de")]), |_| {});
        assert_eq!(body.collect().await.expect("body").to_bytes(), "abcde");
        assert_eq!(outcomes(&metrics), [(RecordOutcome::Ok, 1)]);
        assert_eq!(metrics.bytes_out.get(), 5);
    }

    #[tokio::test]
    async fn a_dropped_body_is_a_client_that_left() {
        let (mut body, metrics) = recorded(streamed(vec![data("abc"), data("de")]), |_| {});
        body.frame().await.expect("frame").expect("data");
        drop(body);
        assert_eq!(outcomes(&metrics), [(RecordOutcome::ClientAbort, 1)]);
    }

    #[tokio::test]
    async fn a_failed_source_is_truncated() {
        let broken = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let (body, metrics) = recorded(streamed(vec![data("abc"), broken]), |_| {});
        assert!(body.collect().await.is_err());
        assert_eq!(outcomes(&metrics), [(RecordOutcome::Truncated, 1)]);
    }

    #[tokio::test]
    async fn a_full_body_is_whole_although_nobody_asks_for_its_end() {
        let (mut body, metrics) = recorded(Body::full("abc"), |_| {});
        body.frame().await.expect("frame").expect("data");
        drop(body);
        assert_eq!(outcomes(&metrics), [(RecordOutcome::Ok, 1)]);
    }

    #[test]
    fn answers_without_a_body_are_whole() {
        let (body, head) = recorded(Body::full("abc"), |record| record.method = Method::HEAD);
        drop(body);
        let (body, not_modified) = recorded(Body::full("abc"), |record| record.status = 304);
        drop(body);
        assert_eq!(outcomes(&head), [(RecordOutcome::Ok, 1)]);
        assert_eq!(outcomes(&not_modified), [(RecordOutcome::Ok, 1)]);
    }

    #[test]
    fn a_verdict_of_the_handler_is_kept() {
        let (body, metrics) = recorded(Body::full("no"), |record| record.outcome = RecordOutcome::Rejected);
        drop(body);
        assert_eq!(outcomes(&metrics), [(RecordOutcome::Rejected, 1)]);
    }
}
