//! Limits of the link itself.

use super::{Command, World};
use crate::{StoreError, StoreErrorKind, redis::settings::OPERATIONS_MAX};
use futures_util::future::join_all;
use holdfast_test_servers::{Options, Server};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn operations_beyond_the_limit_are_refused_and_the_rest_end_in_time() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::exact(&format!(
        "url: '{}', command_timeout: 10s, connect_timeout: 10s, max_retries: 0",
        server.url()
    ));
    world.writes("a").await;
    server.stop().unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    let all = (0..OPERATIONS_MAX + 100).map(|_| world.link.run(b"a", Command::new("GET").arg("a"), until));
    let results = join_all(all).await;
    let took = Instant::now().saturating_duration_since(until);
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(error) if error.kind() == StoreErrorKind::Refused));
    assert!(refused.count() >= 100);
    assert!(results.iter().all(Result::is_err));
    assert!(took < Duration::from_secs(1), "{took:?} after the deadline");
    server.cont().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_sends_nothing() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.writes("a").await;
    let past = Instant::now();
    let result = world.link.run(b"n", Command::new("INCR").arg("n"), past).await;
    assert_eq!(result.map_err(|error: StoreError| error.kind()), Err(StoreErrorKind::Timeout));
    assert_eq!(world.get("n").await.unwrap(), redis::Value::Nil);
    assert_eq!(world.breaker(), "closed", "the server is not to blame");
}
