//! OAuth 2.0 Protected Resource Metadata (RFC 9728), one document per protected MCP route.
//!
//! `resource` comes from the configured `mcp.public_url`, never from the request's Host: otherwise whoever controls the Host
//! header would choose the audience that clients ask tokens for.

use bytes::Bytes;
use holdfast_config::{Auth, Config, McpServer};
use serde_json::json;
use std::collections::HashMap;

/// RFC 9728 section 3: the well-known suffix is inserted between the host and the path of the resource.
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The documents by request path, made once per snapshot.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    documents: HashMap<String, Bytes>,
}

impl Metadata {
    /// Documents for every MCP server that a JWT protects.
    pub(crate) fn build(config: &Config) -> Self {
        let Some(public_url) = config.mcp.public_url.as_deref() else { return Self::default() };
        let base = public_url.trim_end_matches('/');
        let prefix = config.mcp.path.trim_end_matches('/');
        let mut documents = HashMap::new();
        let mut add = |auth, path: String| {
            if let Auth::Jwt(jwt) = holdfast_identity::effective(auth, &config.auth) {
                documents.insert(format!("{WELL_KNOWN}{path}"), document(base, &path, jwt));
            }
        };
        for server in &config.mcp.servers {
            add(&server.auth, format!("{prefix}/{}", server.name));
        }
        if config.mcp.federation.enabled && !config.mcp.servers.is_empty() {
            add(&config.mcp.federation.auth, config.mcp.path.clone());
        }
        Self { documents }
    }

    /// The document for a request path.
    pub(crate) fn get(&self, path: &str) -> Option<Bytes> {
        self.documents.get(path).cloned()
    }

    /// The same for the merged endpoint.
    pub(crate) fn merged_url(config: &Config) -> Option<String> {
        let base = config.mcp.public_url.as_deref()?.trim_end_matches('/');
        Some(format!("{base}{WELL_KNOWN}{}", config.mcp.path))
    }

    /// The URL that a `WWW-Authenticate` challenge names for a server (RFC 9728 section 5.1).
    pub(crate) fn url(config: &Config, server: &McpServer) -> Option<String> {
        let base = config.mcp.public_url.as_deref()?.trim_end_matches('/');
        Some(format!("{base}{WELL_KNOWN}{}/{}", config.mcp.path.trim_end_matches('/'), server.name))
    }
}
/// The document of the resource at `path`.
fn document(base: &str, path: &str, jwt: &holdfast_config::Jwt) -> Bytes {
    let mut document = json!({
        "resource": format!("{base}{path}"),
        "bearer_methods_supported": ["header"],
    });
    if jwt.issuer.starts_with("https://") {
        document["authorization_servers"] = json!([jwt.issuer]);
    }
    if !jwt.required_scopes.is_empty() {
        document["scopes_supported"] = json!(jwt.required_scopes);
    }
    Bytes::from(document.to_string())
}
