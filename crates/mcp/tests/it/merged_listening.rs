//! Subscriptions at the merged endpoint.

use super::{
    merged::{Merged, complete, everything},
    upstream::{Act, Seen, Step, Upstream as Server},
};
use holdfast_edge::Phase;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;

#[tokio::test]
async fn one_subscription_hears_every_member_and_a_change_ends_what_was_kept() {
    let change = Arc::new(Notify::new());
    let listener = |name: &'static str, change: Arc<Notify>| {
        let rest = everything(name);
        move |seen: &Seen| {
            let id = &seen.message["id"];
            let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
            let event = |method: &str, mut params: Value| {
                params["_meta"] = meta.clone();
                Step::message(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
            };
            match seen.rpc() {
                "subscriptions/listen" => {
                    let filter = seen.message["params"]["notifications"].clone();
                    let mut steps = vec![event(
                        "notifications/subscriptions/acknowledged",
                        json!({"notifications": filter}),
                    )];
                    steps.push(Step::Wait(Arc::clone(&change)));
                    for uri in filter["resourceSubscriptions"].as_array().into_iter().flatten() {
                        steps.push(event("notifications/resources/updated", json!({"uri": uri})));
                    }
                    steps.push(event("notifications/tools/list_changed", json!({})));
                    steps.push(Step::Hang);
                    Act::Events(steps)
                }
                "tools/list" => complete(
                    seen,
                    json!({"tools": [{"name": "t", "inputSchema": {}}], "ttlMs": 60_000, "cacheScope": "private"}),
                ),
                _ => rest(seen),
            }
        }
    };
    let one = Server::start(listener("one", Arc::clone(&change))).await;
    let two = Server::start(listener("two", Arc::clone(&change))).await;
    let gateway = Merged::of(&[("one", &one), ("two", &two)], "enabled: true", None);
    gateway.tools().await;
    gateway.list("resources/list", "resources", "uri", None).await;
    let uris = ["file:///shared", "holdfast://two/file:///shared"];
    let filter = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}});
    let mut events = gateway.modern("subscriptions/listen", filter).await.follow();
    let first = events.next().await.unwrap().message();
    let agreed = &first["params"]["notifications"];
    assert_eq!(*agreed, json!({"toolsListChanged": true, "resourceSubscriptions": uris}));
    for server in [&one, &two] {
        let seen = server.seen();
        let listen = seen.iter().find(|seen| seen.rpc() == "subscriptions/listen").unwrap();
        assert_eq!(
            listen.message["params"]["notifications"]["resourceSubscriptions"],
            json!(["file:///shared"])
        );
    }
    change.notify_waiters();
    let mut updated = BTreeSet::new();
    for _ in 0..4 {
        let event = events.next().await.unwrap().message();
        assert_eq!(event["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
        updated.extend(event["params"]["uri"].as_str().map(str::to_owned));
    }
    assert_eq!(updated, BTreeSet::from(uris.map(str::to_owned)), "under the URIs that the client knows");
    gateway.tools().await;
    assert_eq!((one.saw("tools/list"), two.saw("tools/list")), (2, 2), "what changed is asked for again");
    (gateway.begin)(Phase::Unready);
    (gateway.begin)(Phase::Closing);
    let last = events.next().await.unwrap().message();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(7), &json!("complete")));
}
