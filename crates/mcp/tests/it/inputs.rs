//! Bad input: each gets its typed answer, and none reaches a server.

use super::{
    gateway::{Gateway, Options, modern_message, plain, request},
    upstream::{Act, Seen, Upstream, legacy, named},
};
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn malformed_messages_get_the_error_that_says_why() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&server]);
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}}"#,
        "[".repeat(100_000) + &"]".repeat(100_000)
    );
    let cases: [(&str, i64); 12] = [
        ("", -32700),
        ("{", -32700),
        ("\u{feff}{}", -32700),
        ("7", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (&deep, -32600),
    ];
    for (text, code) in cases {
        let answer = gateway.post_text(text.to_owned(), &[]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{text:.80}");
        assert_eq!(answer.code().await, code, "{text:.80}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn oversized_bodies_and_wrong_types_are_refused() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let options = Options { root: "", server: "", ..Options::default() };
    let gateway = Gateway::new(&[&server], options);
    let big =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(5 << 20));
    assert_eq!(gateway.post_text(big, &[]).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (name, value, status) in [
        ("content-type", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type", "application/json; charset=latin1", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("accept", "application/json", StatusCode::NOT_ACCEPTABLE),
        ("accept", "text/html", StatusCode::NOT_ACCEPTABLE),
        ("host", "evil.example", StatusCode::FORBIDDEN),
        ("origin", "http://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
    ] {
        let answer = gateway.post_text(ping.to_owned(), &[(name, value)]).await;
        assert_eq!(answer.status(), status, "{name}: {value}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn methods_and_preflights() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&server]);
    for method in ["PUT", "PATCH", "HEAD", "TRACE"] {
        let answer = gateway.send(request(method, String::new(), &[])).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("allow"), Some("POST, GET, DELETE"));
    }
    for method in ["GET", "DELETE"] {
        let modern =
            gateway.send(request(method, String::new(), &[("mcp-protocol-version", "2026-07-28")])).await;
        assert_eq!(modern.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        let legacy = gateway.send(request(method, String::new(), &[])).await;
        assert_eq!(legacy.status(), StatusCode::BAD_REQUEST, "{method} without a session");
    }
    let asked = [
        ("origin", "http://localhost:6274"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type, mcp-param-region, cookie, mcp-session-id"),
    ];
    let preflight = gateway.send(request("OPTIONS", String::new(), &asked)).await;
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://localhost:6274"));
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    assert_eq!(allowed, "content-type, mcp-param-region, mcp-session-id");
    let exposed = preflight.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("mcp-session-id") && exposed.contains("www-authenticate"));
}

#[tokio::test]
async fn modern_headers_must_agree_with_the_body() {
    let server = Upstream::start(named("a")).await;
    let gateway = Gateway::new(&[&server], Options { server: "era: modern", ..Options::default() });
    let (message, _) = modern_message(3, "tools/call", json!({"name": "t"}));
    let good = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "t")];
    for (index, value) in [(0, "2025-11-25"), (1, "tools/list"), (2, "other"), (2, "=?base64?!?=")] {
        let mut headers = good;
        headers[index].1 = value;
        let answer = gateway.post(&message, &headers).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let error = answer.json().await;
        assert_eq!((&error["error"]["code"], &error["id"]), (&json!(-32020), &json!(3)), "{value}");
    }
    for missing in 0..3 {
        let headers: Vec<_> =
            good.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, h)| *h).collect();
        assert_eq!(gateway.post(&message, &headers).await.code().await, -32020);
    }
    let mut unknown = message.clone();
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("v999");
    let headers = [("mcp-protocol-version", "v999"), good[1], good[2]];
    let error = gateway.post(&unknown, &headers).await.json().await;
    assert_eq!(error["error"]["code"], -32022);
    assert_eq!(error["error"]["data"], json!({"supported": ["2026-07-28"], "requested": "v999"}));
    for removed in ["ping", "logging/setLevel", "resources/subscribe", "initialize"] {
        let answer = gateway.modern(removed, json!({})).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(answer.code().await, -32601);
    }
    assert!(server.seen().is_empty());
    assert_eq!(gateway.post(&message, &good).await.status(), StatusCode::OK);
    assert_eq!(server.seen()[0].header("mcp-name"), Some("t"));
}

#[tokio::test]
async fn an_unbridged_pair_is_told_at_once() {
    let old = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&old]);
    let discovered = gateway.modern("server/discover", json!({})).await;
    assert_eq!(discovered.status(), StatusCode::NOT_FOUND, "as at any server of that age");
    assert_eq!(discovered.code().await, -32601);
    let error = gateway.modern("tools/list", json!({})).await;
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    let error = error.json().await;
    assert_eq!(
        (&error["error"]["code"], &error["error"]["data"]["supported"][0]),
        (&json!(-32022), &json!("2025-11-25"))
    );
    assert_eq!(old.saw("server/discover"), 1, "asked once, then believed");
    assert_eq!(gateway.open("2025-11-25").await.call(1, "ping", json!({})).await.status(), StatusCode::OK);

    let new = Upstream::start(|seen: &Seen| Act::Json(StatusCode::OK, seen.result(json!({})))).await;
    let gateway = Gateway::new(&[&new], Options { server: "era: modern", ..Options::default() });
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let error = gateway.post(&initialize, &[]).await;
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    assert_eq!(error.json().await["error"]["data"]["supported"], json!(["2026-07-28"]));
    assert!(new.seen().is_empty());
}

#[tokio::test]
async fn credentials_of_the_client_stay_here_and_those_of_the_config_go_up() {
    let server = Upstream::start(named("a")).await;
    let options = Options {
        server: "era: modern\nupstream_auth: { header: x-server-key, value: from-config-0123456789 }",
        ..Options::default()
    };
    let gateway = Gateway::new(&[&server], options);
    let (message, _) = modern_message(1, "tools/call", json!({"name": "t"}));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "t"),
        ("mcp-param-region", "us"),
        ("authorization", "Bearer secret"),
        ("cookie", "a=b"),
        ("x-api-key", "secret"),
        ("mcp-session-id", "whatever"),
    ];
    assert_eq!(gateway.post(&message, &headers).await.status(), StatusCode::OK);
    let seen = &server.seen()[0];
    for name in ["authorization", "cookie", "x-api-key", "mcp-session-id"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("mcp-param-region"), Some("us"));
    assert_eq!(seen.header("x-server-key"), Some("from-config-0123456789"));
    assert!(seen.header("traceparent").is_some() && seen.header("x-request-id").is_some());
}

#[tokio::test]
async fn the_path_without_a_server_names_the_servers() {
    let server = Upstream::start(named("a")).await;
    let gateway = plain(&[&server]);
    for name in [None, Some("nope")] {
        let answer = super::gateway::Answer(gateway.service.no_server(name));
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(answer.json().await["error"]["data"]["servers"], json!(["/mcp/it"]));
    }
}
