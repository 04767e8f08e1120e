//! An open HTTP connection: HTTP/1.1, one request at a time, or a share in an HTTP/2 connection.

use crate::{BoxError, clock, h1::Http1, out_body::OutBody};
use futures_util::TryFutureExt as _;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Streams of one HTTP/2 connection that we open at most, whatever the server allows.
pub(crate) const H2_STREAMS_MAX: usize = 256;

/// Either kind, checked out for one request.
pub(crate) enum Connection {
    Http1(Http1),
    Http2(Http2Lease),
}

/// An HTTP/2 connection, shared by the requests of one worker.
pub(crate) struct Http2 {
    sender: http2::SendRequest<OutBody>,
    /// SETTINGS_MAX_CONCURRENT_STREAMS of the server, as of the last request. A lower value that came since makes
    /// hyper hold a stream back, a higher one costs at most one more connection.
    streams_max: Arc<AtomicUsize>,
    active: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// One request's share in an HTTP/2 connection.
pub(crate) struct Http2Lease {
    connection: Arc<Http2>,
    sender: http2::SendRequest<OutBody>,
    fresh: bool,
    /// Told when the stream ends, for those who wait.
    pool: Weak<crate::pool::Pool>,
}

/// Why there is no response head.
pub(crate) struct SendFailure {
    pub(crate) error: BoxError,
    /// The request never left: no server can have seen it.
    pub(crate) unsent: bool,
    /// The connection was dead before the request came: another one of the same endpoint may be fine.
    pub(crate) stale: bool,
    /// The request's own body failed: not the server's doing.
    pub(crate) ours: bool,
}

impl Connection {
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// It carried a request before.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_reused(),
            Self::Http2(lease) => !lease.fresh,
        }
    }

    /// Whether it lay idle for as long as `limit`.
    pub(crate) fn is_idle_since(&self, limit: Duration, now: Instant) -> bool {
        match self {
            Self::Http1(connection) => connection.is_idle_since(limit, now),
            Self::Http2(_) => false,
        }
    }

    /// Whether the server has kept it open, by the kernel's word. HTTP/2 tells by GOAWAY, so only HTTP/1.1 looks.
    pub(crate) fn verify(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.verify(),
            Self::Http2(_) => true,
        }
    }
}

impl Http2Lease {
    /// Sends a request and waits for the response head. Dropping the future resets the stream.
    pub(crate) fn send(
        &mut self,
        request: Request<OutBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendFailure>> {
        self.sender.try_send_request(request).map_err(|failure| {
            let stale = failure.message().is_some();
            let error = failure.into_error();
            SendFailure { unsent: stale || is_unprocessed(&error), stale, ours: false, error: error.into() }
        })
    }
}

impl Http2 {
    pub(crate) fn new(sender: http2::SendRequest<OutBody>, streams_max: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            sender,
            streams_max,
            active: AtomicUsize::new(0),
            idle_since: Mutex::new(clock::now()),
        })
    }

    /// A share in it, unless it is closing (GOAWAY, RFC 9113 section 6.8) or has all the streams it may have.
    pub(crate) fn lease(self: &Arc<Self>, pool: &Arc<crate::pool::Pool>, fresh: bool) -> Option<Http2Lease> {
        if self.sender.is_closed() || !self.sender.is_ready() {
            return None;
        }
        let limit = self.streams_max.load(Ordering::Relaxed).min(H2_STREAMS_MAX);
        let more = |active| (active < limit).then_some(active + 1);
        self.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        let sender = self.sender.clone();
        Some(Http2Lease { connection: Arc::clone(self), sender, fresh, pool: Arc::downgrade(pool) })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Since when nobody uses it, if nobody does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.active.load(Ordering::Acquire) == 0).then(|| *self.idle_since.lock())
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        if self.connection.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.connection.idle_since.lock() = clock::now();
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.stream_ended(&self.connection);
        }
    }
}

/// The server says that it has not processed the stream: REFUSED_STREAM (RFC 9113 section 8.7), or a GOAWAY whose last
/// stream is a lower one (section 6.8; streams up to it do not get this error).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            return h2.is_remote() && (refused || h2.is_go_away());
        }
        source = cause.source();
    }
    false
}
