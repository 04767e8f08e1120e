//! The clients. Each is one process that visits all servers in turn; rmcp's are in this one.

use crate::servers::Site;
use holdfast_tests::{Result, process, tools};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt,
    model::{CallToolRequestParams, ProtocolVersion},
    service::{RoleClient, RunningService},
    transport::StreamableHttpClientTransport,
};
use serde_json::{Value, json};
use std::{collections::HashMap, process::Stdio, time::Duration};

/// Time for one client at all servers, while others run beside it.
const CLIENT: Duration = Duration::from_mins(4);
/// Time for rmcp at one server.
const VISIT: Duration = Duration::from_secs(30);

/// One client.
pub(crate) struct Client {
    pub(crate) name: String,
    /// Its newest version with a handshake.
    pub(crate) newest: &'static str,
    /// Whether it asks for none where it can.
    pub(crate) modern: bool,
    transport: &'static str,
    script: Script,
}

enum Script {
    Python { venv: &'static str, script: &'static str, mode: &'static str },
    Node { script: &'static str, mode: &'static str },
    Rmcp,
}

/// All of them.
pub(crate) fn clients() -> Vec<Client> {
    let mut all = Vec::new();
    let mut add = |sdk: &str, newest, modern, transports: &[&'static str], script: fn() -> Script| {
        for transport in transports {
            let name = format!("{sdk} {transport}");
            all.push(Client { name, newest, modern, transport, script: script() });
        }
    };
    let now = "2025-11-25";
    add("py 2.3 auto", now, true, &["http", "sse", "stdio"], || python("py-mcp2", "visit2.py", "auto"));
    add("py 2.3 legacy", now, false, &["http"], || python("py-mcp2", "visit2.py", "legacy"));
    add("py 1.30", now, false, &["http", "sse", "ws", "stdio"], || python("py-mcp1", "visit1.py", "-"));
    add("py 1.12", "2025-06-18", false, &["http", "sse"], || python("py-mcp-1.12.4", "visit1.py", "-"));
    add("py 1.9", "2025-03-26", false, &["http", "sse"], || python("py-mcp-1.9.4", "visit1.py", "-"));
    add("py 1.6", "2024-11-05", false, &["sse"], || python("py-mcp-1.6.0", "visit1.py", "-"));
    add("ts 1", now, false, &["http", "sse", "ws", "stdio"], || node("visit1.mjs", "-"));
    add("ts 2 default", now, false, &["http"], || node("visit2.mjs", "default"));
    add("ts 2 auto", now, true, &["http", "sse", "stdio"], || node("visit2.mjs", "auto"));
    add("rmcp init", now, false, &["http"], || Script::Rmcp);
    add("rmcp auto", now, true, &["http", "stdio"], || Script::Rmcp);
    all
}

fn python(venv: &'static str, script: &'static str, mode: &'static str) -> Script {
    Script::Python { venv, script, mode }
}

fn node(script: &'static str, mode: &'static str) -> Script {
    Script::Node { script, mode }
}

impl Client {
    /// What it saw at each server: the version and who answered, or what went wrong.
    pub(crate) async fn visit(&self, site: &Site) -> Result<HashMap<String, String>> {
        let (mut command, mode) = match self.script {
            Script::Python { venv, script, mode } => (tools::python(venv, script)?, mode),
            Script::Node { script, mode } => (tools::node(script)?, mode),
            Script::Rmcp => return self.rmcp(site).await,
        };
        let mut targets = Vec::new();
        for server in &site.servers {
            targets.push(json!({"name": server.name, "where": site.find(server, self.transport)?}));
        }
        command.args([self.transport, mode, &Value::from(targets).to_string()]);
        let said = process::run_within(CLIENT, command).await?;
        let mut seen = HashMap::new();
        for line in said.lines() {
            let Ok(told) = serde_json::from_str::<Value>(line) else { continue };
            let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
            let cell = match &told["error"] {
                Value::Null => format!("{} {}", text("version"), text("whoami")),
                error => error.to_string(),
            };
            seen.insert(text("name"), cell);
        }
        Ok(seen)
    }

    async fn rmcp(&self, site: &Site) -> Result<HashMap<String, String>> {
        let mut seen = HashMap::new();
        for server in &site.servers {
            let place = site.find(server, self.transport)?;
            let cell = match tokio::time::timeout(VISIT, self.rmcp_at(&place)).await {
                Ok(Ok(cell)) => cell,
                Ok(Err(why)) => why.to_string(),
                Err(_) => "not in time".into(),
            };
            seen.insert(server.name.to_owned(), cell);
        }
        Ok(seen)
    }

    async fn rmcp_at(&self, place: &[String]) -> Result<String> {
        let lifecycle = if self.modern {
            ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                legacy_version: Some(ProtocolVersion::V_2025_11_25),
            }
        } else {
            ClientLifecycleMode::Initialize
        };
        if self.transport == "http" {
            let transport = StreamableHttpClientTransport::from_uri(place[0].as_str());
            return asked(Plain.serve_with_lifecycle(transport, lifecycle).await?).await;
        }
        let mut command = tokio::process::Command::new(&place[0]);
        command.args(&place[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn()?;
        let (output, input) = child.stdout.take().zip(child.stdin.take()).ok_or("no pipes")?;
        asked(Plain.serve_with_lifecycle((output, input), lifecycle).await?).await
    }
}

/// A client that needs nothing of its own.
#[derive(Clone, Debug, Default)]
struct Plain;

impl ClientHandler for Plain {}

async fn asked(client: RunningService<RoleClient, Plain>) -> Result<String> {
    client.list_all_tools().await?;
    let answer = client.call_tool(CallToolRequestParams::new("whoami")).await?;
    let name = answer.content[0].as_text().map(|text| text.text.clone()).unwrap_or_default();
    let version = client.peer().peer_info().map(|info| info.protocol_version.to_string()).unwrap_or_default();
    client.cancel().await?;
    Ok(format!("{version} {name}"))
}
