//! The servers, all behind one gateway, and each behind one for clients on standard input and output.

use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    place,
    process::Process,
    tools,
};
use std::{path::Path, process::Command, time::Duration};

/// Time for the start of a server, of many at once.
const START: Duration = Duration::from_mins(1);

/// One server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// Its newest version with a handshake.
    pub(crate) newest: &'static str,
    /// Whether it needs none.
    pub(crate) modern: bool,
    /// How the gateway reaches it, in YAML.
    keys: String,
    _process: Option<Process>,
}

/// The gateway and what is behind it.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) servers: Vec<Server>,
    _fixture: Fixture,
    folder: tempfile::TempDir,
}

/// A server's name, and what it speaks.
type Spoken = (&'static str, &'static str);

/// Virtual environment, newest version, modern, and the servers.
const PYTHONS: [(&str, &str, bool, &[Spoken]); 5] = [
    ("py-mcp2", "2025-11-25", true, &[("py2-http", "http"), ("py2-sse", "sse")]),
    ("py-mcp1", "2025-11-25", false, &[("py1-http", "http"), ("py1-sse", "sse"), ("py1-ws", "ws")]),
    ("py-mcp-1.12.4", "2025-06-18", false, &[("py1_12-http", "http"), ("py1_12-sse", "sse")]),
    // Its Streamable HTTP server ends for everybody when the first client ends its session.
    ("py-mcp-1.9.4", "2025-03-26", false, &[("py1_9-sse", "sse")]),
    ("py-mcp-1.6.0", "2024-11-05", false, &[("py1_6-sse", "sse")]),
];

impl Site {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut servers = Vec::new();
        for (venv, newest, modern, transports) in PYTHONS {
            for (name, transport) in transports {
                let mut command = tools::python(venv, "remote_server.py")?;
                command.arg(transport);
                servers.push(listening(name, (newest, modern), transport, command, folder.path()).await?);
            }
        }
        for (name, transport) in [("ts1-http", "http"), ("ts1-sse", "sse")] {
            let mut command = tools::node("server1.mjs")?;
            command.arg(transport);
            servers.push(listening(name, ("2025-11-25", false), transport, command, folder.path()).await?);
        }
        let fixture = Fixture::start(Options::named("one")).await?;
        servers.extend(programs(&fixture)?);
        let quick = Config::default().server(&["drain_delay: 0s", "max_drain: 10s"]);
        let all: Vec<String> = servers.iter().map(Server::yaml).collect();
        let gateway = Gateway::start(&quick.root(&format!("mcp:\n  servers:\n{}", all.concat()))).await?;
        for server in &servers {
            let text = format!("sessions: {{ephemeral_key: true}}\nmcp:\n  servers:\n{}", server.yaml());
            std::fs::write(folder.path().join(format!("{}.yaml", server.name)), text)?;
        }
        Ok(Self { gateway, servers, _fixture: fixture, folder })
    }

    /// Where a client finds a server over its transport: a URL, or the words of a command.
    pub(crate) fn find(&self, server: &Server, transport: &str) -> Result<Vec<String>> {
        let path = format!("/mcp/{}", server.name);
        Ok(match transport {
            "http" => vec![self.gateway.url(&path)],
            "sse" => vec![self.gateway.url(&format!("{path}/sse"))],
            "ws" => vec![format!("ws://{}{path}", self.gateway.address)],
            _ => {
                let file = self.folder.path().join(format!("{}.yaml", server.name)).display().to_string();
                let binary = place::holdfast()?.display().to_string();
                vec![binary, "serve".into(), "--stdio".into(), "--config".into(), file]
            }
        })
    }
}

impl Server {
    fn yaml(&self) -> String {
        format!("    - {{name: {}, {}}}\n", self.name, self.keys)
    }
}

/// A server that says its port.
async fn listening(
    name: &'static str,
    (newest, modern): (&'static str, bool),
    transport: &str,
    mut command: Command,
    folder: &Path,
) -> Result<Server> {
    let mut process = Process::start(name, &mut command, folder)?;
    let log = folder.join(format!("{name}.log"));
    let port: u16 = process
        .ready(START, || {
            let said = std::fs::read_to_string(&log).ok()?;
            said.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
        })
        .await?;
    let keys = match transport {
        "ws" => format!("endpoints: 'ws://127.0.0.1:{port}/ws'"),
        "sse" => format!("transport: sse, endpoints: 'http://127.0.0.1:{port}/sse'"),
        _ => format!("endpoints: 'http://127.0.0.1:{port}/mcp'"),
    };
    Ok(Server { name, newest, modern, keys, _process: Some(process) })
}

/// The servers that are programs, and the fixture, which is of rmcp.
fn programs(fixture: &Fixture) -> Result<Vec<Server>> {
    let python = |venv: &str, script: &str| -> Result<String> {
        let python = place::installed(&format!("{venv}/bin/python"))?;
        let script = place::root().join("tests/clients/py").join(script);
        Ok(format!("command: ['{}', -B, '{}']", python.display(), script.display()))
    };
    let node = tools::node("server1.mjs")?;
    let words = node.get_args().map(|word| format!("'{}'", word.to_string_lossy()));
    let words: Vec<String> =
        std::iter::once(format!("'{}'", node.get_program().to_string_lossy())).chain(words).collect();
    let program = |name, modern, keys| Server { name, newest: "2025-11-25", modern, keys, _process: None };
    Ok(vec![
        program("py2-stdio", true, python("py-mcp2", "stdio_server2.py")?),
        program("py1-stdio", false, python("py-mcp1", "stdio_server1.py")?),
        program("ts1-stdio", false, format!("command: [{}, stdio]", words.join(", "))),
        program("rmcp-http", true, format!("endpoints: '{}'", fixture.mcp())),
        program(
            "rmcp-stdio",
            true,
            format!("command: ['{}', --stdio, --name, one]", place::fixture()?.display()),
        ),
    ])
}
