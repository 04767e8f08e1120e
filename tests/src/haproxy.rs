//! A real load balancer in front of several gateways: health checks on `/ready`, retries off.

use crate::{Result, client::Caller, place, process::Process, wait};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use std::{fmt::Write as _, net::SocketAddr, process::Command, time::Duration};
use tempfile::TempDir;

/// Time it gets to start, and to notice that a server changed.
const NOTICE: Duration = Duration::from_secs(20);

/// A running HAProxy.
#[derive(Debug)]
pub struct Haproxy {
    /// Where its clients connect.
    pub address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Haproxy {
    /// Starts it before `servers` and waits until all of them are up.
    pub async fn start(servers: &[SocketAddr]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = place::free_address()?;
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config(address, servers)?)?;
        let mut command = Command::new(place::program("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let mut process = Process::start("haproxy", &mut command, folder.path())?;
        process.ready(NOTICE, || std::net::TcpStream::connect(address).ok().map(drop)).await?;
        let haproxy = Self { address, process, _folder: folder };
        for index in 0..servers.len() {
            haproxy.up(index).await?;
        }
        Ok(haproxy)
    }

    /// Waits until its health check of server `index` succeeds.
    pub async fn up(&self, index: usize) -> Result {
        let what = format!("HAProxy sees server {index} up");
        wait::until(&what, NOTICE, async || (self.status(index).await.ok()? == "UP").then_some(())).await
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its view of server `index`, from its statistics page in CSV: column 17 (from 0) is the status.
    async fn status(&self, index: usize) -> Result<String> {
        let request =
            Request::get("/haproxy-stats;csv").header("host", "localhost").body(Full::<Bytes>::default())?;
        let reply = Caller::new(self.address).send(request).await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let line = text.lines().find(|line| line.starts_with(&format!("gateways,g{index},")));
        let status = line.and_then(|line| line.split(',').nth(17));
        status.map(str::to_owned).ok_or_else(|| format!("no server {index} in the statistics: {text}").into())
    }
}

fn config(address: SocketAddr, servers: &[SocketAddr]) -> Result<String> {
    let mut text = format!(
        "\
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 2s
    retries 0
frontend clients
    bind {address}
    stats enable
    stats uri /haproxy-stats
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk GET /ready
    http-check expect status 200
"
    );
    for (index, server) in servers.iter().enumerate() {
        writeln!(text, "    server g{index} {server} check inter 100ms fall 1 rise 1")?;
    }
    Ok(text)
}
