//! What the tools of servers are now: asked as `serve --stdio` would ask, so every transport, credential and era is the gateway's own. Rules
//! and pins of the configuration hide nothing here.

use crate::gateway::{Gateway, Parts};
use crate::runtime::{Runtime, Shared};
use crate::serve::ServeError;
use crate::stdio::{self, Stdio};
use holdfast_config::{Config, ProcessEnv, Role, Source};
use holdfast_edge::Edge;
use holdfast_fronts::stdio::{LineLimits, carry};
use holdfast_fronts::{Conversation, Fronts};
use holdfast_mcp::frame::{Frame, Limits, MAX_DEPTH, Member};
use holdfast_mcp::tool_digests;
use holdfast_telemetry::{ConfigMetrics, Registry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf,
};

/// Everything that one server is asked.
const SERVER_WAIT: Duration = Duration::from_mins(1);
/// How long a conversation may take to end.
const END_WAIT: Duration = Duration::from_secs(10);
/// Bytes on their way at once.
const PIPE_BYTES: usize = 64 * 1024;
/// Pages of one list.
const PAGES_MAX: usize = 1000;
/// Versions that are asked for.
const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
/// 2026-07-28: the server does not speak this version.
const UNSUPPORTED_VERSION: i64 = -32022;

/// Whom to ask.
#[derive(Debug)]
pub struct PinsOptions {
    /// The configuration.
    pub sources: Vec<Source>,
    /// One server of it; `None` = all.
    pub server: Option<String>,
}

/// Why nobody was asked.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// No server of the configuration has the name.
    #[error("no MCP server is called '{0}'; there are: {1}")]
    NoServer(String, String),
    /// As for a gateway that does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// What one server said.
#[derive(Debug)]
pub struct ServerTools {
    /// Its name.
    pub server: String,
    /// Its tools in its order, each with its digest if it has one; or why there are none.
    pub tools: Result<Vec<(String, Option<String>)>, String>,
}

/// Asks the servers of a configuration for their tools, one after the other. Blocks; a server that does not answer is given up in time.
pub fn pins(options: &PinsOptions) -> Result<Vec<ServerTools>, PinsError> {
    let environment = |error: &dyn std::fmt::Display| ServeError::Environment(error.to_string());
    let loaded = holdfast_config::load(&options.sources, &ProcessEnv, Role::Any);
    let mut config = loaded.map_err(ServeError::Invalid)?.config;
    let names: Vec<String> = config.mcp.servers.iter().map(|server| server.name.clone()).collect();
    let wanted = match &options.server {
        Some(name) if !names.contains(name) => {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(PinsError::NoServer(name.clone(), known));
        }
        Some(name) => vec![name.clone()],
        None => names,
    };
    adapt(&mut config);
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| environment(&error))?;
    let registry = Registry::new(&BTreeMap::new()).map_err(|error| environment(&error))?;
    let config = Arc::new(config);
    let edge = Edge::without_listeners(&config.server, &registry).map_err(ServeError::from)?;
    let shared = Shared::new(&config, &registry, control.handle()).map_err(ServeError::from)?;
    let runtime = Runtime::build(Arc::clone(&config), 1, &shared, None).map_err(ServeError::from)?;
    let fronts = Fronts::new(shared.mcp.replica(), &registry);
    let gateway = Gateway::new(Parts {
        runtime,
        shared,
        peers: None,
        fronts,
        sources: Vec::new(),
        edge: edge.handle(),
        listeners: Vec::new(),
        config_metrics: ConfigMetrics::new(&registry),
        access_log: None,
        tracer: None,
    });
    let mut found = Vec::with_capacity(wanted.len());
    for server in wanted {
        let stdio = Stdio::of(&gateway, edge.handle().drain_handle(), Some(&server))?;
        let tools = control.block_on(visit(stdio, &config));
        found.push(ServerTools { server, tools });
    }
    control.block_on(gateway.end_links());
    control.shutdown_timeout(END_WAIT);
    Ok(found)
}

/// Alone: no listener, no store, no other replica; and nothing is hidden.
fn adapt(config: &mut Config) {
    stdio::adapt(config);
    config.sessions.redis = None;
    config.sessions.ephemeral_key |= config.sessions.keys.is_empty();
    config.mcp.rules.clear();
    for server in &mut config.mcp.servers {
        server.rules.clear();
        server.pins.clear();
    }
}

async fn visit(stdio: Stdio, config: &Config) -> Result<Vec<(String, Option<String>)>, String> {
    let limits = LineLimits {
        line_max: config.mcp.max_message_bytes.as_usize(),
        write_timeout: SERVER_WAIT,
        grace: Duration::ZERO,
    };
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let conversation = Conversation::new(stdio.into_opening());
    let carried = tokio::spawn(carry(conversation, tokio::io::split(theirs), limits, std::future::pending()));
    let (read, write) = tokio::io::split(ours);
    let answer_max = config.mcp.max_response_bytes.as_usize();
    let mut client = Client { read: BufReader::new(read), write, answer_max, next: 0 };
    let tools = tokio::time::timeout(SERVER_WAIT, client.tools()).await;
    drop(client);
    // Its session is ended by then, or the server did not care.
    let _ = tokio::time::timeout(END_WAIT, carried).await;
    tools.unwrap_or_else(|_| Err(format!("no answer in {} s", SERVER_WAIT.as_secs())))
}

/// One that asks for nothing but tools.
struct Client {
    read: BufReader<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    answer_max: usize,
    next: u64,
}

impl Client {
    /// Without a handshake where the server knows how, else with one.
    async fn tools(&mut self) -> Result<Vec<(String, Option<String>)>, String> {
        match self.list(true).await? {
            Ok(tools) => Ok(tools),
            Err(refused) if refused.error_code() == Some(UNSUPPORTED_VERSION) => {
                let hello = json!({
                    "protocolVersion": LEGACY,
                    "capabilities": {},
                    "clientInfo": { "name": "holdfast-pins", "version": env!("CARGO_PKG_VERSION") },
                });
                let opened = self.ask("initialize", &hello).await?;
                if opened.error_code().is_some() {
                    return Err(told(&opened));
                }
                self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
                self.list(false).await?.map_err(|refused| told(&refused))
            }
            Err(refused) => Err(told(&refused)),
        }
    }

    /// All pages; the inner error is the server's own.
    async fn list(&mut self, modern: bool) -> Result<Result<Vec<(String, Option<String>)>, Frame>, String> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let mut params = json!({});
            if modern {
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientCapabilities": {},
                });
            }
            if let Some(cursor) = cursor {
                params["cursor"] = cursor;
            }
            let page = self.ask("tools/list", &params).await?;
            if !page.has(Member::Tools) {
                return Ok(Err(page));
            }
            tools.extend(tool_digests(&page));
            cursor = page.text(Member::NextCursor).map(|cursor| Value::from(cursor.into_owned()));
            if cursor.is_none() {
                return Ok(Ok(tools));
            }
        }
        Err(format!("the list of tools has more than {PAGES_MAX} pages"))
    }

    async fn ask(&mut self, method: &str, params: &Value) -> Result<Frame, String> {
        self.next += 1;
        let id = self.next;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        loop {
            let mut line = Vec::new();
            let most = u64::try_from(self.answer_max).unwrap_or(u64::MAX);
            let read = (&mut self.read).take(most).read_until(b'\n', &mut line).await;
            if read.map_err(|error| error.to_string())? == 0 || line.pop() != Some(b'\n') {
                return Err("the conversation ended before the answer".to_owned());
            }
            let limits = Limits { bytes_max: self.answer_max, depth_max: MAX_DEPTH };
            let message = Frame::parse(line.into(), &limits).map_err(|error| error.to_string())?;
            if message.is_response() && message.id() == Some(id.to_string().as_bytes()) {
                return Ok(message);
            }
        }
    }

    async fn say(&mut self, message: &Value) -> Result<(), String> {
        let said = async {
            self.write.write_all(format!("{message}\n").as_bytes()).await?;
            self.write.flush().await
        };
        said.await.map_err(|error: std::io::Error| error.to_string())
    }
}

/// What an answer without tools says.
fn told(answer: &Frame) -> String {
    let text = answer.raw(Member::Error).and_then(|error| serde_json::from_slice::<Value>(error).ok());
    match text {
        Some(error) => format!("{} ({})", error["message"].as_str().unwrap_or("an error"), error["code"]),
        None => "an answer without tools".to_owned(),
    }
}
