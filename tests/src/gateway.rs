//! One running gateway: a configuration in a folder of its own, ports that the kernel chose.

use crate::{Result, metrics::Metrics, place, process::Process};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::UnixStream;

/// Time a gateway gets to start.
const START: Duration = Duration::from_secs(20);

/// What every configuration of a test begins with: free ports, access records and the admin socket in its folder.
const COMMON: &str = "\
server:
  host: 127.0.0.1
  port: {PORT}
{SERVER}admin:
  host: 127.0.0.1
  port: 0
  unix_socket: {FOLDER}/admin.sock
observability:
  logging: {level: info, format: text}
  access_log: {path: {FOLDER}/access.log}
{OBSERVABILITY}sessions:
  keys:
{KEYS}{SESSIONS}";

/// The key ring, unless a test brings its own.
const KEYS: &str = "    - {id: test, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}\n";

/// A configuration in the making.
#[derive(Clone, Debug, Default)]
pub struct Config {
    port: u16,
    server: String,
    observability: String,
    sessions: String,
    keys: String,
    rest: String,
    clock: Option<String>,
}

impl Config {
    /// Binds this port instead of a free one.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Adds lines to the block `server`, each `key: value`.
    #[must_use]
    pub fn server(mut self, lines: &[&str]) -> Self {
        for line in lines {
            self.server.extend(["  ", line, "\n"]);
        }
        self
    }

    /// Adds lines to the block `observability`, each `key: value`.
    #[must_use]
    pub fn observability(mut self, lines: &[&str]) -> Self {
        for line in lines {
            self.observability.extend(["  ", line, "\n"]);
        }
        self
    }

    /// Adds lines to the block `sessions`, each `key: value`.
    #[must_use]
    pub fn sessions(mut self, lines: &[&str]) -> Self {
        for line in lines {
            self.sessions.extend(["  ", line, "\n"]);
        }
        self
    }

    /// The key ring, each key an id and 32 bytes in base64; the first one seals.
    #[must_use]
    pub fn keys<'k>(mut self, keys: impl IntoIterator<Item = (&'k str, &'k str)>) -> Self {
        self.keys.clear();
        for (id, key) in keys {
            self.keys.extend(["    - {id: ", id, ", key: ", key, "}\n"]);
        }
        self
    }

    /// A wall clock that is off, as `faketime` writes it: `+60s`. Not part of the document.
    #[must_use]
    pub fn clock(self, off: &str) -> Self {
        Self { clock: Some(off.to_owned()), ..self }
    }

    /// Adds root blocks, as YAML.
    #[must_use]
    pub fn root(mut self, yaml: &str) -> Self {
        self.rest.push_str(yaml.trim_end());
        self.rest.push('\n');
        self
    }

    /// Changes what was added as root blocks.
    #[must_use]
    pub fn replace(self, from: &str, to: &str) -> Self {
        Self { rest: self.rest.replacen(from, to, 1), ..self }
    }

    /// The document, with `folder` for the files it names.
    pub fn render(&self, folder: &Path) -> String {
        let keys = if self.keys.is_empty() { KEYS } else { &self.keys };
        let text = COMMON
            .replace("{SERVER}", &self.server)
            .replace("{OBSERVABILITY}", &self.observability)
            .replace("{KEYS}", keys)
            .replace("{SESSIONS}", &self.sessions)
            .replace("{PORT}", &self.port.to_string())
            + &self.rest;
        text.replace("{FOLDER}", &folder.display().to_string())
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Where its clients connect.
    pub address: SocketAddr,
    /// Its admin port.
    pub admin: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Gateway {
    /// Starts `holdfast serve` and waits until it is ready.
    pub async fn start(config: &Config) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (file, ready) = (folder.path().join("holdfast.yaml"), folder.path().join("ready.json"));
        std::fs::write(&file, config.render(folder.path()))?;
        let mut command = Command::new(place::holdfast()?);
        command.arg("serve").arg("--config").arg(&file).arg("--ready-file").arg(&ready);
        if let Some(off) = &config.clock {
            command.env("LD_PRELOAD", place::faketime()?).env("FAKETIME", off);
            // Only the time of day is wrong: a monotonic clock has nothing to be compared with.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let mut process = Process::start("holdfast", &mut command, folder.path())?;
        let found: Value =
            process.ready(START, || serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()).await?;
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let listener = address(&found["listeners"][0]["address"]);
        let listener = listener.ok_or_else(|| format!("the ready file names no listener: {found}"))?;
        let admin =
            address(&found["admin"]).ok_or_else(|| format!("the ready file names no admin port: {found}"))?;
        Ok(Self { address: listener, admin, process, folder })
    }

    /// URL of a path on its first listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The folder with its configuration, logs and access records.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("holdfast.yaml")
    }

    /// Its admin socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Replaces its configuration file; it is not read before a reload.
    pub fn rewrite(&self, config: &Config) -> Result {
        // Written beside and renamed: a reload under way must not read half a file.
        let next = self.folder.path().join("holdfast.yaml.next");
        std::fs::write(&next, config.render(self.folder.path()))?;
        std::fs::rename(&next, self.file())?;
        Ok(())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result {
        self.process.signal(signal)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result {
        self.process.kill()
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.ended(limit).await
    }

    /// `POST` to the admin socket: the status and the body of the answer.
    pub async fn admin_post(&self, path: &str) -> Result<(u16, String)> {
        self.admin(Method::POST, path).await
    }

    /// What it says of itself on `/status`.
    pub async fn status(&self) -> Result<Value> {
        let (status, body) = self.admin(Method::GET, "/status").await?;
        if status != 200 {
            return Err(format!("/status was answered {status}: {body}").into());
        }
        Ok(serde_json::from_str(&body)?)
    }

    async fn admin(&self, method: Method, path: &str) -> Result<(u16, String)> {
        let socket = UnixStream::connect(self.socket()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        driver.abort();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| "no VmRSS in /proc".into())
    }

    /// Reads its metrics.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(self.admin).await
    }
}
