//! JSON answers are read whole, and all of them together may take so much memory and no more.

use super::{
    gateway::{Gateway, Options},
    upstream::{Act, Seen, Step, Upstream},
    wait,
};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

const PIECE: usize = 20_000;

/// Answers in two large pieces and, when `end` fires, a small one.
fn large(end: &Arc<Notify>) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    let end = Arc::clone(end);
    move |seen| {
        let id = &seen.message["id"];
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","text":""#);
        let piece = "a".repeat(PIECE);
        Act::Pieces(vec![
            Step::Raw(head + &piece),
            Step::Raw(piece),
            Step::Wait(Arc::clone(&end)),
            Step::Raw(r#""}}"#.to_owned()),
        ])
    }
}

fn narrow(server: &Upstream) -> Gateway {
    let mcp = "max_response_bytes: 64KiB\nresponse_bytes_total: 64KiB";
    Gateway::new(&[server], Options { server: "era: modern", mcp, ..Options::default() })
}

fn held(gateway: &Gateway) -> usize {
    gateway.service.state().sizes().answer_bytes
}

#[tokio::test]
async fn an_answer_without_room_is_a_typed_error_and_room_comes_back() {
    let end = Arc::new(Notify::new());
    let server = Upstream::start(large(&end)).await;
    let gateway = narrow(&server);
    let call = || gateway.modern("tools/call", json!({"name": "t"}));
    let second = async {
        wait::until("the first answer to be held", || held(&gateway) >= 2 * PIECE).await;
        let refused = call().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.header("retry-after"), Some("1"));
        let error = refused.json().await["error"].take();
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-31007), &json!("answers_full")));
        assert_eq!(error["data"]["retry"], "if_idempotent", "the server may have processed the call");
        assert!((2 * PIECE..=65_536).contains(&held(&gateway)), "the first answer is not disturbed");
        end.notify_one();
    };
    let (first, ()) = tokio::join!(call(), second);
    assert!(held(&gateway) >= 2 * PIECE, "held until the client has it");
    assert_eq!(first.json().await["result"]["text"].as_str().map(str::len), Some(2 * PIECE));
    assert_eq!(held(&gateway), 0);
    end.notify_one();
    assert_eq!(call().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_leaves_gives_the_room_back() {
    let server = Upstream::start(large(&Arc::new(Notify::new()))).await;
    let gateway = narrow(&server);
    tokio::select! {
        _ = gateway.modern("tools/call", json!({"name": "t"})) => panic!("nobody ended the answer"),
        () = wait::until("the answer to be held", || held(&gateway) >= 2 * PIECE) => {}
    }
    assert_eq!(held(&gateway), 0);
}

#[tokio::test]
async fn an_answer_in_one_piece_takes_no_room() {
    let server =
        Upstream::start(|seen| Act::Json(StatusCode::OK, seen.result(json!({"resultType": "complete"}))))
            .await;
    let gateway = narrow(&server);
    let answer = gateway.modern("tools/call", json!({"name": "t"})).await;
    assert_eq!((answer.status(), held(&gateway)), (StatusCode::OK, 0));
}
