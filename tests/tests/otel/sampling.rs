//! Which requests are kept.

use super::origin::Origin;
use bytes::Bytes;
use holdfast_tests::{
    Result,
    client::Caller,
    gateway::Gateway,
    rotel::{Rotel, Span},
    wait,
};
use http_body_util::Full;
use hyper::Request;
use std::{collections::HashSet, time::Duration};

/// Requests of the long count: a sixth of a percent away is one standard deviation.
const MANY: usize = 30_000;
/// Clients at once.
const CLIENTS: usize = 8;
const FAILURES: usize = 150;

/// Sends `count` requests for `path`, each with `headers`.
async fn send(gateway: &Gateway, path: &str, count: usize, headers: &[(&str, &str)]) -> Result {
    let address = gateway.address;
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let share = count / CLIENTS + usize::from(client < count % CLIENTS);
        let (path, headers) = (path.to_owned(), own(headers));
        clients.push(tokio::spawn(async move {
            let mut caller = Caller::new(address);
            for _ in 0..share {
                let mut request = Request::get(&path).header("host", address.to_string());
                for (name, value) in &headers {
                    request = request.header(name, value);
                }
                let reply = caller.send(request.body(Full::<Bytes>::default())?).await?;
                assert_eq!(reply.status.is_success(), !path.contains("/fail"), "{reply:?}");
            }
            Result::Ok(())
        }));
    }
    for client in clients {
        client.await??;
    }
    Ok(())
}

fn own(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Everything that the gateway wanted to send has arrived.
async fn arrived(gateway: &Gateway, rotel: &Rotel) -> Result<Vec<Span>> {
    wait::until("all spans have been sent", Duration::from_secs(30), || async {
        let metrics = gateway.metrics().await.ok()?;
        let (waiting, sent) = (
            metrics.sum("holdfast_trace_spans_waiting", &[]),
            metrics.sum("holdfast_trace_spans_sent_total", &[]),
        );
        let spans = rotel.spans();
        (waiting == 0.0 && sent as usize == spans.len()).then_some(spans)
    })
    .await
}

fn servers(spans: &[Span]) -> impl Iterator<Item = &Span> {
    spans.iter().filter(|span| span.kind == "SERVER")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_tenth_is_kept_and_every_failure() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let gateway = origin
        .gateway(&format!(
            "enabled: true, service_name: edge-7, sample_rate: 0.1, interval: 100ms, endpoint: '{}'",
            rotel.endpoint()
        ))
        .await?;
    send(&gateway, "/api/fine?token=secret", MANY, &[]).await?;
    send(&gateway, "/api/fail", FAILURES, &[]).await?;
    let spans = arrived(&gateway, &rotel).await?;
    let kept = servers(&spans).filter(|span| !span.is_error).count();
    let share = kept as f64 / MANY as f64;
    println!("total: {kept} of {MANY} sampled at 10 %");
    assert!((share - 0.1).abs() < 0.01, "{kept} of {MANY}");
    assert_eq!(servers(&spans).filter(|span| span.is_error).count(), FAILURES, "every failure is kept");
    let metrics = gateway.metrics().await?;
    assert!(metrics.sum("holdfast_trace_spans_lost_total", &[]).abs() < f64::EPSILON, "nothing was lost");
    assert!(spans.iter().all(|span| span.resource["service.name"] == "edge-7"));
    let instances: HashSet<_> = spans.iter().map(|span| &span.resource["service.instance.id"]).collect();
    assert_eq!(instances.len(), 1);
    let told = format!("{spans:?}");
    assert!(!told.contains("secret"), "a query is in no span");
    let fine = servers(&spans).find(|span| !span.is_error).ok_or("no span of a success")?;
    assert_eq!(fine.name, "GET /api");
    assert_eq!((fine.get("http.route"), fine.get("url.path")), ("/api", "/api/fine"));
    assert_eq!((fine.get("http.response.status_code"), fine.get("url.scheme")), ("200", "http"));
    let failed = servers(&spans).find(|span| span.is_error).ok_or("no span of a failure")?;
    assert_eq!((failed.get("error.type"), failed.get("http.response.status_code")), ("500", "500"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_decision_is_honoured_but_failures_are_kept() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let gateway = origin
        .gateway(&format!(
            "enabled: true, sample_rate: 50%, interval: 50ms, endpoint: '{}'",
            rotel.endpoint()
        ))
        .await?;
    let yes = "00-11111111111111111111111111111111-00000000000000aa-01";
    let no = "00-22222222222222222222222222222222-00000000000000bb-00";
    send(&gateway, "/api/x", 200, &[("traceparent", no)]).await?;
    send(&gateway, "/api/x", 200, &[("traceparent", yes)]).await?;
    send(&gateway, "/api/fail", 10, &[("traceparent", no)]).await?;
    let spans = arrived(&gateway, &rotel).await?;
    let of = |trace: &str| servers(&spans).filter(|span| span.trace == trace.repeat(32)).collect::<Vec<_>>();
    assert_eq!(of("1").len(), 200);
    assert!(of("1").iter().all(|span| span.parent == "00000000000000aa" && !span.is_error));
    assert_eq!(of("2").len(), 10, "only what failed");
    assert!(of("2").iter().all(|span| span.parent == "00000000000000bb" && span.is_error));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_recorded_or_sent_where_tracing_is_off() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let gateway = origin.gateway(&format!("enabled: false, endpoint: '{}'", rotel.endpoint())).await?;
    send(&gateway, "/api/fail", 20, &[]).await?;
    let metrics = gateway.metrics().await?;
    assert_eq!(metrics.count("holdfast_trace_spans_sent_total"), 0, "there is no tracer");
    assert!(origin.seen().iter().all(|seen| seen.header("traceparent").ends_with("-00")));
    assert!(rotel.spans().is_empty());
    Ok(())
}
