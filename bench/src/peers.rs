//! The proxies that are compared, each in the layout its own documentation recommends: two workers, keep-alive both ways.

use crate::Error;
use crate::process::{Process, free_address};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A proxy under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// nginx `proxy_pass` with an upstream keep-alive pool.
    Nginx,
    /// HAProxy in HTTP mode, always reusing connections.
    Haproxy,
    /// hyper on both sides, nothing else.
    Blind,
    /// Us.
    Holdfast,
}

impl Peer {
    /// Name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Blind => "blind hyper",
            Self::Holdfast => "holdfast",
        }
    }

    /// Starts it before `origin`, with files in `folder`.
    pub(crate) fn start(self, origin: SocketAddr, folder: &Path, holdfast: &Path) -> Result<Process, Error> {
        match self {
            Self::Nginx => {
                let address = free_address()?;
                start_nginx("proxy", address, &nginx_proxy(origin), folder)
            }
            Self::Haproxy => start_haproxy(origin, folder),
            Self::Blind => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("blind-proxy").arg(origin.to_string());
                Process::start_announcing(command)
            }
            Self::Holdfast => start_holdfast(origin, folder, holdfast),
        }
    }
}

/// An nginx that answers every request with `bytes` of text.
pub(crate) fn start_http_origin(bytes: usize, folder: &Path) -> Result<Process, Error> {
    let location = format!("location / {{ default_type text/plain; return 200 '{}'; }}", "x".repeat(bytes));
    let address = free_address()?;
    let site = NginxSite { before: String::new(), location: format!("listen {}; {location}", twin(address)) };
    start_nginx("origin", address, &site, folder)
}

/// The same port on a second loopback address: the origin under another name, so that the balancer has a choice.
pub(crate) fn twin(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], address.port()))
}

struct NginxSite {
    before: String,
    location: String,
}

fn nginx_proxy(origin: SocketAddr) -> NginxSite {
    NginxSite {
        before: format!("upstream origin {{ server {origin}; keepalive 128; keepalive_requests 1000000; }}"),
        location: "location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ''; \
                   proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }"
            .to_owned(),
    }
}

fn start_nginx(name: &str, address: SocketAddr, site: &NginxSite, folder: &Path) -> Result<Process, Error> {
    let home = folder.join(format!("nginx-{name}"));
    std::fs::create_dir_all(&home)?;
    let config = format!(
        "daemon off; worker_processes 2; pid {home}/pid; error_log {home}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  {before}
  server {{ listen {address} reuseport; {location} }}
}}
",
        home = home.display(),
        before = site.before,
        location = site.location,
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&home).arg("-c").arg(&file).arg("-e").arg(home.join("error.log"));
    Process::start(command, address)
}

fn start_haproxy(origin: SocketAddr, folder: &Path) -> Result<Process, Error> {
    let address = free_address()?;
    let config = format!(
        "global
  nbthread 2
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option forwardfor
frontend f
  bind {address}
  default_backend b
backend b
  server s {origin}
"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    Process::start(command, address)
}

fn start_holdfast(origin: SocketAddr, folder: &Path, binary: &Path) -> Result<Process, Error> {
    let address = free_address()?;
    let file = folder.join("holdfast.yaml");
    std::fs::write(&file, holdfast_config(address, free_address()?, origin, 2, folder))?;
    let log = std::fs::File::create(folder.join("holdfast.log"))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(file).stdout(Stdio::null()).stderr(log);
    Process::start(command, address)
}

/// Everything on: balancer over two endpoints (the same origin under two addresses), breaker, outlier ejection, retries,
/// probes, metrics, request ids, trace context, access records to a file.
pub(crate) fn holdfast_config(
    address: SocketAddr,
    admin: SocketAddr,
    origin: SocketAddr,
    workers: u16,
    folder: &Path,
) -> String {
    format!(
        "server:
  host: 127.0.0.1
  port: {}
  workers: {workers}
  drain_delay: 0s
admin:
  port: {}
sessions:
  ephemeral_key: true
observability:
  access_log:
    path: {}
connection_pool:
  max_idle: 128
apis:
  - name: web
    path_prefix: /
    endpoints:
      - http://127.0.0.1:{port}
      - http://127.0.0.2:{port}
mcp:
  servers:
    - name: bench
      endpoints:
        - http://127.0.0.1:{port}/mcp
",
        address.port(),
        admin.port(),
        folder.join("access.log").display(),
        port = origin.port(),
    )
}

/// Builds the release binary next to this one, so that what is measured is this checkout; `HOLDFAST_BIN` names another one.
pub(crate) fn build_holdfast() -> Result<PathBuf, Error> {
    if let Some(binary) = std::env::var_os("HOLDFAST_BIN") {
        return Ok(binary.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "--package", "holdfast"]).status()?;
    if !status.success() {
        return Err("the release build of holdfast failed".into());
    }
    let folder = std::env::current_exe()?.parent().map(Path::to_owned).ok_or("no folder of this program")?;
    Ok(folder.join("holdfast"))
}
