//! Random scripts of endpoint behaviour.

use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, call, post},
};
use http::Method;
use http_body_util::BodyExt;
use proptest::{collection::vec, prelude::*};
use std::{sync::Arc, time::Duration};

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Answer(200, "", "ok")),
        1 => Just(Act::Answer(503, "", "no")),
        1 => Just(Act::Answer(503, "retry-after: 0\r\n", "no")),
        1 => Just(Act::Answer(429, "retry-after: 0\r\n", "no")),
        1 => Just(Act::Reset),
        1 => Just(Act::HalfHead),
        1 => Just(Act::HalfBody),
        1 => Just(Act::CutChunks),
        1 => Just(Act::Slow(Duration::from_millis(40))),
        3 => Just(Act::AnswerAndClose),
    ]
}

/// Each endpoint plays its own script, over and over.
async fn play(scripts: Vec<Vec<Act>>, calls: usize, dead: bool) {
    let mut servers = Vec::new();
    for script in scripts {
        servers.push(Server::start(move |number, _| script[number % script.len()].clone()).await);
    }
    let mut urls: Vec<_> = servers.iter().map(Server::url).collect();
    if dead {
        urls.push(format!("http://{}", Server::refused().await));
    }
    let mut setup = Setup::new(urls).no_breaker();
    setup.upstream.policy.retry.initial_delay = Duration::from_micros(50);
    setup.upstream.policy.retry.per_try_timeout = Some(Duration::from_millis(20));
    let upstream = setup.build();
    let handled = |servers: &[Server]| servers.iter().map(Server::requests).sum::<usize>();
    for number in 0..calls {
        let before = handled(&servers);
        let unsafe_call = number % 3 != 0;
        let call = if unsafe_call { post("once") } else { call(Method::GET, "/") };
        let result = upstream.send(call).await;
        if let Ok(reply) = result {
            drop(reply.response.into_body().collect().await);
        }
        let ran = handled(&servers) - before;
        if unsafe_call {
            assert!(ran <= 1, "an unsafe call ran {ran} times");
        } else {
            assert!(ran <= 3, "more runs than attempts: {ran}");
        }
    }
    at_rest(&upstream).await;
    drop(Arc::clone(&upstream));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_unsafe_call_runs_at_most_once(
        scripts in vec(vec(act(), 1..6), 1..4),
        calls in 1_usize..20,
        dead in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(scripts, calls, dead));
    }
}
