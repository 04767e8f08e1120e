//! Dropping a call anywhere gives everything back.

use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, get, ok, post, until},
};
use http_body_util::BodyExt;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Polls at most `polls` times, with the event loop running in between, then drops.
async fn polled<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn permits_and_connections_are_conserved_wherever_a_call_is_dropped() {
    let server = Server::start(|number, _| match number % 5 {
        0 => Act::Answer(200, "", "whole"),
        1 => Act::Answer(503, "", "again"),
        2 => Act::HangInBody,
        3 => Act::Trailers,
        _ => Act::Reset,
    })
    .await;
    let mut setup = Setup::twice(&server).no_breaker();
    setup.config.connection_pool.max_size = 3;
    setup.upstream.policy.retry.initial_delay = Duration::from_micros(100);
    let upstream = setup.build();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut finished = 0;
    for _ in 0..600 {
        let (polls, rest) = (rng.u32(..40), rng.u32(..10));
        let call = if rng.bool() { get() } else { post("x") };
        let sending = async {
            let Ok(reply) = upstream.send(call).await else { return };
            drop(polled(reply.response.into_body().collect(), rest).await);
        };
        finished += u32::from(polled(sending, polls).await.is_some());
    }
    assert!((50..600).contains(&finished), "{finished} of 600 came to an end: the test covers one half only");
    at_rest(&upstream).await;
    until("no more than the idle ones stay", || {
        upstream.endpoints().iter().all(|view| view.connections <= 3)
    })
    .await;
    // The cap is intact: calls still get through.
    let good = Server::always(Act::Answer(200, "", "x")).await;
    drop(good);
    for _ in 0..20 {
        drop(upstream.send(get()).await);
    }
    at_rest(&upstream).await;
}

#[tokio::test]
async fn who_is_dropped_in_the_queue_leaves_it() {
    let server = Server::always(Act::Slow(Duration::from_millis(30))).await;
    let mut setup = Setup::of(&[&server]);
    setup.config.connection_pool.max_size = 1;
    let upstream = setup.build();
    let first = ok(&upstream, get());
    let dropped = async {
        for _ in 0..20 {
            drop(polled(upstream.send(get()), 3).await);
        }
    };
    futures_util::join!(first, dropped);
    assert_eq!(ok(&upstream, get()).await.1, "slow");
    at_rest(&upstream).await;
}
