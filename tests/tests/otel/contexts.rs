//! Contexts on their way: from headers and from `_meta`, to headers and to `_meta`, and the spans that they name.

use super::origin::{Origin, join, parts};
use bytes::Bytes;
use holdfast_tests::{
    Result,
    client::{Caller, Reply},
    gateway::Gateway,
    place,
    rotel::{Rotel, Span},
};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ALL: &str = "enabled: true, sample_rate: 100%, interval: 50ms";

/// A modern call of `tool` with more members of `_meta`.
fn call(tool: &str, meta: &Value) -> String {
    let mut all = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    join(&mut all, meta);
    let params = json!({"name": tool, "arguments": {"n": 1}, "_meta": all});
    json!({"jsonrpc": "2.0", "id": "req-7", "method": "tools/call", "params": params}).to_string()
}

async fn post(gateway: &Gateway, path: &str, body: String, headers: &[(&str, &str)]) -> Result<Reply> {
    let mut request = Request::post(path)
        .header("host", gateway.address.to_string())
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    Ok(Caller::new(gateway.address).send(request).await?)
}

/// Headers of a modern call of `tool`.
fn modern(tool: &str) -> [(&str, &str); 3] {
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", tool)]
}

/// The spans of one request, from its own down to the one named `last`: each is the parent of the next.
fn chain(spans: &[Span], last: &str) -> Vec<Span> {
    let mut chain = Vec::new();
    let mut id = last.to_owned();
    while let Some(span) = spans.iter().find(|span| span.id == id) {
        chain.insert(0, span.clone());
        id.clone_from(&span.parent);
    }
    chain
}

fn kinds(chain: &[Span]) -> Vec<(&str, &str)> {
    chain.iter().map(|span| (span.kind.as_str(), span.name.as_str())).collect()
}

#[tokio::test]
async fn an_http_route_continues_the_trace_of_its_caller() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let gateway = origin.gateway(&format!("{ALL}, endpoint: '{}'", rotel.endpoint())).await?;
    let request = Request::get("/api/x")
        .header("host", "x")
        .header("traceparent", CLIENT)
        .header("tracestate", "rojo=1,congo=2")
        .header("baggage", "user=alice")
        .body(Full::<Bytes>::default())?;
    assert_eq!(Caller::new(gateway.address).send(request).await?.status, 200);
    let seen = &origin.seen()[0];
    let (trace, parent, flags) = parts(seen.header("traceparent"));
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_eq!((seen.header("tracestate"), seen.header("baggage")), ("rojo=1,congo=2", "user=alice"));
    let spans = rotel.servers(1).await?;
    let chain = chain(&spans, &parent);
    assert_eq!(kinds(&chain), [("SERVER", "GET /api"), ("CLIENT", "GET")]);
    assert_eq!(chain[0].parent, "00f067aa0ba902b7");
    assert_eq!(chain[1].get("url.full"), format!("http://{}", origin.address));
    assert_eq!(chain[1].get("server.port"), origin.address.port().to_string());
    Ok(())
}

#[tokio::test]
async fn an_attempt_that_found_nobody_is_a_span_of_its_own() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let dead = place::free_address()?;
    let one = format!("endpoints: ['http://{}']", origin.address);
    let both = format!(
        "strategy: round_robin, health_check: {{enabled: false}}, endpoints: ['http://{dead}', 'http://{}']",
        origin.address
    );
    let config = origin.config(&format!("{ALL}, endpoint: '{}'", rotel.endpoint())).replace(&one, &both);
    let gateway = Gateway::start(&config).await?;
    for _ in 0..4 {
        let request = Request::get("/api/x").header("host", "x").body(Full::<Bytes>::default())?;
        assert_eq!(Caller::new(gateway.address).send(request).await?.status, 200);
    }
    let spans = rotel.servers(4).await?;
    let failed =
        spans.iter().find(|span| span.kind == "CLIENT" && span.is_error).ok_or("no failed attempt")?;
    assert_eq!(
        (failed.get("error.type"), failed.get("url.full")),
        ("connect", format!("http://{dead}").as_str())
    );
    let second = spans.iter().find(|span| span.parent == failed.parent && !span.is_error);
    assert_eq!(second.map(|span| span.get("http.request.resend_count")), Some("1"));
    Ok(())
}

#[tokio::test]
async fn an_mcp_call_over_http_names_its_spans_in_the_header_and_in_meta() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let gateway = origin.gateway(&format!("{ALL}, endpoint: '{}'", rotel.endpoint())).await?;
    // By header alone: the message passes byte by byte.
    let body = call("read", &json!({}));
    let mut headers = modern("read").to_vec();
    headers.extend([("traceparent", CLIENT), ("tracestate", "a=1"), ("baggage", "b=2")]);
    assert_eq!(post(&gateway, "/mcp/files", body.clone(), &headers).await?.status, 200);
    let seen = origin.seen()[0].clone();
    assert_eq!(seen.path, "/mcp");
    assert_eq!(seen.body, body);
    assert_eq!((seen.header("tracestate"), seen.header("baggage")), ("a=1", "b=2"));
    let spans = rotel.servers(1).await?;
    let by_header = chain(&spans, &parts(seen.header("traceparent")).1);
    let names = [("SERVER", "tools/call read"), ("CLIENT", "tools/call read"), ("CLIENT", "POST")];
    assert_eq!(kinds(&by_header), names);
    assert_eq!(by_header[0].parent, "00f067aa0ba902b7");
    for span in &by_header[..2] {
        assert_eq!((span.get("mcp.method.name"), span.get("gen_ai.tool.name")), ("tools/call", "read"));
        assert_eq!(
            (span.get("jsonrpc.request.id"), span.get("mcp.protocol.version")),
            ("req-7", "2026-07-28")
        );
        assert_eq!(
            (span.get("gen_ai.operation.name"), span.get("network.transport")),
            ("execute_tool", "tcp")
        );
    }
    // By `_meta`, which goes before the header; nothing but the value changes.
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = call("read", &json!({"traceparent": own, "tracestate": "m=1", "baggage": "c=3"}));
    assert_eq!(post(&gateway, "/mcp/files", body.clone(), &headers).await?.status, 200);
    let seen = origin.seen()[1].clone();
    assert_eq!((seen.header("tracestate"), seen.header("baggage")), ("m=1", "c=3"));
    let spans = rotel.servers(2).await?;
    let by_meta = chain(&spans, &parts(seen.header("traceparent")).1);
    assert_eq!(kinds(&by_meta), names);
    assert_eq!((by_meta[0].trace.as_str(), by_meta[0].parent.as_str()), (&own[3..35], &own[36..52]));
    let passed: Value = serde_json::from_slice(&seen.body)?;
    let passed = passed["params"]["_meta"]["traceparent"].as_str().ok_or("no traceparent")?;
    assert_eq!(parts(passed).1, by_meta[1].id, "the server's parent is the call, not its transport");
    assert_eq!(seen.body, body.replace(own, passed));
    Ok(())
}

#[tokio::test]
async fn a_program_gets_the_context_in_meta_and_every_other_byte_as_it_was() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let script = place::root().join("tests/clients/py/mirror.py");
    for recorded in [true, false] {
        let tracing = format!("{ALL}, endpoint: '{}'", rotel.endpoint());
        let tracing = if recorded { tracing } else { tracing.replace("true", "false") };
        let server =
            format!("    - {{name: run, era: modern, command: [python3, '{}']}}\n", script.display());
        let gateway = Gateway::start(&origin.config(&tracing).root(&server)).await?;
        let body = call("say", &json!({"odd": 1}));
        let mut headers = modern("say").to_vec();
        let got = |reply: &Reply| -> Result<String> {
            let answer: Value = serde_json::from_slice(&reply.body)?;
            Ok(answer["result"]["content"][0]["text"].as_str().ok_or_else(|| answer.to_string())?.to_owned())
        };
        let bare = got(&post(&gateway, "/mcp/run", body.clone(), &headers).await?)?;
        headers.extend([("traceparent", CLIENT), ("tracestate", "a=1"), ("baggage", "b=2")]);
        let line = got(&post(&gateway, "/mcp/run", body.clone(), &headers).await?)?;
        let message: Value = serde_json::from_str(&line)?;
        let meta = &message["params"]["_meta"];
        assert_eq!((&meta["tracestate"], &meta["baggage"]), (&json!("a=1"), &json!("b=2")));
        let parent = meta["traceparent"].as_str().ok_or("no traceparent")?;
        assert_eq!(parts(parent).0, TRACE);
        let added = format!(r#""traceparent":"{parent}","tracestate":"a=1","baggage":"b=2","#);
        // Links give each request an id of their own.
        let without_id = |text: &str| {
            let mut message: Value = serde_json::from_str(text).unwrap();
            let id = message["id"].take().to_string();
            text.replace(&format!("\"id\":{id}"), "")
        };
        assert_eq!(without_id(&line.replace(&added, "")), without_id(&body));
        if recorded {
            let spans = rotel.servers(2).await?;
            let chain = chain(&spans, &parts(parent).1);
            assert_eq!(kinds(&chain), [("SERVER", "tools/call say"), ("CLIENT", "tools/call say")]);
            assert_eq!(chain[1].get("network.transport"), "pipe");
            assert!(bare.contains("traceparent"), "what is recorded is told to the server");
        } else {
            assert_eq!(without_id(&bare), without_id(&body), "nothing is added for nobody");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_tool_or_a_server_gets_wrong_is_kept_and_what_a_caller_gets_wrong_is_not() -> Result {
    let (origin, rotel) = (Origin::start().await?, Rotel::start().await?);
    let tracing = format!("enabled: true, sample_rate: 0%, interval: 50ms, endpoint: '{}'", rotel.endpoint());
    let gateway = origin.gateway(&tracing).await?;
    for tool in ["fine", "unknown", "sorry", "broken"] {
        post(&gateway, "/mcp/files", call(tool, &json!({})), &modern(tool)).await?;
    }
    let spans = rotel.servers(2).await?;
    let mut kept: Vec<_> = spans
        .iter()
        .filter(|span| span.kind == "SERVER")
        .map(|span| {
            (span.name.as_str(), span.get("error.type"), span.get("rpc.response.status_code"), span.is_error)
        })
        .collect();
    kept.sort_unstable();
    assert_eq!(
        kept,
        [("tools/call broken", "-32603", "-32603", true), ("tools/call sorry", "tool_error", "", true)]
    );
    Ok(())
}
