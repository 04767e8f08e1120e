//! The control thread: walks through a drain and looks at certificate files. Nothing a request waits for.

use crate::{CertificateView, DrainEvent, Phase, edge::Shared, tls::Polled};
use holdfast_telemetry::EdgeMetrics;
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// Certificate files are looked at no more often than this.
const RELOAD_MIN: Duration = Duration::from_millis(10);

pub(crate) fn start(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name("edge-control".to_owned()).spawn(move || runtime.block_on(run(&shared)))
}

async fn run(shared: &Shared) {
    let mut look_at = Instant::now();
    let mut phase_ends: Option<(DrainEvent, Instant)> = None;
    let mut phase = Phase::Serving;
    while phase != Phase::Stopped {
        let timing = *shared.timing.lock();
        if shared.drain.phase() != phase {
            phase = shared.drain.phase();
            phase_ends = deadline_of(phase, timing.drain_delay, timing.max_drain);
            continue;
        }
        if look_at <= Instant::now() {
            poll_certificates(shared);
            look_at = Instant::now() + timing.reload.max(RELOAD_MIN);
        }
        tokio::select! {
            () = shared.control.notified() => {}
            () = sleep_until(look_at) => {}
            event = due(phase_ends) => {
                phase_ends = None;
                shared.event(event);
            }
        }
    }
}

/// What ends a phase by itself, and when.
fn deadline_of(phase: Phase, delay: Duration, max_drain: Duration) -> Option<(DrainEvent, Instant)> {
    match phase {
        Phase::Unready => Some((DrainEvent::DelayOver, Instant::now() + delay)),
        Phase::Closing => Some((DrainEvent::Deadline, Instant::now() + max_drain)),
        Phase::Serving | Phase::Stopped => None,
    }
}

async fn due(deadline: Option<(DrainEvent, Instant)>) -> DrainEvent {
    match deadline {
        Some((event, at)) => {
            sleep_until(at).await;
            event
        }
        None => std::future::pending().await,
    }
}

/// Looks at all certificate files and serves what changed and is sound.
pub(crate) fn poll_certificates(shared: &Shared) {
    let settings = shared.settings.load();
    let mut changed = false;
    for (socket, listener) in shared.sockets.iter().zip(&settings.listeners) {
        let Some(tls) = &listener.tls else { continue };
        let name = &socket.bound.name;
        for polled in tls.poll() {
            match polled {
                Polled::Changed(indexes) => {
                    changed = true;
                    tracing::info!(listener = %name, ?indexes, "certificates reloaded");
                }
                Polled::Failed(index, error) => {
                    if let Some(view) = tls.view(name).get(index) {
                        let file = view.file.to_string_lossy();
                        EdgeMetrics::certificate(&shared.registry, name, &file).reload_failures.inc();
                    }
                    tracing::warn!(listener = %name, %error, "certificate not reloaded, the old one goes on");
                }
            }
        }
    }
    drop(settings);
    if changed {
        publish_certificates(shared);
    }
}

/// What is served now.
pub(crate) fn certificates(shared: &Shared) -> Vec<CertificateView> {
    let settings = shared.settings.load();
    let sockets = shared.sockets.iter().zip(&settings.listeners);
    sockets
        .filter_map(|(socket, listener)| Some(listener.tls.as_ref()?.view(&socket.bound.name)))
        .flatten()
        .collect()
}

/// Sets the expiry metric of each served certificate.
pub(crate) fn publish_certificates(shared: &Shared) {
    let views = certificates(shared);
    let handles = views.iter().map(|view| {
        let metrics =
            EdgeMetrics::certificate(&shared.registry, &view.listener, &view.file.to_string_lossy());
        metrics.expiry.set(view.not_after);
        metrics
    });
    // The new handles first: a series lives as long as somebody holds it.
    let handles = handles.collect();
    *shared.certificates.lock() = handles;
}
