//! A client that follows the protocol and never retries: one connection, one request at a time.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// One call, from the first byte written to the last byte read.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Which protocol era a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25, with a session.
    Legacy,
    /// 2026-07-28, stateless.
    Modern,
}

/// A connected client.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    path: String,
    era: Era,
    session: Option<String>,
    next_id: u64,
}

impl Client {
    /// Connects and, in the legacy era, opens a session.
    pub(crate) async fn connect(address: SocketAddr, path: &str, era: Era) -> Result<Self, String> {
        let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let mut client =
            Self { sender, host: address.to_string(), path: path.to_owned(), era, session: None, next_id: 0 };
        if era == Era::Legacy {
            let params = json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": { "name": "holdfast-demo-client", "version": env!("CARGO_PKG_VERSION") },
            });
            client.request("initialize", None, params).await?;
            client
                .post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), "", None)
                .await?;
        }
        // As every client does first. The gateway reads along: a tool that says it only reads may be called again.
        client.request("tools/list", None, json!({})).await?;
        Ok(client)
    }

    /// Calls a tool and returns the text of its answer.
    pub(crate) async fn tool(&mut self, name: &str, arguments: Value) -> Result<String, String> {
        let result =
            self.request("tools/call", Some(name), json!({ "name": name, "arguments": arguments })).await?;
        result["content"][0]["text"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("an answer without text: {result}"))
    }

    async fn request(
        &mut self,
        method: &str,
        name: Option<&str>,
        mut params: Value,
    ) -> Result<Value, String> {
        self.next_id += 1;
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let message = json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params });
        let (status, answer) = self.post(&message, method, name).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|e| format!("{status}: {e}"))?;
        match answer.get("result") {
            Some(result) if status == StatusCode::OK && answer["id"] == self.next_id => Ok(result.clone()),
            _ => Err(format!("{status}: {answer}")),
        }
    }

    async fn post(
        &mut self,
        message: &Value,
        method: &str,
        name: Option<&str>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::post(self.path.as_str())
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if self.era == Era::Modern {
            request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        } else if let Some(session) = &self.session {
            request = request.header("mcp-protocol-version", "2025-11-25").header("mcp-session-id", session);
        }
        let request = request.body(Full::from(message.to_string())).map_err(|e| e.to_string())?;
        let exchange = async {
            self.sender.ready().await.map_err(|e| e.to_string())?;
            let response = self.sender.send_request(request).await.map_err(|e| e.to_string())?;
            let status = response.status();
            if let Some(id) = response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()) {
                self.session = Some(id.to_owned());
            }
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|e| e.to_string())?.to_bytes()))
        };
        tokio::time::timeout(CALL_TIMEOUT, exchange).await.map_err(|_| "no answer in 10 s".to_owned())?
    }
}
