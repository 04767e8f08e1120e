//! Active probes: on connections of their own, so that a full pool or a stuck stream does not colour the verdict.

use crate::{
    BoxError,
    address::AddressRules,
    clock,
    connect::{self, Place, Purpose},
    endpoint::Endpoint,
    h1::{Http1, RequestHead, Rest},
    io::{Io, Stream},
    out_body::Source,
};
use holdfast_config::ProbeKind;
use holdfast_telemetry::metrics::ProbeResult;
use http::{HeaderMap, HeaderValue, Method, header, uri::PathAndQuery};
use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

/// Share of the interval by which a pause is longer or shorter, so that many gateways do not probe in step.
const JITTER: f64 = 0.1;

/// First pause after a call could not reach the endpoint; doubles up to the interval.
const DOUBT_FIRST: Duration = Duration::from_millis(50);

/// Probes one endpoint until it is gone. The first probe comes at once; so does the next when a call could not reach the endpoint,
/// and then in quick succession until probes agree or the interval is reached again: neither death nor return waits for
/// an interval.
pub(crate) async fn run(endpoint: Weak<Endpoint>, rules: AddressRules) {
    let mut doubt = Doubt::default();
    loop {
        let Some(current) = endpoint.upgrade() else { return };
        let check = current.health_check();
        let result = clock::timeout(check.timeout, probe(&current, rules)).await;
        let healthy = matches!(result, Ok(Ok(())));
        record(&current, healthy, &result);
        let pause = doubt.after(healthy, check.healthy_threshold, check.interval);
        let told = Arc::clone(&current.doubt);
        let usual = jittered(check.interval);
        // The endpoint must not be kept alive by the pause.
        drop(current);
        match pause {
            Some(pause) => tokio::time::sleep(jittered(pause)).await,
            None => {
                if tokio::time::timeout(usual, told.notified()).await.is_ok() {
                    doubt.begin();
                }
            }
        }
    }
}

/// The pauses of a prober that was told of a failed call.
#[derive(Debug, Default)]
struct Doubt {
    /// The next pause; `None` = no doubt.
    step: Option<Duration>,
    healthy_run: u32,
}

impl Doubt {
    fn begin(&mut self) {
        *self = Self { step: Some(DOUBT_FIRST), healthy_run: 0 };
    }

    /// The pause after a probe, or `None` for the usual one. Good news is confirmed quickly.
    fn after(&mut self, healthy: bool, rise: u32, interval: Duration) -> Option<Duration> {
        let step = self.step?;
        self.healthy_run = if healthy { self.healthy_run + 1 } else { 0 };
        if self.healthy_run >= rise || step >= interval {
            self.step = None;
            return None;
        }
        if healthy {
            return Some(DOUBT_FIRST.min(interval));
        }
        self.step = Some(step * 2);
        Some(step)
    }
}

fn record(endpoint: &Endpoint, healthy: bool, result: &Result<Result<(), BoxError>, clock::Elapsed>) {
    endpoint.metrics.probes.inc(if healthy { ProbeResult::Ok } else { ProbeResult::Failed });
    if let Some(change) = endpoint.state.record_probe(healthy, clock::now()) {
        let why = match result {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::info!(endpoint = %endpoint.key, ?change, why, "probes changed an endpoint's health");
    }
}

async fn probe(endpoint: &Endpoint, rules: AddressRules) -> Result<(), BoxError> {
    let check = endpoint.health_check();
    let place = probe_place(&endpoint.place, check.port);
    if place.addresses.iter().any(|address| !rules.allows(address.ip())) {
        return Err("the address is link-local or a metadata address".into());
    }
    match &check.kind {
        ProbeKind::Tcp => connect::open_tcp(&place.addresses).await.map(drop),
        ProbeKind::Http { path } => {
            let opened = connect::open(&place, Purpose::Upgrade).await;
            let stream = opened.map_err(|error| match error {
                connect::ConnectError::Tcp(source) | connect::ConnectError::Tls(source) => source,
            })?;
            ask(stream, path, endpoint).await
        }
    }
}

/// The endpoint's place, on the probe's port. HTTP probes speak HTTP/1.1.
fn probe_place(place: &Place, port: Option<u16>) -> Place {
    let address = |address: &SocketAddr| SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
    let addresses = place.addresses.iter().map(address).collect();
    Place { addresses, tls: place.tls.clone(), http2: place.http2 }
}

async fn ask(stream: Stream, path: &str, endpoint: &Endpoint) -> Result<(), BoxError> {
    let agent = HeaderValue::from_static(concat!("holdfast-probe/", env!("CARGO_PKG_VERSION")));
    let close = HeaderValue::from_static("close");
    let headers = HeaderMap::from_iter([(header::USER_AGENT, agent), (header::CONNECTION, close)]);
    let path: PathAndQuery = path.parse()?;
    let target = ("", &path);
    let host = endpoint.host_header();
    let head = RequestHead { method: &Method::GET, target, headers: &headers, host };
    let rest = Rest { body: Source::Empty.attempt(None), opener: None };
    let mut connection = Http1::new(Io::new(stream, None));
    let status = connection.send(&head, rest).await.map_err(|failure| failure.error)?.status();
    // 2xx and 3xx are healthy.
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("status {status}").into())
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_by_a_tenth() {
        let interval = Duration::from_secs(10);
        for _ in 0..1_000 {
            let pause = jittered(interval);
            assert!(pause >= Duration::from_secs(9) && pause <= Duration::from_secs(11));
        }
        assert_ne!(jittered(interval), jittered(interval));
    }

    #[test]
    fn doubt_doubles_its_pauses_up_to_the_interval() {
        let mut doubt = Doubt::default();
        let interval = Duration::from_millis(300);
        assert_eq!(doubt.after(false, 2, interval), None);
        doubt.begin();
        let pauses: Vec<_> = std::iter::from_fn(|| doubt.after(false, 2, interval)).collect();
        assert_eq!(pauses, [50, 100, 200].map(Duration::from_millis));
        assert_eq!(doubt.after(false, 2, interval), None);
    }

    #[test]
    fn doubt_ends_when_probes_agree_that_the_endpoint_is_there() {
        let mut doubt = Doubt::default();
        let interval = Duration::from_secs(5);
        doubt.begin();
        for _ in 0..4 {
            doubt.after(false, 2, interval);
        }
        assert_eq!(doubt.after(true, 2, interval), Some(DOUBT_FIRST));
        assert_eq!(doubt.after(true, 2, interval), None);
    }

    #[test]
    fn a_probe_port_replaces_the_endpoints() {
        let place = Place {
            addresses: vec!["127.0.0.1:80".parse().unwrap()],
            tls: None,
            http2: connect::Http2Use::Never,
        };
        assert_eq!(probe_place(&place, Some(9000)).addresses[0].port(), 9000);
        assert_eq!(probe_place(&place, None).addresses[0].port(), 80);
    }
}
