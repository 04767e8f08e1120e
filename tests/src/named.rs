//! A real DNS server, BIND, with one zone that a test changes while it runs.

use crate::{Result, place, process, process::Process};
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// The zone it answers for.
pub const ZONE: &str = "hf.test";
/// Time to live of every record, in seconds.
const TTL: u32 = 1;
/// Time it gets to start, and for one update.
const LIMIT: Duration = Duration::from_secs(20);
/// Free ports tried: one must be free for UDP and TCP.
const PORTS_TRIED: usize = 20;

/// A running `named` on 127.0.0.1. An answer beyond 512 bytes does not fit into its datagrams: it is asked for by TCP.
#[derive(Debug)]
pub struct Named {
    /// Where it answers.
    pub address: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Named {
    /// Starts it with a zone that holds no names yet, and waits until it answers.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        std::fs::write(folder.path().join("named.conf"), config(address, folder.path()))?;
        std::fs::write(folder.path().join("zone"), zone())?;
        // A copy: on some systems a profile of the security module keeps the installed one out of temporary folders.
        std::fs::copy(place::program("named")?, folder.path().join("named"))?;
        let process = spawn(address, folder.path()).await?;
        Ok(Self { address, process, folder })
    }

    /// Makes `name` (below the zone) stand for exactly these addresses; for none, it no longer exists.
    pub async fn set(&self, name: &str, addresses: &[IpAddr]) -> Result {
        let name = format!("{name}.{ZONE}.");
        let mut script = format!("server {} {}\nzone {ZONE}.\n", self.address.ip(), self.address.port());
        writeln!(script, "update delete {name}")?;
        for address in addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            writeln!(script, "update add {name} {TTL} {kind} {address}")?;
        }
        script.push_str("send\n");
        // One message: nobody sees the name without its addresses.
        let file = self.folder.path().join("update");
        std::fs::write(&file, script)?;
        let mut command = Command::new(place::program("nsupdate")?);
        command.arg(&file);
        process::run_within(LIMIT, command).await.map(drop)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result {
        self.process.kill()
    }

    /// Starts it again on the port it had, with the zone as it was.
    pub async fn restart(&mut self) -> Result {
        self.process = spawn(self.address, self.folder.path()).await?;
        Ok(())
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

async fn spawn(address: SocketAddr, folder: &Path) -> Result<Process> {
    let mut command = Command::new(folder.join("named"));
    // In the foreground, on one thread, with its log on standard error.
    command.args(["-g", "-n", "1", "-c"]).arg(folder.join("named.conf"));
    let mut process = Process::start("named", &mut command, folder)?;
    // It answers by UDP and TCP from the same moment on.
    process.ready(LIMIT, || std::net::TcpStream::connect(address).ok().map(drop)).await?;
    Ok(process)
}

/// A port that nobody has right now, neither for UDP nor for TCP.
fn free_address() -> Result<SocketAddr> {
    for _ in 0..PORTS_TRIED {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = udp.local_addr()?;
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free for UDP and TCP".into())
}

fn config(address: SocketAddr, folder: &Path) -> String {
    let (folder, port, ip) = (folder.display(), address.port(), address.ip());
    format!(
        "\
options {{
    directory \"{folder}\";
    pid-file none;
    session-keyfile \"{folder}/session.key\";
    listen-on port {port} {{ {ip}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    max-udp-size 512;
}};
controls {{ }};
zone \"{ZONE}\" {{
    type primary;
    file \"{folder}/zone\";
    allow-update {{ {ip}; }};
}};
"
    )
}

/// RFC 1035 section 5. Denials are believed for as long as answers.
fn zone() -> String {
    format!(
        "$ORIGIN {ZONE}.\n$TTL {TTL}\n@ IN SOA ns admin 1 3600 600 86400 {TTL}\n@ IN NS ns\nns IN A 127.0.0.1\n"
    )
}
