//! Limits of a server and of single tools.

use super::{
    gateway::{Gateway, Options},
    upstream::{Act, Gate, Seen, Step, Upstream as Server, done, legacy, progress},
    wait,
};
use holdfast_telemetry::metrics::Limit;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

const MODERN: &str = "era: modern
max_request_bytes: 4KiB
max_response_bytes: 8KiB
tools: [{match: 'slow_*', timeout: 80ms}, {match: 'one_*', max_concurrency: 1}, {match: small, max_request_bytes: 1KiB, max_response_bytes: 1KiB}]";
const LEGACY: &str = "era: legacy
tools: [{match: 'slow_*', timeout: 80ms}, {match: 'one_*', max_concurrency: 1}]";

fn tool(seen: &Seen) -> &str {
    seen.message["params"]["name"].as_str().unwrap_or_default()
}

fn call(name: &str) -> Value {
    json!({ "name": name })
}

fn gateway(server: &Server, line: &'static str) -> Gateway {
    Gateway::new(&[server], Options { server: line, ..Options::default() })
}

/// Never answers tools that are slow, holds back at the gate those of which there is one at once, and answers the others.
fn answers(gate: &Arc<Gate>, streams: bool) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    let gate = Arc::clone(gate);
    move |seen| match tool(seen) {
        "slow_silent" => Act::Silence,
        "slow_stream" => Act::Events(vec![Step::message(&progress(1)), Step::Hang]),
        name if name.starts_with("one_") => {
            let answer = if streams {
                Act::Events(vec![Step::message(&progress(1)), Step::message(&done(seen))])
            } else {
                Act::Json(StatusCode::OK, done(seen))
            };
            Act::Behind(gate.enter(), Box::new(answer))
        }
        "large" | "small" => Act::Json(
            StatusCode::OK,
            seen.result(json!({"text": "x".repeat(if tool(seen) == "large" { 9000 } else { 2000 })})),
        ),
        _ => Act::Json(StatusCode::OK, done(seen)),
    }
}

#[tokio::test]
async fn a_slow_tool_is_given_up_at_its_own_time_and_the_others_at_the_servers() {
    let gate = Gate::closed();
    let modern = Server::start(answers(&gate, false)).await;
    let gateway_of_modern = gateway(&modern, MODERN);
    let old = Server::start(legacy("a", answers(&gate, false))).await;
    let gateway_of_old = gateway(&old, LEGACY);
    let session = gateway_of_old.open("2025-11-25").await;
    for name in ["slow_silent", "slow_stream"] {
        let answer = gateway_of_modern.modern("tools/call", call(name)).await;
        assert_eq!(answer.message().await["error"]["code"], -31002, "{name}");
        let answer = session.call(1, "tools/call", call(name)).await;
        assert_eq!(answer.message().await["error"]["code"], -31002, "{name}");
    }
    let answer = gateway_of_modern.modern("tools/call", call("quick")).await;
    assert_eq!(answer.message().await["result"]["done"], true);
}

#[tokio::test]
async fn calls_beyond_the_concurrency_of_a_tool_are_told_to_come_again_and_hinder_no_other_tool() {
    for streams in [false, true] {
        let gate = Gate::closed();
        let server = Server::start(answers(&gate, streams)).await;
        let before = gateway(&server, MODERN);
        let state = Some(Arc::clone(before.service.state()));
        // The count outlives the snapshot: a reload lets in nobody more.
        let after = Gateway::new(&[&server], Options { server: MODERN, state, ..Options::default() });
        let first = async { before.modern("tools/call", call("one_a")).await.message().await };
        let rest = async {
            wait::until("the first call to be under way", || gate.inside() == 1).await;
            for gateway in [&before, &after] {
                let answer = gateway.modern("tools/call", call("one_b")).await;
                let seen = (answer.status(), answer.header("retry-after").map(str::to_owned));
                assert_eq!(seen, (StatusCode::SERVICE_UNAVAILABLE, Some("1".to_owned())));
                assert_eq!(answer.code().await, -31005);
            }
            let other = before.modern("tools/call", call("quick")).await;
            assert_eq!(other.status(), StatusCode::OK);
            gate.open();
        };
        let (first, ()) = tokio::join!(first, rest);
        assert_eq!(first["result"]["done"], true);
        assert_eq!((gate.most(), before.metrics.limited.get(Limit::Concurrency).get()), (1, 1));
        let answer = after.modern("tools/call", call("one_b")).await;
        assert_eq!(answer.message().await["result"]["done"], true, "its turn came back");
    }
}

#[tokio::test]
async fn in_a_session_a_turn_is_held_until_the_answer_has_ended() {
    let gate = Gate::closed();
    let server = Server::start(legacy("a", answers(&gate, true))).await;
    let gateway = gateway(&server, LEGACY);
    let session = gateway.open("2025-11-25").await;
    let first = async { session.call(1, "tools/call", call("one_a")).await.message().await };
    let rest = async {
        wait::until("the first call to be under way", || gate.inside() == 1).await;
        let answer = session.call(2, "tools/call", call("one_b")).await;
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.code().await, -31005);
        gate.open();
    };
    let (first, ()) = tokio::join!(first, rest);
    assert_eq!(first["result"]["done"], true);
    let again =
        async || session.call(3, "tools/call", call("one_b")).await.message().await["result"]["done"] == true;
    wait::until_async("its turn to come back", again).await;
}

#[tokio::test]
async fn messages_above_the_limits_of_a_server_or_a_tool_are_refused_on_either_side() {
    let gate = Gate::closed();
    let server = Server::start(answers(&gate, false)).await;
    let gateway = gateway(&server, MODERN);
    let with = |name: &str, bytes: usize| json!({"name": name, "arguments": {"text": "x".repeat(bytes)}});
    for (name, bytes) in [("quick", 5000), ("small", 1500)] {
        let answer = gateway.modern("tools/call", with(name, bytes)).await;
        assert_eq!((answer.status(), answer.code().await), (StatusCode::PAYLOAD_TOO_LARGE, -31020), "{name}");
    }
    assert_eq!((server.saw("tools/call"), gateway.metrics.limited.get(Limit::RequestBytes).get()), (0, 2));
    assert_eq!(gateway.modern("tools/call", with("quick", 1500)).await.status(), StatusCode::OK);
    for name in ["large", "small"] {
        let answer = gateway.modern("tools/call", call(name)).await;
        assert_eq!((answer.status(), answer.code().await), (StatusCode::BAD_GATEWAY, -31003), "{name}");
    }
    assert_eq!(gateway.metrics.limited.get(Limit::ResponseBytes).get(), 2);
}
