//! Rules at the merged endpoint.

use super::{
    merged::Merged,
    rules::{LISTS, NOT_PERMITTED, admin, answers, expected, forbidden, names, nobody, reader},
    upstream::{Act, Seen, Upstream as Server, legacy},
};
use holdfast_identity::Principal;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

/// The same for a server at the merged endpoint.
const MEMBER: &str = "era: modern
      rules: [{scopes: reader, tools: ['read_*'], prompts: [ask], resources: ['file:///pub/*']}, {roles: admin}, {effect: deny, tools: '*_danger'}]";
const LEGACY_MEMBER: &str = "era: legacy
      rules: [{scopes: reader, tools: ['read_*'], prompts: [ask], resources: ['file:///pub/*']}, {roles: admin}, {effect: deny, tools: '*_danger'}]";
fn merged(servers: &[(&str, &Server)], line: &str) -> Merged {
    Merged::new(servers, line, "list_timeout: 2s", None)
}

#[tokio::test]
async fn two_principals_see_different_lists_of_one_kept_list_under_load_and_nothing_leaks() {
    let one = Server::start(answers(false)).await;
    let two = Server::start(answers(false)).await;
    let gateway = merged(&[("one", &one), ("two", &two)], MEMBER);
    let gateway = Arc::new(gateway);
    let mut asking = tokio::task::JoinSet::new();
    for round in 0..240 {
        let gateway = Arc::clone(&gateway);
        let who = [reader, admin, nobody][round % 3]();
        let (method, key, name) = LISTS[round / 3 % 2];
        asking.spawn(async move {
            let answer = gateway.modern_as(&who, method, json!({})).await;
            let result = answer.json().await["result"].take();
            let own = &expected(&who)[usize::from(key == "prompts")];
            let joined: Vec<String> = ["one", "two"]
                .iter()
                .flat_map(|member| own.iter().map(move |name| format!("{member}__{name}")))
                .collect();
            assert_eq!(names(&result, key, name), joined, "{}", who.subject());
            assert_eq!(result["cacheScope"], "private", "what one may see, another may not be shown");
        });
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
    // The member calls its lists public and fresh: a handful of questions, one for each caller at most, served them all.
    for server in [&one, &two] {
        assert!(
            server.saw("tools/list") <= 3 && server.saw("prompts/list") <= 3,
            "{:?}",
            server.seen().len()
        );
    }
}

#[tokio::test]
async fn the_merged_endpoint_refuses_what_the_members_rules_do_and_tells_no_more() {
    let one = Server::start(answers(false)).await;
    let gateway = merged(&[("one", &one)], MEMBER);
    let reader = reader();
    for (method, params) in forbidden() {
        let mut params = params;
        if let Some(name) = params["name"].as_str() {
            params["name"] = json!(format!("one__{name}"));
        } else if let Some(name) = params["ref"]["name"].as_str() {
            params["ref"]["name"] = json!(format!("one__{name}"));
        }
        let answer = gateway.modern_as(&reader, method, params.clone()).await;
        let refused = (answer.status(), answer.code().await);
        assert_eq!(refused, (StatusCode::FORBIDDEN, NOT_PERMITTED), "{method} {params}");
        assert_eq!(one.saw(method), 0, "{method} {params}");
    }
    assert_eq!(one.saw("resources/list"), 0, "nobody looks for what may not be read");
    let wrapped =
        gateway.modern_as(&reader, "resources/read", json!({"uri": "holdfast://one/file:///key"})).await;
    assert_eq!(wrapped.code().await, NOT_PERMITTED);
    let read = gateway.modern_as(&reader, "resources/read", json!({"uri": "file:///pub/a"})).await;
    assert_eq!(read.json().await["result"]["done"]["uri"], "file:///pub/a");
    for (method, key, name) in &LISTS[2..] {
        for who in [Arc::clone(&reader), admin(), nobody()] {
            let at = usize::from(*key == "resourceTemplates") + 2;
            let answer = gateway.modern_as(&who, method, json!({})).await;
            let result = answer.json().await["result"].take();
            assert_eq!(names(&result, key, name), expected(&who)[at], "{method} {}", who.subject());
        }
    }
}

#[tokio::test]
async fn a_resource_that_a_closed_member_has_too_is_the_open_ones_alone() {
    let list = |seen: &Seen| {
        match seen.rpc() {
        "resources/list" => Act::Json(
            StatusCode::OK,
            seen.result(json!({"resultType": "complete", "resources": [{"uri": "file:///pub/a", "name": "a"}], "ttlMs": 0, "cacheScope": "private"})),
        ),
        _ => answers(false)(seen),
    }
    };
    let (closed, open) = (Server::start(list).await, Server::start(list).await);
    let line =
        "era: modern\n      rules: [{subjects: admin}, {subjects: reader, resources: ['file:///pub/*']}]";
    let gateway = merged(&[("closed", &closed), ("open", &open)], line);
    let only_open = Merged::with_rules(
        &[("closed", &closed), ("open", &open)],
        "era: modern",
        "[{subjects: admin}, {subjects: reader, servers: open}]",
    );
    let list_of = async |gateway: &Merged, who: &Arc<Principal>| {
        let result = gateway.modern_as(who, "resources/list", json!({})).await.json().await["result"].take();
        names(&result, "resources", "uri")
    };
    let both = ["file:///pub/a", "holdfast://open/file:///pub/a"];
    assert_eq!(list_of(&gateway, &reader()).await, both);
    assert_eq!(list_of(&only_open, &admin()).await, both);
    assert_eq!(list_of(&only_open, &reader()).await, ["file:///pub/a"], "nothing shows that another has it");
    let before = closed.saw("resources/read");
    let read = only_open.modern_as(&reader(), "resources/read", json!({"uri": "file:///pub/a"})).await;
    assert_eq!(read.status(), StatusCode::OK);
    assert_eq!((closed.saw("resources/read"), open.saw("resources/read")), (before, 1));
}

#[tokio::test]
async fn sessions_at_the_merged_endpoint_obey_the_rules_of_each_member() {
    let one = Server::start(legacy("one", answers(false))).await;
    let gateway = merged(&[("one", &one)], LEGACY_MEMBER);
    let who = reader();
    let open = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    let answer = gateway.post_as(&who, &open, &[]).await;
    let token = answer.header("mcp-session-id").unwrap().to_owned();
    let headers = [("mcp-session-id", &*token), ("mcp-protocol-version", "2025-11-25")];
    for ((method, key, name), expected) in LISTS.iter().zip(expected(&who)) {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});
        let result = gateway.post_as(&who, &message, &headers).await.message().await["result"].take();
        let shown: Vec<String> = names(&result, key, name);
        let shown: Vec<&str> = shown.iter().map(|name| name.trim_start_matches("one__")).collect();
        assert_eq!(shown, expected, "{method}");
    }
    for (method, params) in [
        ("tools/call", json!({"name": "one__write_a"})),
        ("resources/read", json!({"uri": "file:///key"})),
        ("resources/subscribe", json!({"uri": "file:///key"})),
        ("prompts/get", json!({"name": "one__tell"})),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": 2, "method": method, "params": params});
        let answer = gateway.post_as(&who, &message, &headers).await;
        assert_eq!((answer.status(), answer.code().await), (StatusCode::OK, NOT_PERMITTED), "{method}");
        assert_eq!(one.saw(method), 0, "{method}");
    }
    let call = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "one__read_a"}});
    let result = gateway.post_as(&who, &call, &headers).await.message().await["result"].take();
    assert_eq!(result["done"]["name"], "read_a");
}
