//! Spans on their way to the collector: OTLP over HTTP, on the control runtime, by the one way to make an attempt.
//!
//! What serves requests leaves its spans in the tracer's queue and goes on. A collector that is dead, slow or refuses costs spans,
//! which are counted, and nothing else: the queue and one message are all that is ever held.

use crate::runtime::BuildError;
use bytes::Bytes;
use holdfast_config::{Config, Endpoint, Http2Mode, Tracing, Upstream as UpstreamConfig};
use holdfast_resilience::{Deadline, Safety};
use holdfast_telemetry::Registry;
use holdfast_telemetry::metrics::{ExportResult, ScrapeHook, SpanLoss, TraceMetrics};
use holdfast_telemetry::trace::{Batch, Limits, Resource, Tracer, encode, rejected};
use holdfast_upstream::{Background, Call, CallBody, Shared, Target, Upstream, clock};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The collector's name among upstreams, in metrics and logs.
const NAME: &str = "observability.tracing";
/// Behind the endpoint (OTLP/HTTP, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// Longest answer of a collector that is read.
const ANSWER_MAX: usize = 64 << 10;
/// Bounds of the pause before a message is tried again, which doubles.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(250)..Duration::from_secs(10);
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("holdfast/", env!("CARGO_PKG_VERSION")));

/// The tracer of this process, and who empties its queue.
pub(crate) struct Export {
    pub(crate) tracer: Arc<Tracer>,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
    _waiting: ScrapeHook,
}

/// How one message ended.
enum Sent {
    /// Taken, but for so many spans.
    Taken(u64),
    /// Worth another try, not before this.
    Again(Option<Duration>, String),
    Refused(String),
}

struct Exporter {
    tracer: Arc<Tracer>,
    config: Tracing,
    resource: Resource,
    headers: HeaderMap,
    upstream: Arc<Upstream>,
    _background: Background,
}

impl Export {
    /// Starts it, if spans are wanted. Waits for no collector.
    pub(crate) fn start(
        config: &Config,
        registry: &Registry,
        control: &Handle,
        instance: String,
    ) -> Result<Option<Self>, BuildError> {
        let tracing = &config.observability.tracing;
        if !tracing.enabled {
            return Ok(None);
        }
        let limits = Limits { request: tracing.max_spans, queue: tracing.max_queue };
        let tracer = Tracer::new(tracing.sample_rate.0, limits, TraceMetrics::new(registry));
        let shared = Shared::build(config, registry, None).map_err(BuildError::Shared)?;
        let upstream = Upstream::build(&collector(config), &shared, None)
            .map_err(|source| BuildError::Upstream { name: NAME.to_owned(), source })?;
        let exporter = Exporter {
            tracer: Arc::clone(&tracer),
            resource: Resource {
                name: tracing.service_name.clone(),
                version: env!("CARGO_PKG_VERSION"),
                instance,
            },
            headers: headers(tracing),
            config: tracing.clone(),
            _background: upstream.start(control),
            upstream,
        };
        let stop = Arc::new(Notify::new());
        let task = control.spawn(exporter.run(Arc::clone(&stop)));
        let shown = Arc::clone(&tracer);
        let waiting = registry.on_scrape(move || {
            shown.metrics().waiting.set(i64::try_from(shown.waiting()).unwrap_or(i64::MAX));
        });
        Ok(Some(Self { tracer, stop, task, _waiting: waiting }))
    }

    /// Sends what waits, for at most `limit`.
    pub(crate) async fn finish(self, limit: Duration) {
        self.stop.notify_one();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(limit, self.task).await.is_err() {
            abort.abort();
            tracing::warn!(
                spans = self.tracer.waiting(),
                "spans are left behind: the collector took too long"
            );
        }
    }
}

impl Exporter {
    async fn run(self, stop: Arc<Notify>) {
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                () = tokio::time::sleep(self.config.interval) => {}
                () = self.tracer.filling() => {}
                () = stop.notified() => stopping = true,
            }
            loop {
                let batch = self.tracer.take(self.config.max_batch);
                if batch.is_empty() {
                    break;
                }
                self.deliver(&batch).await;
            }
        }
    }

    /// Sends one message, again and again if that is worth it.
    async fn deliver(&self, batch: &Batch) {
        let metrics = self.tracer.metrics();
        let (spans, begun) = (batch.len() as u64, Instant::now());
        let body = Bytes::from(encode(&self.resource, batch));
        let mut pause = PAUSE.start;
        loop {
            match self.send(body.clone()).await {
                Sent::Taken(refused) => {
                    let refused = refused.min(spans);
                    metrics.exports.inc(ExportResult::Ok);
                    metrics.sent.inc_by(spans - refused);
                    metrics.lost.get(SpanLoss::Rejected).inc_by(refused);
                    return;
                }
                Sent::Refused(why) => {
                    metrics.exports.inc(ExportResult::Refused);
                    metrics.lost.get(SpanLoss::Rejected).inc_by(spans);
                    tracing::warn!(spans, why, "the collector refuses spans");
                    return;
                }
                Sent::Again(after, why) => {
                    metrics.exports.inc(ExportResult::Again);
                    // "The client MAY" wait as long as it is told to; full jitter where it is told nothing.
                    let wait = after.unwrap_or_else(|| pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5)));
                    if begun.elapsed() + wait > self.config.retry_for {
                        metrics.lost.get(SpanLoss::Unsent).inc_by(spans);
                        tracing::warn!(spans, why, "the collector does not take spans: they are lost");
                        return;
                    }
                    tokio::time::sleep(wait).await;
                    pause = (pause * 2).min(PAUSE.end);
                }
            }
        }
    }

    async fn send(&self, body: Bytes) -> Sent {
        let until = clock::after(clock::now(), self.config.timeout);
        let mut call = Call::new(Method::POST, Target::Base, Deadline::at(until));
        call.headers = self.headers.clone();
        call.body = CallBody::Full(body);
        call.safety = Safety::Unsafe;
        let reply = match self.upstream.send(call).await {
            Ok(reply) => reply,
            Err(error) => return Sent::Again(None, error.to_string()),
        };
        let (head, body) = reply.response.into_parts();
        let status = head.status;
        let answer = clock::timeout_at(until, Limited::new(body, ANSWER_MAX).collect()).await;
        let answer = answer.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        match status {
            StatusCode::OK => Sent::Taken(answer.map_or(0, |answer| rejected(&answer))),
            // OTLP/HTTP, "Retryable Response Codes".
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Sent::Again(after.map(Duration::from_secs), status.to_string())
            }
            _ if status.is_success() => Sent::Taken(0),
            _ => Sent::Refused(status.to_string()),
        }
    }
}

/// The collector as an upstream. Nothing is repeated within a call: what is worth another try is decided here.
fn collector(config: &Config) -> UpstreamConfig {
    let tracing = &config.observability.tracing;
    let mut policy = config.routing.policy.clone();
    policy.retry.enabled = false;
    policy.health_check.enabled = false;
    policy.outlier.enabled = false;
    policy.slow_start = Duration::ZERO;
    policy.timeout = tracing.timeout;
    let url = format!("{}{PATH}", tracing.endpoint.trim_end_matches('/'));
    UpstreamConfig {
        name: NAME.to_owned(),
        endpoints: vec![Endpoint { url, weight: 1, priority: 0, zone: None }],
        policy,
        tls: tracing.tls.clone(),
        http2: Http2Mode::Auto,
    }
}

fn headers(tracing: &Tracing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers.insert(USER_AGENT, AGENT);
    for (name, value) in &tracing.headers {
        // Both were checked with the configuration.
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.expose()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}
