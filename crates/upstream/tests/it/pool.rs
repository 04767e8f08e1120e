use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, fails, get, ok, until},
};
use holdfast_resilience::Deadline;
use holdfast_upstream::{CallError, Limit, Upstream, clock};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::always(Act::Answer(200, "", "x")).await;
    let upstream = Setup::of(&[&server]).build();
    for _ in 0..50 {
        ok(&upstream, get()).await;
    }
    assert_eq!((server.requests(), server.accepted()), (50, 1));
}

#[tokio::test]
async fn the_server_never_sees_more_connections_than_the_cap() {
    let server = Server::always(Act::Slow(Duration::from_millis(3))).await;
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_size = 4;
    let upstream = setup.build();
    let calls = (0..200).map(|_| {
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move { ok(&upstream, get()).await.1 })
    });
    for done in futures_util::future::join_all(calls).await {
        assert_eq!(done.unwrap(), "slow");
    }
    assert!(server.counts.open_max.load(Ordering::SeqCst) <= 4);
    at_rest(&upstream).await;
}

#[test]
fn idle_connections_of_one_worker_serve_another_at_the_cap() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(Server::always(Act::Answer(200, "", "x")));
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_size = 2;
    let upstream = setup.build();
    // A runtime that ends closes its connections: all stay until the last is done.
    let done = Arc::new(std::sync::Barrier::new(4));
    let worker = |rounds: usize| {
        let (upstream, done) = (Arc::clone(&upstream), Arc::clone(&done));
        move || {
            let runtime = runtime();
            runtime.block_on(async {
                for _ in 0..rounds {
                    assert_eq!(ok(&upstream, get()).await.1, "x");
                    tokio::task::yield_now().await;
                }
                tokio::task::spawn_blocking(move || done.wait()).await.unwrap();
            });
        }
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(worker(200))).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(server.counts.open_max.load(Ordering::SeqCst) <= 2);
    assert_eq!(server.requests(), 800);
}

#[tokio::test]
async fn a_full_queue_is_a_typed_error_and_a_waiter_has_a_deadline() {
    let server = Server::always(Act::Hang).await;
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_size = 1;
    setup.config.connection_pool.max_waiting = 1;
    setup.upstream.policy.retry.enabled = false;
    let upstream = setup.build();
    let mut held = Box::pin(upstream.send(get()));
    assert!(futures_util::poll!(&mut held).is_pending());
    until("the first is sent", || {
        futures_util::FutureExt::now_or_never(&mut held).is_none() && server.requests() == 1
    })
    .await;
    let mut call = get();
    call.deadline = Deadline::after(clock::now(), Duration::from_millis(80));
    let waiter = Arc::clone(&upstream);
    let waiting = tokio::spawn(async move { waiter.send(call).await.map(drop) });
    until("one waits", || setup.metric_waiting(&upstream) == 1).await;
    let error = fails(&upstream, get()).await;
    assert!(matches!(error, CallError::Overloaded { limit: Limit::Waiting, .. }), "{error}");
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Deadline { sent: holdfast_resilience::Sent::Nothing, .. }), "{error}");
    drop(held);
    at_rest(&upstream).await;
    assert_eq!(server.requests(), 1);
}

impl Setup {
    /// Requests in the queue, as the metrics page shows it.
    fn metric_waiting(&self, upstream: &Arc<Upstream>) -> usize {
        let runtime = tokio::runtime::Handle::current();
        let background = upstream.start(&runtime);
        let waiting = self.metric(&["waiting"]);
        drop(background);
        waiting as usize
    }
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let server = Server::always(Act::Answer(200, "", "x")).await;
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_idle_time = Duration::from_millis(50);
    let upstream = setup.build();
    let _background = upstream.start(&tokio::runtime::Handle::current());
    ok(&upstream, get()).await;
    assert_eq!(server.open(), 1);
    until("the idle connection is closed", || server.open() == 0).await;
    ok(&upstream, get()).await;
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn more_idle_connections_than_allowed_are_closed() {
    let server = Server::always(Act::Slow(Duration::from_millis(20))).await;
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_idle = 2;
    let upstream = setup.build();
    let calls = (0..8).map(|_| ok(&upstream, get()));
    futures_util::future::join_all(calls).await;
    assert_eq!(server.accepted(), 8);
    until("two stay", || server.open() == 2).await;
}

#[tokio::test]
async fn a_reload_keeps_connections_and_state_of_endpoints_that_stay() {
    let (kept, gone) =
        (Server::always(Act::Answer(200, "", "x")).await, Server::always(Act::Answer(200, "", "x")).await);
    let mut setup = Setup::of(&[&kept, &gone]);
    let shared = setup.shared();
    let old = Upstream::build(&setup.upstream, &shared, None).unwrap();
    for view in old.endpoints() {
        let mut call = get();
        call.pin = Some(view.key);
        ok(&old, call).await;
    }
    setup.upstream.endpoints.truncate(1);
    setup.upstream.policy.body_idle_timeout = Duration::from_secs(7);
    let new = Upstream::build(&setup.upstream, &shared, Some(&old)).unwrap();
    drop(old);
    until("the endpoint that left closes its connections", || gone.open() == 0).await;
    ok(&new, get()).await;
    assert_eq!((kept.accepted(), kept.requests()), (1, 2));
    assert!(new.endpoints()[0].state.latency.is_some(), "what was learnt is kept");
}
