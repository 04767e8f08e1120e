//! `Expect: 100-continue` towards an upstream (RFC 9110 section 10.1.1).
//!
//! The body is held back until the server says 100, or until [`WAIT`] has passed: a server that ignores the expectation
//! must not make the request hang. A final response before that arrives without the body ever having been sent.

use crate::clock::Alarm;
use http::{HeaderMap, Request, StatusCode, header};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How long a body waits for 100. The RFC leaves it open; one second is what curl does.
pub(crate) const WAIT: Duration = Duration::from_secs(1);

/// Holds a body back.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    alarm: Alarm,
}

/// Opens a [`Gate`].
#[derive(Clone)]
pub(crate) struct Opener(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// Whether the request asks for 100.
pub(crate) fn is_expected(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A closed gate and what opens it.
pub(crate) fn gate(now: Instant) -> (Gate, Opener) {
    let shared = Arc::<Shared>::default();
    (Gate { shared: Arc::clone(&shared), alarm: Alarm::new(now + WAIT) }, Opener(shared))
}

/// Opens the gate at the first 100 that answers `request`.
pub(crate) fn watch<B>(request: &mut Request<B>, opener: Opener) {
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            opener.open();
        }
    });
}

impl Opener {
    pub(crate) fn open(&self) {
        self.0.open.store(true, Ordering::Release);
        let waker = self.0.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Gate {
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.shared.waker.lock() = Some(cx.waker().clone());
        // Looked at again: it may have been opened between the first look and the registration.
        if self.shared.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.alarm.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[tokio::test(start_paused = true)]
    async fn a_gate_opens_when_told_or_after_the_wait() {
        let start = clock::now();
        let (mut told, opener) = gate(start);
        tokio::spawn(async move { opener.open() });
        std::future::poll_fn(|cx| told.poll_open(cx)).await;
        assert!(clock::now() - start < WAIT);
        let (mut untold, _opener) = gate(start);
        std::future::poll_fn(|cx| untold.poll_open(cx)).await;
        assert!(clock::now() - start >= WAIT);
    }

    #[test]
    fn the_expectation_is_read_without_regard_to_case() {
        let mut headers = HeaderMap::new();
        assert!(!is_expected(&headers));
        headers.insert(header::EXPECT, "100-Continue".parse().unwrap());
        assert!(is_expected(&headers));
    }
}
