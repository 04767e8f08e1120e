//! Endpoints behind a name of a real DNS server: they come and go with its answers, outlive the server, and no safe
//! request fails.

use bytes::Bytes;
use holdfast_tests::{
    Result,
    client::Caller,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    load,
    named::{Named, ZONE},
    wait,
};
use http_body_util::Full;
use hyper::Request;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Time for a change to reach the gateway.
const LIMIT: Duration = Duration::from_secs(30);
/// The name of the endpoints, in the zone.
const NAME: &str = "tools";
/// Clients that may notice nothing.
const MIX: Mix = Mix { plain: 6, legacy: 3, modern: 3, record: 0, record_ms: 0 };

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 9, last).into()
}

/// Three replicas at addresses of their own, with one port.
async fn replicas() -> Result<Vec<Fixture>> {
    let known_as = format!("{NAME}.{ZONE}");
    let mut replicas: Vec<Fixture> = Vec::new();
    for last in 1..=3 {
        let port = replicas.first().map_or(0, |first| first.address().port());
        let listen = SocketAddr::new(address(last), port);
        replicas.push(Fixture::start(Options::named(&format!("r{last}")).at(listen, &known_as)).await?);
    }
    Ok(replicas)
}

fn config(dns: &Named, port: u16) -> Config {
    Config::default().root(&format!(
        "\
connection_pool: {{dns_servers: '{}'}}
mcp:
  servers:
    - {{name: tools, session: replayable, endpoints: ['http://{NAME}.{ZONE}:{port}/mcp']}}
apis:
  - {{name: plain, path_prefix: /plain, endpoints: ['http://{NAME}.{ZONE}:{port}']}}
",
        dns.address
    ))
}

/// Waits until the route `plain` has so many endpoints.
async fn endpoints(gateway: &Gateway, count: f64) -> Result {
    let look = async || {
        let metrics = gateway.metrics().await.ok()?;
        let seen = metrics.sum("holdfast_upstream_endpoints", &["upstream=\"plain\""]);
        ((seen - count).abs() < 0.5).then_some(())
    };
    wait::until(&format!("the gateway has {count} endpoints"), LIMIT, look).await
}

/// Good answers to requests of one route from the endpoint at `last`.
async fn served(gateway: &Gateway, route: &str, last: u8) -> Result<f64> {
    let (upstream, endpoint) = (format!("upstream=\"{route}\""), format!("#{}:", address(last)));
    let labels = [&*upstream, &*endpoint, "outcome=\"ok\""];
    Ok(gateway.metrics().await?.sum("holdfast_upstream_attempts_total", &labels))
}

/// Waits until the endpoint at `last` has served some more requests of a route.
async fn serves(gateway: &Gateway, route: &str, last: u8) -> Result {
    let before = served(gateway, route, last).await?;
    let look = async || (served(gateway, route, last).await.ok()? > before + 10.0).then_some(());
    wait::until(&format!("replica {last} serves {route}"), LIMIT, look).await
}

/// Waits for so many more answers, good or bad, to questions of both routes.
async fn resolved(gateway: &Gateway, result: &str, more: f64) -> Result {
    let count = async || {
        let metrics = gateway.metrics().await?;
        let of = |upstream| {
            metrics.sum("holdfast_upstream_resolutions_total", &[upstream, &format!("result=\"{result}\"")])
        };
        Result::Ok(of("upstream=\"plain\"").min(of("upstream=\"tools\"")))
    };
    let before = count().await?;
    let look = async || (count().await.ok()? > before + more - 0.5).then_some(());
    wait::until(&format!("{more} more resolutions are {result}"), LIMIT, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_come_and_go_with_their_name_and_outlive_the_server() -> Result {
    let (mut dns, mut replicas) = (Named::start().await?, replicas().await?);
    dns.set(NAME, &[address(1)]).await?;
    let gateway = Gateway::start(&config(&dns, replicas[0].address().port())).await?;
    endpoints(&gateway, 1.0).await?;
    let crowd = Crowd::start(&Target::gateway(gateway.address), MIX).await?;
    serves(&gateway, "plain", 1).await?;
    serves(&gateway, "tools", 1).await?;

    // Two more appear.
    dns.set(NAME, &[address(1), address(2), address(3)]).await?;
    endpoints(&gateway, 3.0).await?;
    // Sessions stay where they are; the plain route shows that the new ones are used.
    serves(&gateway, "plain", 2).await?;
    serves(&gateway, "plain", 3).await?;

    // The first disappears, and may then die: nobody is left on it.
    dns.set(NAME, &[address(2), address(3)]).await?;
    endpoints(&gateway, 2.0).await?;
    crowd.safe_requests(crowd.tallies.safe_good() + 500, LIMIT).await?;
    replicas[0].kill()?;

    // NXDOMAIN: the last good answer stays.
    dns.set(NAME, &[]).await?;
    resolved(&gateway, "failed", 2.0).await?;
    endpoints(&gateway, 2.0).await?;
    dns.set(NAME, &[address(2), address(3)]).await?;
    resolved(&gateway, "ok", 1.0).await?;

    // The server dies, and an endpoint after it: the other one serves on.
    dns.kill()?;
    resolved(&gateway, "failed", 1.0).await?;
    endpoints(&gateway, 2.0).await?;
    replicas[1].kill()?;
    serves(&gateway, "plain", 3).await?;
    serves(&gateway, "tools", 3).await?;

    // The server is back and says something new.
    replicas[0].restart().await?;
    dns.restart().await?;
    dns.set(NAME, &[address(1), address(3)]).await?;
    serves(&gateway, "plain", 1).await?;
    endpoints(&gateway, 2.0).await?;

    let tallies = crowd.finish().await?;
    load::print("endpoints behind a DNS name", &tallies.safe());
    load::total_of("DNS", &tallies.safe());
    let failed = tallies.safe_failures();
    assert!(failed.is_empty(), "{}\n{}\n{}", failed.join("\n"), gateway.log(), dns.log());
    for tally in tallies.safe() {
        assert!(tally.good() > 500, "only {} of {}", tally.good(), tally.name());
    }
    Ok(())
}

/// Status of one plain request.
async fn status(gateway: &Gateway) -> Result<u16> {
    let request = Request::get("/plain/x").header("host", "localhost").body(Full::<Bytes>::default())?;
    Ok(Caller::new(gateway.address).send(request).await?.status.as_u16())
}

#[tokio::test]
async fn a_name_that_does_not_exist_yet_is_a_503_until_it_does() -> Result {
    let (dns, replicas) = (Named::start().await?, replicas().await?);
    let gateway = Gateway::start(&config(&dns, replicas[0].address().port())).await?;
    resolved(&gateway, "failed", 1.0).await?;
    assert_eq!(status(&gateway).await?, 503);
    dns.set(NAME, &[address(1)]).await?;
    let look = async || (status(&gateway).await.ok()? == 200).then_some(());
    wait::until("the route answers", LIMIT, look).await
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_asked_for_by_tcp_and_bounded() -> Result {
    let dns = Named::start().await?;
    let many: Vec<IpAddr> = (1..=90).map(address).collect();
    // 90 records of 16 bytes each.
    dns.set(NAME, &many).await?;
    let gateway = Gateway::start(&config(&dns, 1)).await?;
    endpoints(&gateway, 64.0).await
}

#[tokio::test]
async fn a_reload_changes_the_server_that_is_asked() -> Result {
    let (first, second, replicas) = tokio::try_join!(Named::start(), Named::start(), replicas())?;
    let port = replicas[0].address().port();
    first.set(NAME, &[address(1)]).await?;
    second.set(NAME, &[address(2), address(3)]).await?;
    let gateway = Gateway::start(&config(&first, port)).await?;
    endpoints(&gateway, 1.0).await?;
    gateway.rewrite(&config(&second, port))?;
    let (status, body) = gateway.admin_post("/reload").await?;
    assert_eq!(status, 200, "{body}");
    endpoints(&gateway, 2.0).await
}
