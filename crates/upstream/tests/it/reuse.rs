//! Idle connections that die.

use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, ok, post, until},
};
use std::time::Duration;

#[tokio::test]
async fn a_post_on_a_connection_that_the_server_just_closed_is_sent_exactly_once() {
    // Answers, promises keep-alive, and closes at the same moment.
    let server = Server::always(Act::AnswerAndClose).await;
    let upstream = Setup::of(&[&server]).no_breaker().build();
    let (mut answered, mut failed) = (0, 0);
    for _ in 0..300 {
        match upstream.send(post("once")).await {
            Ok(reply) => {
                assert_eq!(crate::support::text(reply).await, "bye");
                answered += 1;
            }
            // Only where the FIN was still under way when we looked.
            Err(error) => {
                assert_eq!(error.sent(), holdfast_resilience::Sent::Maybe, "{error}");
                failed += 1;
            }
        }
    }
    assert_eq!(server.requests(), answered, "a handler ran for a call that failed, or twice for one");
    assert!(failed <= 30, "{failed} of 300: dead connections are not noticed");
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_post_after_the_server_closed_its_idle_connection_is_answered() {
    let server = Server::always(Act::AnswerAndClose).await;
    let upstream = Setup::of(&[&server]).no_breaker().build();
    for calls in 1..=20 {
        assert_eq!(ok(&upstream, post("once")).await.1, "bye");
        until("the server has closed", || server.open() == 0).await;
        assert_eq!(server.requests(), calls);
    }
}

#[test]
fn a_close_that_the_event_loop_has_not_seen_yet_is_found_before_the_write() {
    // The server is on a thread of its own; the client's thread sleeps in between, so that its event loop cannot learn
    // of the close before the next call is made.
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(Server::always(Act::AnswerAndClose));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = Setup::of(&[&server]).no_breaker().build();
    runtime.block_on(async {
        for calls in 1..=20 {
            assert_eq!(ok(&upstream, post("once")).await.1, "bye");
            let end = std::time::Instant::now() + Duration::from_secs(5);
            while server.open() > 0 && std::time::Instant::now() < end {
                std::thread::yield_now();
            }
            assert_eq!(server.requests(), calls);
        }
    });
}
