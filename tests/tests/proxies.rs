//! Behind real proxies: who the client is comes from hops that are trusted, and from nobody else.

use bytes::Bytes;
use holdfast_tests::{
    Result,
    client::Caller,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    place,
    process::Process,
    wait,
};
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);
/// Where the client of these tests calls from: another address of this machine than the proxies'.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn gateway(server: &[&str]) -> Result<(Gateway, Fixture)> {
    let fixture = Fixture::start(Options::named("one")).await?;
    let config = Config::default().server(server).root(&format!(
        "apis:\n  - {{name: plain, path_prefix: /plain, endpoints: ['http://{}']}}\n",
        fixture.address()
    ));
    Ok((Gateway::start(&config).await?, fixture))
}

async fn nginx(to: SocketAddr, folder: &std::path::Path) -> Result<(Process, SocketAddr)> {
    let (address, home) = (free()?, folder.display());
    let config = format!(
        "daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{
    listen {address};
    location / {{ proxy_pass http://{to}; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}
  }}
}}
"
    );
    std::fs::write(folder.join("nginx.conf"), config)?;
    let mut command = Command::new(place::program("nginx")?);
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .arg("-e")
        .arg(folder.join("error.log"));
    started("nginx", command, address, folder).await
}

async fn haproxy(to: SocketAddr, folder: &std::path::Path) -> Result<(Process, SocketAddr)> {
    let address = free()?;
    let config = format!(
        "defaults
    mode tcp
    timeout connect 2s
    timeout client 20s
    timeout server 20s
listen l
    bind {address}
    server g {to} send-proxy-v2
"
    );
    std::fs::write(folder.join("haproxy.cfg"), config)?;
    let mut command = Command::new(place::program("haproxy")?);
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    started("haproxy", command, address, folder).await
}

async fn started(
    name: &str,
    mut command: Command,
    address: SocketAddr,
    folder: &std::path::Path,
) -> Result<(Process, SocketAddr)> {
    let mut process = Process::start(name, &mut command, folder)?;
    process.ready(LIMIT, || std::net::TcpStream::connect(address).ok().map(drop)).await?;
    Ok((process, address))
}

/// Sends one request from [`CLIENT`] that claims to come from elsewhere; returns the client that the gateway recorded.
async fn recorded_client(gateway: &Gateway, by: SocketAddr, path: &str) -> Result<String> {
    let request = Request::get(path)
        .header("host", by.to_string())
        .header("x-forwarded-for", "203.0.113.66")
        .body(Full::<Bytes>::default())?;
    let reply = Caller::new(by).from(Some(CLIENT)).send(request).await?;
    assert_eq!(reply.status, 200, "{}", gateway.log());
    let file = gateway.folder().join("access.log");
    let found = async || {
        let text = std::fs::read_to_string(&file).ok()?;
        let record = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let record = record.into_iter().find(|record| record["path"] == path)?;
        record["client"].as_str().map(str::to_owned)
    };
    wait::until("the access record is written", LIMIT, found).await
}

#[tokio::test]
async fn behind_nginx_the_client_is_the_one_nginx_saw_and_a_forged_header_counts_for_nothing() -> Result {
    let folder = tempfile::tempdir()?;
    let (gateway, _fixture) = gateway(&["trusted_proxies: [127.0.0.1/32]"]).await?;
    let (_nginx, address) = nginx(gateway.address, folder.path()).await?;
    assert_eq!(recorded_client(&gateway, address, "/plain/nginx").await?, CLIENT.to_string());
    Ok(())
}

#[tokio::test]
async fn without_trust_the_client_is_the_peer() -> Result {
    let folder = tempfile::tempdir()?;
    let (gateway, _fixture) = gateway(&[]).await?;
    let (_nginx, address) = nginx(gateway.address, folder.path()).await?;
    assert_eq!(recorded_client(&gateway, address, "/plain/peer").await?, "127.0.0.1");
    Ok(())
}

#[tokio::test]
async fn behind_haproxy_with_proxy_v2_the_client_keeps_its_address_and_its_cap() -> Result {
    let folder = tempfile::tempdir()?;
    let server = ["trusted_proxies: [127.0.0.1/32]", "proxy_protocol: required", "max_connections_per_ip: 2"];
    let (gateway, _fixture) = gateway(&server).await?;
    let (_haproxy, address) = haproxy(gateway.address, folder.path()).await?;
    assert_eq!(recorded_client(&gateway, address, "/plain/proxy").await?, CLIENT.to_string());
    // The cap is the client's, not the proxy's: a third connection of one client is closed, another client's is served.
    let request = |path: &str| Request::get(path).header("host", "localhost").body(Full::<Bytes>::default());
    let (mut first, mut second) =
        (Caller::new(address).from(Some(CLIENT)), Caller::new(address).from(Some(CLIENT)));
    assert_eq!(first.send(request("/plain/1")?).await?.status, 200);
    assert_eq!(second.send(request("/plain/2")?).await?.status, 200);
    assert!(Caller::new(address).from(Some(CLIENT)).send(request("/plain/3")?).await.is_err());
    let other = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10)));
    assert_eq!(Caller::new(address).from(other).send(request("/plain/4")?).await?.status, 200);
    Ok(())
}
