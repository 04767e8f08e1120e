//! A small MCP client of both eras for load: it never retries, and anything but the right answer is a failure.

use crate::client::{Broken, Caller, Reply};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};
use serde_json::{Value, json};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Newest version with a handshake.
pub const LEGACY: &str = "2025-11-25";
/// The stateless version.
pub const MODERN: &str = "2026-07-28";

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `initialize`, then a session.
    Legacy,
    /// Every request carries everything.
    Modern,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// HTTP did not bring a whole answer.
    Broken(Broken),
    /// A status that is no success, with the body.
    Status(u16, String),
    /// A JSON-RPC error.
    Rpc(i64, String),
    /// The stream ended politely before the answer, after this event id: resume it there (2025-11-25, SEP-1699).
    Paused(String),
    /// An answer that is no answer to this call.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => why.fmt(f),
            Self::Status(status, body) => write!(f, "status {status}: {body}"),
            Self::Rpc(code, message) => write!(f, "error {code}: {message}"),
            Self::Paused(event) => write!(f, "the stream paused after event {event}"),
            Self::Wrong(what) => write!(f, "not an answer: {what}"),
        }
    }
}

impl std::error::Error for Failure {}

/// One client.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    host: String,
    path: String,
    era: Era,
    key: Option<String>,
    session: Option<String>,
    next: u64,
}

impl Client {
    /// A client of the MCP endpoint `path` at `address`.
    pub fn new(address: SocketAddr, path: &str, era: Era) -> Self {
        let (host, path) = (address.to_string(), path.to_owned());
        Self { caller: Caller::new(address), host, path, era, key: None, session: None, next: 1 }
    }

    /// The same with an API key.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The same, with connections that come from `source`.
    #[must_use]
    pub fn from(self, source: Option<IpAddr>) -> Self {
        Self { caller: self.caller.from(source), ..self }
    }

    /// The session, once there is one.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Opens a session; nothing to do in the modern era.
    pub async fn open(&mut self) -> Result<(), Failure> {
        if self.era == Era::Modern {
            return Ok(());
        }
        let hello = json!({
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "holdfast-tests", "version": "1"}
        });
        self.session = None;
        let id = self.id();
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": hello});
        let reply = self.post("initialize", None, &body).await?;
        let session =
            reply.headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let result = read(&reply, id)?;
        if result["protocolVersion"] != LEGACY {
            return Err(Failure::Wrong(result.to_string()));
        }
        self.session =
            Some(session.ok_or_else(|| Failure::Wrong("initialize without a session".to_owned()))?);
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let reply = self.post("notifications/initialized", None, &done).await?;
        if reply.status == 202 { Ok(()) } else { Err(refusal(&reply)) }
    }

    /// Calls a method and gives its result.
    pub async fn call(&mut self, method: &str, mut params: Value) -> Result<Value, Failure> {
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "holdfast-tests", "version": "1"}
            });
        }
        let id = self.id();
        let name = params["name"].as_str().or_else(|| params["uri"].as_str()).map(str::to_owned);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let reply = self.post(method, name.as_deref(), &body).await?;
        read(&reply, id)
    }

    /// Goes on with a paused stream at another replica of the gateway, and gives the result of the last call.
    pub async fn resume(&mut self, address: SocketAddr, event: &str) -> Result<Value, Failure> {
        self.go_to(address);
        let mut request = self.bare(Method::GET)?;
        let event =
            event.parse().map_err(|_| Failure::Wrong(format!("an event id no header can hold: {event}")))?;
        request.headers_mut().insert("last-event-id", event);
        let reply = self.caller.send(request).await.map_err(Failure::Broken)?;
        read(&reply, self.next)
    }

    /// The same session at another replica of the gateway.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            caller: Caller::new(address),
            host: address.to_string(),
            path: self.path.clone(),
            era: self.era,
            key: self.key.clone(),
            session: self.session.clone(),
            next: self.next,
        }
    }

    /// Counts its requests from here: two that speak in one session at once need ids of their own (JSON-RPC 2.0, 4.1).
    #[must_use]
    pub fn counting_from(self, next: u64) -> Self {
        Self { next, ..self }
    }

    /// Sends the next request to another replica of the gateway.
    pub fn go_to(&mut self, address: SocketAddr) {
        self.caller = Caller::new(address);
        self.host = address.to_string();
    }

    /// Opens the session's listening stream and hangs up at once; gives the status.
    pub async fn listen(&mut self) -> Result<u16, Failure> {
        let request = self.bare(Method::GET)?;
        let status = self.caller.head(request).await.map_err(Failure::Broken)?;
        Ok(status.as_u16())
    }

    /// Ends the session by DELETE and gives the status.
    pub async fn end(&mut self) -> Result<u16, Failure> {
        let request = self.bare(Method::DELETE)?;
        let reply = self.caller.send(request).await.map_err(Failure::Broken)?;
        Ok(reply.status.as_u16())
    }

    fn bare(&self, method: Method) -> Result<Request<Full<Bytes>>, Failure> {
        Request::builder()
            .method(method)
            .uri(&self.path)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, "text/event-stream")
            .header("mcp-protocol-version", LEGACY)
            .header("mcp-session-id", self.session.as_deref().unwrap_or_default())
            .body(Full::default())
            .map_err(|why| Failure::Wrong(why.to_string()))
    }

    /// Lists the tools and gives how many there are.
    pub async fn list_tools(&mut self) -> Result<usize, Failure> {
        let result = self.call("tools/list", json!({})).await?;
        match result["tools"].as_array() {
            Some(tools) if !tools.is_empty() => Ok(tools.len()),
            _ => Err(Failure::Wrong(result.to_string())),
        }
    }

    /// Calls a tool and gives the text it returned; an error of the tool is [`Failure::Wrong`].
    pub async fn tool(&mut self, name: &str, arguments: Value) -> Result<String, Failure> {
        let result = self.call("tools/call", json!({"name": name, "arguments": arguments})).await?;
        match result["content"][0]["text"].as_str() {
            Some(text) if result["isError"] != true => Ok(text.to_owned()),
            _ => Err(Failure::Wrong(result.to_string())),
        }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    async fn post(&mut self, method: &str, name: Option<&str>, body: &Value) -> Result<Reply, Failure> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        match (self.era, &self.session) {
            (Era::Modern, _) => {
                request = request.header("mcp-protocol-version", MODERN).header("mcp-method", method);
                if let Some(name) = name {
                    request = request.header("mcp-name", name);
                }
            }
            (Era::Legacy, Some(session)) => {
                request = request.header("mcp-protocol-version", LEGACY).header("mcp-session-id", session);
            }
            (Era::Legacy, None) => {}
        }
        let body = Full::new(Bytes::from(body.to_string()));
        let request = request.body(body).map_err(|why| Failure::Wrong(why.to_string()))?;
        self.caller.send(request).await.map_err(Failure::Broken)
    }
}

fn refusal(reply: &Reply) -> Failure {
    Failure::Status(reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned())
}

/// The result of the response with `id` in a JSON or an event stream body.
fn read(reply: &Reply, id: u64) -> Result<Value, Failure> {
    if reply.status != 200 {
        return Err(refusal(reply));
    }
    let text = String::from_utf8_lossy(&reply.body);
    let kind =
        reply.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut messages: Box<dyn Iterator<Item = &str>> = if kind.starts_with("text/event-stream") {
        Box::new(text.lines().filter_map(|line| line.strip_prefix("data:")))
    } else {
        Box::new(std::iter::once(text.as_ref()))
    };
    let answer = messages.find_map(|message| {
        let message: Value = serde_json::from_str(message).ok()?;
        (message["id"] == id && message.get("method").is_none()).then_some(message)
    });
    let Some(mut answer) = answer else {
        let last_id = text.lines().rev().find_map(|line| line.strip_prefix("id:"));
        if let Some(event) = last_id {
            return Err(Failure::Paused(event.trim().to_owned()));
        }
        return Err(Failure::Wrong(format!("no response {id} in {text:?}")));
    };
    if let Some(error) = answer.get("error") {
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        return Err(Failure::Rpc(error["code"].as_i64().unwrap_or_default(), message));
    }
    Ok(answer["result"].take())
}
