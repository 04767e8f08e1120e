//! Which requests are traced, and what waits to be sent on.

use super::{Beginning, Kept, Trace, TraceContext};
use crate::metrics::{SpanLoss, TraceMetrics};
use parking_lot::Mutex;
use std::{cell::RefCell, collections::VecDeque, fmt, sync::Arc};
use tokio::sync::Notify;

/// Random bits of a trace id that decide.
const CHANCE_BITS: u32 = 56;

thread_local! {
    static RNG: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::new());
}

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Spans of one request, besides its own.
    pub request: usize,
    /// Spans that wait to be sent on.
    pub queue: usize,
}

/// One per process. A request whose caller made no decision is sampled by its trace id, so that all replicas decide alike.
pub struct Tracer {
    /// A trace whose chance is below is sampled.
    threshold: u64,
    limits: Limits,
    queue: Mutex<Queue>,
    metrics: TraceMetrics,
    /// Told when the queue is half full.
    filling: Notify,
}

#[derive(Default)]
struct Queue {
    kept: VecDeque<Kept>,
    spans: usize,
}

impl Tracer {
    /// A tracer that samples this share, 0 to 1, of the traces that begin here.
    pub fn new(share: f64, limits: Limits, metrics: TraceMetrics) -> Arc<Self> {
        let threshold = (share.clamp(0.0, 1.0) * (1u64 << CHANCE_BITS) as f64) as u64;
        Arc::new(Self { threshold, limits, queue: Mutex::default(), metrics, filling: Notify::new() })
    }

    /// Begins to keep the spans of a request. Its caller's decision stands; where it made none, `context` gets ours.
    pub fn begin(self: &Arc<Self>, context: &mut TraceContext, beginning: Beginning<'_>) -> Arc<Trace> {
        if !context.is_continued() {
            *context = context.sampled(context.chance() < self.threshold);
        }
        Arc::new(Trace::new(self, *context, beginning))
    }

    /// What counts it.
    pub fn metrics(&self) -> &TraceMetrics {
        &self.metrics
    }

    pub(super) fn spans_max(&self) -> usize {
        self.limits.request
    }

    pub(super) fn child(parent: &TraceContext) -> TraceContext {
        RNG.with_borrow_mut(|rng| parent.child(rng))
    }

    /// Spans of one request were too many.
    pub(super) fn lost(&self, spans: u64) {
        if spans > 0 {
            self.metrics.lost.get(SpanLoss::Request).inc_by(spans);
        }
    }

    /// Queues what is kept; what does not fit is lost and counted. Never waits for whoever sends it on.
    pub(super) fn put(&self, kept: Kept) {
        let spans = kept.len();
        let mut queue = self.queue.lock();
        let before = queue.spans;
        if before + spans > self.limits.queue {
            drop(queue);
            self.metrics.lost.get(SpanLoss::Queue).inc_by(spans as u64);
            return;
        }
        queue.spans += spans;
        queue.kept.push_back(kept);
        drop(queue);
        let half = self.limits.queue / 2;
        if before < half && before + spans >= half {
            self.filling.notify_one();
        }
    }

    /// The oldest of what waits: at most `max` spans, and at least one request's if there is any.
    pub fn take(&self, max: usize) -> Batch {
        let mut queue = self.queue.lock();
        let mut batch = Batch::default();
        while let Some(next) = queue.kept.front() {
            if batch.spans > 0 && batch.spans + next.len() > max {
                break;
            }
            batch.spans += next.len();
            batch.kept.extend(queue.kept.pop_front());
        }
        queue.spans -= batch.spans;
        batch
    }

    /// Spans that wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().spans
    }

    /// Waits until the queue is half full.
    pub async fn filling(&self) {
        self.filling.notified().await;
    }
}

/// Some of what waited.
#[derive(Default)]
pub struct Batch {
    pub(super) kept: Vec<Kept>,
    spans: usize,
}

impl Batch {
    /// How many spans it is.
    pub fn len(&self) -> usize {
        self.spans
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans == 0
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("spans", &self.spans).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("limits", &self.limits).finish_non_exhaustive()
    }
}
