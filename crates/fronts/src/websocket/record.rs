//! The access record of a WebSocket.

use holdfast_edge::RequestContext;
use holdfast_telemetry::{AccessRecord, RecordOutcome, RouteMetrics, metrics::ConversationEnd};
use std::{sync::Arc, time::Instant};

/// Written, and counted, when it is dropped: once for the whole conversation.
pub struct Sequel {
    record: Box<AccessRecord>,
    metrics: Arc<RouteMetrics>,
    started: Instant,
}

/// Bytes of messages in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) said: u64,
    pub(super) told: u64,
}

impl Sequel {
    /// Takes the record of the upgrade out of its context.
    pub fn new(context: &mut RequestContext, metrics: &Arc<RouteMetrics>) -> Self {
        let mut record = std::mem::take(&mut context.record);
        record.status = 101;
        record.streaming = true;
        record.first_byte = Some(context.started.elapsed());
        // If the worker ends before the conversation does, this is what happened.
        record.outcome = RecordOutcome::EndedDrain;
        metrics.tunnels.inc();
        Self { record, metrics: Arc::clone(metrics), started: context.started }
    }

    /// The client took the 101 and nothing more.
    pub(super) fn never_began(mut self) {
        self.record.outcome = RecordOutcome::ClientAbort;
    }

    pub(super) fn ended(mut self, end: ConversationEnd, traffic: Traffic) {
        self.record.bytes_in = traffic.said;
        self.record.bytes_out = traffic.told;
        (self.record.outcome, self.record.reason) = match end {
            ConversationEnd::Whole => (RecordOutcome::Ok, ""),
            ConversationEnd::Gone => (RecordOutcome::ClientAbort, ""),
            ConversationEnd::Stuck => (RecordOutcome::ClientAbort, "stuck"),
            ConversationEnd::Broken => (RecordOutcome::ClientAbort, "broken"),
            ConversationEnd::Unwelcome => (RecordOutcome::Ok, "unwelcome"),
            ConversationEnd::Drained => (RecordOutcome::EndedDrain, ""),
        };
    }
}

impl Drop for Sequel {
    fn drop(&mut self) {
        self.record.duration = self.started.elapsed();
        self.metrics.tunnels.dec();
        self.metrics.count(&self.record);
        self.record.emit();
    }
}
