//! Who may do what, seen from outside: challenges, metadata, the admin port, credentials that stay here.

use bytes::Bytes;
use holdfast_tests::{
    Result,
    client::{Caller, Reply},
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    wait,
};
use http_body_util::Full;
use hyper::Request;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

const PUBLIC: &str = "https://mcp.example.com";
const PAGE: &str = "https://app.example.com";

async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    ask(address, "GET", path, headers).await
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(Caller::new(address).send(request.body(Full::<Bytes>::default())?).await?)
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn guarded() -> Result<(Gateway, Fixture)> {
    let fixture = Fixture::start(Options::named("one")).await?;
    let config = Config::default().root(&format!(
        "\
auth:
  type: jwt
  jwt:
    issuer: https://issuer.example.com
    audience: holdfast
    secret_key: a-secret-of-at-least-thirty-two-bytes
mcp:
  public_url: {PUBLIC}
  allowed_origins: ['{PAGE}']
  servers:
    - {{name: tools, endpoints: [{}]}}
",
        fixture.mcp()
    ));
    Ok((Gateway::start(&config).await?, fixture))
}

#[tokio::test]
async fn a_challenge_names_metadata_that_names_the_public_resource() -> Result {
    let (gateway, _fixture) = guarded().await?;
    let refused = ask(gateway.address, "POST", "/mcp/tools", &[]).await?;
    assert_eq!(refused.status, 401);
    let challenge = header(&refused, "www-authenticate");
    let well_known = "/.well-known/oauth-protected-resource/mcp/tools";
    assert!(challenge.contains(&format!("resource_metadata=\"{PUBLIC}{well_known}\"")), "{challenge}");
    // A forged Host must not choose the audience that clients ask tokens for (RFC 9728 section 7.3).
    let document = get(gateway.address, well_known, &[("x-forwarded-host", "evil.example")]).await?;
    let document: Value = serde_json::from_slice(&document.body)?;
    assert_eq!(document["resource"], format!("{PUBLIC}/mcp/tools"));
    assert_eq!(document["authorization_servers"][0], "https://issuer.example.com");
    Ok(())
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_read_the_challenge_and_another_cannot() -> Result {
    let (gateway, _fixture) = guarded().await?;
    let allowed = ask(gateway.address, "POST", "/mcp/tools", &[("origin", PAGE)]).await?;
    assert_eq!((allowed.status, header(&allowed, "access-control-allow-origin")), (401.try_into()?, PAGE));
    assert!(header(&allowed, "access-control-expose-headers").contains("www-authenticate"));
    let foreign = ask(gateway.address, "POST", "/mcp/tools", &[("origin", "https://evil.example")]).await?;
    assert_eq!(header(&foreign, "access-control-allow-origin"), "");
    Ok(())
}

#[tokio::test]
async fn health_answers_on_every_port_and_follows_the_drain() -> Result {
    let fixture = Fixture::start(Options::named("one")).await?;
    let config = Config::default()
        .server(&["drain_delay: 60s"])
        .root(&format!("mcp:\n  servers:\n    - {{name: tools, endpoints: [{}]}}\n", fixture.mcp()));
    let mut gateway = Gateway::start(&config).await?;
    for address in [gateway.address, gateway.admin] {
        for path in ["/health", "/ready", "/healthz"] {
            assert_eq!(get(address, path, &[]).await?.status, 200, "{address}{path}");
        }
    }
    gateway.signal(Signal::SIGTERM)?;
    let unready = async || (get(gateway.address, "/ready", &[]).await.ok()?.status == 503).then_some(());
    wait::until("/ready is 503", Duration::from_secs(10), unready).await?;
    assert_eq!(get(gateway.admin, "/healthz", &[]).await?.status, 503);
    assert_eq!(get(gateway.address, "/health", &[]).await?.status, 200, "it lives");
    gateway.signal(Signal::SIGTERM)?; // Now.
    gateway.ended(Duration::from_secs(20)).await?;
    Ok(())
}

#[tokio::test]
async fn the_admin_port_shows_metrics_to_all_and_the_rest_to_its_operator() -> Result {
    let (gateway, _fixture) = guarded().await?;
    assert_eq!(get(gateway.admin, "/metrics", &[]).await?.status, 200);
    for (method, path) in [("GET", "/status"), ("GET", "/"), ("POST", "/reload"), ("POST", "/drain")] {
        assert_eq!(
            ask(gateway.admin, method, path, &[]).await?.status,
            403,
            "{method} {path}: no token is configured"
        );
    }
    assert_eq!(get(gateway.admin, "/reload", &[]).await?.status, 404, "a mutation is a POST");
    let (status, answer) = gateway.admin_post("/reload").await?;
    assert_eq!(status, 200, "{answer}");
    Ok(())
}

#[tokio::test]
async fn sighup_reloads_and_a_wrong_file_is_refused_with_its_line() -> Result {
    let (gateway, _fixture) = guarded().await?;
    let generation = async || Some(gateway.metrics().await.ok()?.sum("holdfast_config_generation", &[]));
    gateway.signal(Signal::SIGHUP)?;
    let second = async || (generation().await? > 1.5).then_some(());
    wait::until("the second generation", Duration::from_secs(10), second).await?;
    std::fs::write(gateway.file(), "mcp:\n  servrs: []\n")?;
    gateway.signal(Signal::SIGHUP)?;
    let refused = async || gateway.log().contains("holdfast.yaml:2:3").then_some(());
    wait::until("the log names the line", Duration::from_secs(10), refused).await?;
    assert!((generation().await.unwrap_or_default() - 2.0).abs() < 0.5, "the old one serves on");
    Ok(())
}
