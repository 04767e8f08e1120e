//! `subscriptions/listen`: one stream for the client, one per endpoint behind it.

use super::{
    gateway::{Gateway, Options},
    upstream::{Act, Seen, Step, Upstream},
    wait,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

fn tagged(method: &str, mut params: Value, id: &Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn acknowledged(seen: &Seen, filter: Value) -> Step {
    let params = json!({"notifications": filter});
    Step::message(&tagged("notifications/subscriptions/acknowledged", params, &seen.message["id"]))
}

/// Acknowledges, then reports a change each time `change` fires.
fn listener(change: Arc<Notify>, filter: Value) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    move |seen| {
        let changed = tagged("notifications/tools/list_changed", json!({}), &seen.message["id"]);
        Act::Events(vec![
            acknowledged(seen, filter.clone()),
            Step::Wait(Arc::clone(&change)),
            Step::message(&changed),
            Step::Hang,
        ])
    }
}

fn gateway(servers: &[&Upstream]) -> Gateway {
    Gateway::new(servers, Options { server: "era: modern", ..Options::default() })
}

const FILTER: fn() -> Value = || json!({"notifications": {"toolsListChanged": true}});

#[tokio::test]
async fn one_acknowledgement_and_the_changes_of_every_endpoint() {
    let changes = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let servers = [
        Upstream::start(listener(Arc::clone(&changes[0]), json!({"toolsListChanged": true}))).await,
        Upstream::start(listener(Arc::clone(&changes[1]), json!({"promptsListChanged": true}))).await,
    ];
    let gateway = gateway(&[&servers[0], &servers[1]]);
    let mut events = gateway.modern("subscriptions/listen", FILTER()).await.follow();
    let first = events.next().await.unwrap().message();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let agreed = &first["params"]["notifications"];
    assert!(agreed["toolsListChanged"] == true && agreed["promptsListChanged"] == true, "{agreed}");
    for change in &changes {
        change.notify_one();
        let event = events.next().await.unwrap().message();
        assert_eq!(event["method"], "notifications/tools/list_changed");
        assert_eq!(event["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    }
    drop(events);
    for server in &servers {
        wait::until("the cancellation", || server.cancelled() == 1).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_returns_is_listened_to_again() {
    let change = Arc::new(Notify::new());
    let mut servers = [
        Upstream::start(listener(Arc::clone(&change), json!({"toolsListChanged": true}))).await,
        Upstream::start(listener(Arc::new(Notify::new()), json!({"toolsListChanged": true}))).await,
    ];
    let gateway = gateway(&[&servers[0], &servers[1]]);
    let mut events = gateway.modern("subscriptions/listen", FILTER()).await.follow();
    events.next().await.expect("the acknowledgement");
    servers[0].restart().await;
    let reopened = async {
        // The body is what drives the subscription: it is read while we wait.
        tokio::select! {
            event = events.next() => panic!("{event:?}"),
            () = wait::until("the listener to return", || servers[0].saw("subscriptions/listen") == 1) => {}
        }
    };
    reopened.await;
    change.notify_one();
    assert_eq!(events.next().await.unwrap().message()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_dead_endpoint_does_not_hold_the_subscription_up() {
    let change = Arc::new(Notify::new());
    let mut servers = [
        Upstream::start(listener(Arc::clone(&change), json!({"toolsListChanged": true}))).await,
        Upstream::start(listener(Arc::clone(&change), json!({}))).await,
    ];
    servers[1].kill().await;
    let gateway = gateway(&[&servers[0], &servers[1]]);
    let mut events = gateway.modern("subscriptions/listen", FILTER()).await.follow();
    events.next().await.expect("the acknowledgement");
    change.notify_one();
    events.next().await.expect("the change");
    servers[0].kill().await;
    let answer = gateway.modern("subscriptions/listen", FILTER()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_error_of_every_endpoint_is_the_clients_answer() {
    let refuse = |seen: &Seen| {
        let error =
            json!({"jsonrpc": "2.0", "id": seen.message["id"], "error": {"code": -32601, "message": "no"}});
        Act::Json(StatusCode::NOT_FOUND, error)
    };
    let servers = [Upstream::start(refuse).await, Upstream::start(refuse).await];
    let gateway = gateway(&[&servers[0], &servers[1]]);
    let answer = gateway.modern("subscriptions/listen", FILTER()).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.code().await, -32601);
}

#[tokio::test]
async fn tasks_are_subscribed_to_where_they_live_under_the_handles_the_client_knows() {
    let script = |name: &'static str| {
        move |seen: &Seen| match seen.rpc() {
            "tools/call" => {
                let task = json!({"resultType": "task", "taskId": format!("{name}-task"), "status": "working", "ttlMs": null});
                Act::Json(StatusCode::OK, seen.result(task))
            }
            _ => {
                let ids = seen.message["params"]["notifications"]["taskIds"].clone();
                let mut steps = vec![acknowledged(seen, json!({"taskIds": ids}))];
                for id in ids.as_array().unwrap() {
                    let params = json!({"taskId": id, "status": "completed"});
                    steps.push(Step::message(&tagged("notifications/tasks", params, &seen.message["id"])));
                }
                steps.push(Step::Hang);
                Act::Events(steps)
            }
        }
    };
    let servers = [Upstream::start(script("a")).await, Upstream::start(script("b")).await];
    let gateway = gateway(&[&servers[0], &servers[1]]);
    let mut handles = Vec::new();
    while servers.iter().any(|server| server.saw("tools/call") == 0) {
        let created = gateway.modern("tools/call", json!({"name": "job"})).await.json().await;
        handles.push(created["result"]["taskId"].clone());
    }
    let filter = json!({"notifications": {"taskIds": handles}});
    let mut events = gateway.modern("subscriptions/listen", filter).await.follow();
    let first = events.next().await.unwrap().message();
    let agreed = first["params"]["notifications"]["taskIds"].as_array().unwrap().len();
    assert!(agreed >= 2, "tasks of both endpoints");
    for _ in 0..handles.len() {
        let event = events.next().await.unwrap().message();
        assert!(handles.contains(&event["params"]["taskId"]), "{event}");
    }
    for (server, name) in servers.iter().zip(["a-task", "b-task"]) {
        let seen = server.seen();
        let listen = seen.iter().find(|seen| seen.rpc() == "subscriptions/listen").unwrap();
        let ids = listen.message["params"]["notifications"]["taskIds"].as_array().unwrap().clone();
        assert!(!ids.is_empty() && ids.iter().all(|id| id == name), "its own tasks alone: {ids:?}");
    }
}
