//! Servers in Python, and gateways before them.

use holdfast_tests::{
    Result,
    gateway::{Config, Gateway},
    place,
    process::Process,
    tools,
};
use serde_json::Value;
use std::{fmt, path::Path, time::Duration};

/// Time for what happens soon.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Sse,
    WebSocket,
}

impl Carrier {
    pub(crate) const ALL: [Self; 2] = [Self::Sse, Self::WebSocket];

    /// The name that scripts know.
    fn word(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "ws",
        }
    }

    /// The URL of a server at a port, and whatever else the gateway must be told.
    pub(crate) fn endpoint(self, port: u16) -> String {
        match self {
            Self::Sse => format!("http://127.0.0.1:{port}/sse"),
            Self::WebSocket => format!("ws://127.0.0.1:{port}/ws"),
        }
    }

    /// The keys of a server at these ports.
    pub(crate) fn keys(self, ports: &[u16]) -> String {
        let urls: Vec<String> = ports.iter().map(|port| self.endpoint(*port)).collect();
        let transport = if self == Self::Sse { ", transport: sse" } else { "" };
        format!("endpoints: [{}]{transport}", urls.join(", "))
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A server and its port.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Server {
    async fn start(mut command: std::process::Command, name: &str, folder: &Path) -> Result<Self> {
        let mut process = Process::start(name, &mut command, folder)?;
        let log = folder.join(format!("{name}.log"));
        let port = process
            .ready(LIMIT, || {
                let said = std::fs::read_to_string(&log).ok()?;
                said.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
            })
            .await?;
        Ok(Self { process, port })
    }

    /// A server of an SDK.
    pub(crate) async fn sdk(venv: &str, carrier: Carrier, folder: &Path) -> Result<Self> {
        let mut command = tools::python(venv, "remote_server.py")?;
        command.arg(carrier.word());
        Self::start(command, &format!("{venv}-{carrier}"), folder).await
    }

    /// The scripted program, over both carriers.
    pub(crate) async fn scripted(name: &str, folder: &Path) -> Result<Self> {
        let mut command = tools::python("py-mcp1", "scripted_remote.py")?;
        command.arg(place::root().join("crates/links/tests/it/server.py"));
        Self::start(command, name, folder).await
    }
}

/// A configuration with these servers.
pub(crate) fn config(servers: &[(String, String)]) -> Config {
    let quick = Config::default().server(&["drain_delay: 0s", "max_drain: 10s"]);
    let servers: Vec<String> =
        servers.iter().map(|(name, keys)| format!("    - {{name: {name}, {keys}}}\n")).collect();
    quick.root(&format!("mcp:\n  public_url: https://gateway.example\n  servers:\n{}", servers.concat()))
}

/// A scripted server at `/mcp/sse` and `/mcp/ws`, with more keys.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start(keys: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::scripted("scripted", folder.path()).await?;
        let servers = Carrier::ALL.map(|carrier| {
            let keys = format!("era: dual, {}{keys}", carrier.keys(&[server.port]));
            (carrier.to_string(), keys)
        });
        let gateway = Gateway::start(&config(&servers)).await?;
        Ok(Self { gateway, _server: server, _folder: folder })
    }
}

/// What `/status` says of a server.
pub(crate) async fn told(gateway: &Gateway, name: &str) -> Result<Value> {
    let status = gateway.status().await?;
    let all = status["upstreams"].as_array().into_iter().flatten();
    let found = all.clone().find(|upstream| upstream["name"] == name);
    found.cloned().ok_or_else(|| format!("no {name} in {status}").into())
}
