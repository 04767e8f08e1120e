//! Who may do what on the admin API: a pure decision, so that it can be read and tested as a table.
//!
//! Probes and metrics are read-only and may be bound publicly. Everything else needs the Unix socket (file permissions
//! decide), or a loopback connection, a loopback `Host` (against DNS rebinding) and the configured token. There is no CORS.

use base64::Engine as _;
use holdfast_config::Secret;
use http::{HeaderMap, Method, header};
use std::net::{IpAddr, SocketAddr};

/// How a request arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// The Unix socket.
    Unix,
    /// TCP, from this peer.
    Tcp(SocketAddr),
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `/metrics`, `/health`, `/healthz`, `/ready`.
    Probe,
    /// `/status` and the page.
    Look,
    /// Anything that changes something.
    Mutate,
}

/// Why a request is refused. The text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 403
    NotLoopback,
    /// 403
    ForeignHost,
    /// 403
    NoTokenConfigured,
    /// 401
    BadToken,
}

impl Refusal {
    /// What the caller reads.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NotLoopback => "only from this machine: use the Unix socket or a loopback address\n",
            Self::ForeignHost => "the Host header must name a loopback address\n",
            Self::NoTokenConfigured => "set admin.token_env for access over TCP, or use admin.unix_socket\n",
            Self::BadToken => "a valid admin token is needed: 'Authorization: Bearer TOKEN'\n",
        }
    }
}

/// Decides. A browser may look with HTTP Basic (any user, the token as password), because it cannot send a bearer token;
/// it may not mutate with it, because browsers attach Basic credentials to cross-site requests by themselves.
pub(crate) fn decide(
    operation: Operation,
    transport: Transport,
    headers: &HeaderMap,
    token: Option<&Secret>,
) -> Result<(), Refusal> {
    let peer = match (operation, transport) {
        (Operation::Probe, _) | (_, Transport::Unix) => return Ok(()),
        (_, Transport::Tcp(peer)) => peer,
    };
    if !peer.ip().to_canonical().is_loopback() {
        return Err(Refusal::NotLoopback);
    }
    if !host_is_loopback(headers) {
        return Err(Refusal::ForeignHost);
    }
    let token = token.ok_or(Refusal::NoTokenConfigured)?;
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = given.split_once(' ').unwrap_or_default();
    let matches = match operation {
        _ if scheme.eq_ignore_ascii_case("bearer") => same(rest.trim(), token.expose()),
        Operation::Look if scheme.eq_ignore_ascii_case("basic") => {
            basic_password(rest).is_some_and(|password| same(&password, token.expose()))
        }
        _ => false,
    };
    if matches { Ok(()) } else { Err(Refusal::BadToken) }
}

/// What a path and method ask for; `None` is 404.
pub(crate) fn operation(method: &Method, path: &str) -> Option<Operation> {
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics" | "/health" | "/healthz" | "/ready") => {
            Some(Operation::Probe)
        }
        (&Method::GET | &Method::HEAD, "/" | "/status") => Some(Operation::Look),
        (&Method::POST, "/reload" | "/drain") => Some(Operation::Mutate),
        _ => None,
    }
}

fn host_is_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn basic_password(encoded: &str) -> Option<String> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Compares in a time that depends on the lengths alone.
fn same(given: &str, expected: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), expected.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Transport = Transport::Tcp(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5));

    fn headers(host: &str, authorization: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    fn with(
        operation: Operation,
        transport: Transport,
        host: &str,
        auth: Option<&str>,
    ) -> Result<(), Refusal> {
        decide(operation, transport, &headers(host, auth), Some(&Secret::new("a-long-admin-token")))
    }

    #[test]
    fn probes_answer_everybody() {
        let far = Transport::Tcp("203.0.113.9:1".parse().unwrap());
        assert_eq!(with(Operation::Probe, far, "anything", None), Ok(()));
    }

    #[test]
    fn the_unix_socket_needs_no_token() {
        assert_eq!(with(Operation::Mutate, Transport::Unix, "x", None), Ok(()));
    }

    #[test]
    fn a_token_from_another_machine_is_refused() {
        let far = Transport::Tcp("203.0.113.9:1".parse().unwrap());
        let auth = Some("Bearer a-long-admin-token");
        assert_eq!(with(Operation::Mutate, far, "127.0.0.1:9090", auth), Err(Refusal::NotLoopback));
    }

    #[test]
    fn a_rebound_name_is_refused_even_with_the_token() {
        let auth = Some("Bearer a-long-admin-token");
        assert_eq!(with(Operation::Look, LOCAL, "evil.example:9090", auth), Err(Refusal::ForeignHost));
        assert_eq!(with(Operation::Look, LOCAL, "localhost:9090", auth), Ok(()));
        assert_eq!(with(Operation::Look, LOCAL, "[::1]:9090", auth), Ok(()));
    }

    #[test]
    fn a_browser_may_look_but_not_mutate() {
        let basic = base64::engine::general_purpose::STANDARD.encode("me:a-long-admin-token");
        let auth = format!("Basic {basic}");
        assert_eq!(with(Operation::Look, LOCAL, "127.0.0.1", Some(&auth)), Ok(()));
        assert_eq!(with(Operation::Mutate, LOCAL, "127.0.0.1", Some(&auth)), Err(Refusal::BadToken));
    }

    #[test]
    fn without_a_configured_token_nothing_matches() {
        let headers = headers("localhost", Some("Bearer "));
        assert_eq!(decide(Operation::Look, LOCAL, &headers, None), Err(Refusal::NoTokenConfigured));
        assert_eq!(with(Operation::Look, LOCAL, "localhost", Some("Bearer ")), Err(Refusal::BadToken));
    }

    #[test]
    fn a_mutation_is_a_post() {
        assert_eq!(operation(&Method::GET, "/reload"), None);
        assert_eq!(operation(&Method::POST, "/reload"), Some(Operation::Mutate));
    }
}
