//! What the pages of allowed origins may send and read (Fetch, "CORS protocol").

use crate::reply;
use holdfast_edge::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// Answers a CORS preflight. It carries no credential, so it must come here before authentication.
pub(crate) fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let allowed: Vec<&str> =
        asked.unwrap_or_default().split(',').map(str::trim).filter(|name| is_allowed(name)).collect();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", "))
        && !allowed.is_empty()
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// All `Mcp-*` headers, and those that MCP clients send beside them.
fn is_allowed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("mcp-")
        || matches!(
            &*name,
            "accept"
                | "authorization"
                | "content-type"
                | "last-event-id"
                | "traceparent"
                | "tracestate"
                | "x-api-key"
                | "x-request-id"
        )
}

/// Lets the pages of an allowed origin read the answer and the headers that MCP clients need. `origin` has passed the check.
pub fn with_cors(mut response: Response<Body>, origin: Option<HeaderValue>) -> Response<Body> {
    const EXPOSED: HeaderValue = HeaderValue::from_static(
        "mcp-session-id, mcp-protocol-version, www-authenticate, retry-after, x-request-id",
    );
    const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");
    let Some(origin) = origin else { return response };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, VARY_ORIGIN);
    response
}
