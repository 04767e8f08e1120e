//! Collectors that do not do their part: traffic must not notice, memory must not grow, and what is lost is counted.

use super::origin::Origin;
use bytes::Bytes;
use holdfast_tests::{Result, client::Caller, gateway::Gateway, metrics::Metrics, place, rotel::Rotel, wait};
use http_body_util::Full;
use hyper::Request;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinHandle};

const LIMIT: Duration = Duration::from_secs(30);
/// Spans that may wait.
const QUEUE: f64 = 400.0;

/// Clients that ask until they are told to stop; any answer but 200 ends the test.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Result>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..4).map(|_| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut caller = Caller::new(address);
                while !stop.load(Relaxed) {
                    let request = Request::get("/api/x").header("host", "x").body(Full::<Bytes>::default())?;
                    let reply = caller.send(request).await?;
                    if reply.status != 200 {
                        return Err(format!("{} although only the collector is ill", reply.status).into());
                    }
                    asked.fetch_add(1, Relaxed);
                }
                Ok(())
            })
        });
        let clients = clients.collect();
        Self { stop, asked, clients }
    }

    /// Waits for `count` more answers.
    async fn more(&self, count: usize) -> Result {
        let until = self.asked.load(Relaxed) + count;
        let enough = || async { (self.asked.load(Relaxed) >= until).then_some(()) };
        wait::until("traffic goes on", LIMIT, enough).await
    }

    async fn end(self) -> Result {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.await??;
        }
        Ok(())
    }
}

async fn until(gateway: &Gateway, what: &str, look: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
    wait::until(what, LIMIT, || async { gateway.metrics().await.ok().filter(&look) }).await
}

fn lost(metrics: &Metrics, reason: &str) -> f64 {
    metrics.sum("holdfast_trace_spans_lost_total", &[&format!("reason=\"{reason}\"")])
}

fn tracing(endpoint: &str) -> String {
    format!(
        "enabled: true, sample_rate: 100%, interval: 50ms, timeout: 200ms, retry_for: 1s, max_queue: {QUEUE}, max_batch: 100, endpoint: '{endpoint}'"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_killed_under_load_costs_spans_and_nothing_else() -> Result {
    let origin = Origin::start().await?;
    let mut rotel = Rotel::start().await?;
    let gateway = origin.gateway(&tracing(&rotel.endpoint())).await?;
    let load = Load::start(gateway.address);
    until(&gateway, "spans arrive", |metrics| metrics.sum("holdfast_trace_spans_sent_total", &[]) > 200.0)
        .await?;
    rotel.kill()?;
    until(&gateway, "the queue is full and a message is given up", |metrics| {
        lost(metrics, "queue") > 2000.0 && lost(metrics, "unsent") > 0.0
    })
    .await?;
    let before = gateway.memory()?;
    load.more(3000).await?;
    let metrics = gateway.metrics().await?;
    assert!(metrics.sum("holdfast_trace_spans_waiting", &[]) <= QUEUE);
    let grown = gateway.memory()?.saturating_sub(before);
    println!("total: collector dead: {grown} KiB more after 3000 requests");
    assert!(grown < 8 * 1024, "{grown} KiB more");
    let back = Rotel::start_at(rotel.address()).await?;
    back.until("spans arrive again", |spans| (spans.len() > 200).then_some(())).await?;
    load.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_is_waited_for_no_longer_than_configured() -> Result {
    let origin = Origin::start().await?;
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let gateway = origin.gateway(&tracing(&format!("http://{}", silent.local_addr()?))).await?;
    let load = Load::start(gateway.address);
    let holding = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            all.push(stream);
        }
    });
    until(&gateway, "messages are tried again and given up", |metrics| {
        metrics.sum("holdfast_trace_exports_total", &["result=\"again\""]) >= 2.0
            && lost(metrics, "unsent") > 0.0
            && lost(metrics, "queue") > 0.0
    })
    .await?;
    load.more(500).await?;
    holding.abort();
    load.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_is_not_asked_again_for_the_same_spans() -> Result {
    let origin = Origin::start().await?;
    let refusing = TcpListener::bind("127.0.0.1:0").await?;
    let gateway = origin.gateway(&tracing(&format!("http://{}", refusing.local_addr()?))).await?;
    let load = Load::start(gateway.address);
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = refusing.accept().await {
            // Whatever was asked; the connection ends with the answer.
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            tokio::spawn(async move {
                let mut stream = stream.split();
                let mut asked = [0; 4096];
                let _ = tokio::io::AsyncReadExt::read(&mut stream.0, &mut asked).await;
                stream.1.write_all(answer).await
            });
        }
    });
    until(&gateway, "spans are refused", |metrics| {
        metrics.sum("holdfast_trace_exports_total", &["result=\"refused\""]) >= 2.0
            && lost(metrics, "rejected") > 0.0
    })
    .await?;
    load.more(500).await?;
    answering.abort();
    load.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_at_the_end_is_sent_and_a_dead_collector_holds_nobody_up() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let slow = "enabled: true, sample_rate: 100%, interval: 1m";
    for (endpoint, arrives) in
        [(rotel.endpoint(), true), (format!("http://{}", place::free_address()?), false)]
    {
        let mut gateway = origin.gateway(&format!("{slow}, endpoint: '{endpoint}'")).await?;
        let request = Request::get("/api/x").header("host", "x").body(Full::<Bytes>::default())?;
        assert_eq!(Caller::new(gateway.address).send(request).await?.status, 200);
        gateway.signal(nix::sys::signal::Signal::SIGTERM)?;
        assert!(gateway.ended(LIMIT).await?.success());
        if arrives {
            assert_eq!(rotel.servers(1).await?.len(), 2);
        }
    }
    Ok(())
}

#[tokio::test]
async fn headers_for_the_collector_are_sent_and_never_shown() -> Result {
    let (origin, collector) = (Origin::start().await?, Origin::start().await?);
    let tracing = format!(
        "enabled: true, sample_rate: 100%, interval: 50ms, headers: {{x-api-key: a-secret-of-ours}}, endpoint: 'http://{}/otlp/'",
        collector.address
    );
    let gateway = origin.gateway(&tracing).await?;
    let request = Request::get("/api/x").header("host", "x").body(Full::<Bytes>::default())?;
    assert_eq!(Caller::new(gateway.address).send(request).await?.status, 200);
    let came = || std::future::ready(collector.seen().into_iter().next());
    let seen = wait::until("a message reaches the collector", LIMIT, came).await?;
    assert_eq!(
        (seen.path.as_str(), seen.header("content-type")),
        ("/otlp/v1/traces", "application/x-protobuf")
    );
    assert_eq!(seen.header("x-api-key"), "a-secret-of-ours");
    assert!(!gateway.log().contains("a-secret-of-ours"));
    assert!(!gateway.metrics().await?.text().contains("a-secret-of-ours"));
    assert!(!gateway.status().await?.to_string().contains("a-secret-of-ours"));
    Ok(())
}
