//! `Origin` and `Host` checks: the guard against DNS rebinding (MCP "Security & Endpoint": a bad Origin gets 403).
//!
//! A page of an attacker whose name resolves to this gateway sends requests that are same-origin for the browser, so
//! `Origin` equal to `Host` proves nothing unless `Host` itself is one of ours. A page cannot forge an address: a
//! `Host` that is an IP address was typed, or leads here without DNS.

use crate::errors::{McpError, Problem};
use http::header::{HOST, HeaderMap, ORIGIN};
use std::net::IpAddr;

/// What a deployment allows.
#[derive(Clone, Debug, Default)]
pub struct OriginPolicy {
    /// `scheme://host[:port]`, lower case.
    origins: Vec<String>,
    /// Host names without port, lower case.
    hosts: Vec<String>,
}

impl OriginPolicy {
    /// From `mcp.allowed_origins`, `mcp.allowed_hosts` and `mcp.public_url`, whose host is ours as well.
    pub fn new(origins: &[String], hosts: &[String], public_url: Option<&str>) -> Self {
        let public = public_url.and_then(|url| split_origin(url).map(|(_, authority)| authority));
        let hosts = hosts.iter().map(String::as_str).chain(public);
        Self {
            origins: origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
            hosts: hosts.map(|host| host_name(host).to_ascii_lowercase()).collect(),
        }
    }

    /// Decides for one request. `authority` is the `:authority` of HTTP/2, or that of an absolute request target;
    /// `local` is the address the connection was accepted on; `tls` whether the connection proved our name.
    ///
    /// - On a loopback address the host must be `localhost`, a loopback address, or configured.
    /// - A missing `Origin` passes: no browser sent the request.
    /// - An `Origin` passes when it is configured, or is on loopback on a loopback listener, or equals a host that
    ///   is known to be ours: configured, an IP address, or proven by TLS.
    pub fn check(
        &self,
        headers: &HeaderMap,
        authority: Option<&str>,
        local: IpAddr,
        tls: bool,
    ) -> Result<(), McpError> {
        let local_only = local.to_canonical().is_loopback();
        let host = single_host(headers, authority)?;
        let is_ours = self.hosts.iter().any(|known| host_name(host).eq_ignore_ascii_case(known));
        if local_only && !is_ours && !is_loopback_name(host_name(host)) {
            return Err(refuse("Host is not a name of this gateway"));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let origin = origin.to_str().map_err(|_| refuse("Origin is malformed"))?;
        if origins.next().is_some() {
            return Err(refuse("Origin is repeated"));
        }
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return Ok(());
        }
        let (scheme, from) = split_origin(origin).ok_or_else(|| refuse("Origin is not allowed"))?;
        let known =
            is_ours || (tls && scheme == "https") || host_name(host).parse::<IpAddr>().is_ok() || local_only;
        let same = known && same_authority(from, host, scheme);
        if same || (local_only && is_loopback_name(host_name(from))) {
            return Ok(());
        }
        Err(refuse("Origin is not allowed"))
    }
}

fn refuse(detail: &str) -> McpError {
    McpError::new(Problem::OriginRefused).detail(detail)
}

/// The one host a request is for: the target's and the header's must agree (RFC 9112 section 3.2).
fn single_host<'h>(headers: &'h HeaderMap, authority: Option<&'h str>) -> Result<&'h str, McpError> {
    let mut hosts = headers.get_all(HOST).iter();
    let header =
        hosts.next().map(|host| host.to_str().map_err(|_| refuse("Host is malformed"))).transpose()?;
    if hosts.next().is_some() {
        return Err(refuse("Host is repeated"));
    }
    match (header, authority) {
        (Some(header), Some(authority)) if !header.eq_ignore_ascii_case(authority) => {
            Err(refuse("Host and request target differ"))
        }
        (Some(host), _) | (None, Some(host)) if !host.is_empty() && !host.contains('@') => Ok(host),
        _ => Err(refuse("Host is missing")),
    }
}

/// `scheme://authority`. None for `null` and anything with a path or user.
fn split_origin(origin: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = origin.split_once("://")?;
    let authority = rest.trim_end_matches('/');
    let well_formed = !authority.is_empty() && !authority.contains(['/', '@', '?', '#', ' ']);
    (well_formed && matches!(scheme, "http" | "https")).then_some((scheme, authority))
}

/// The name without port and brackets.
fn host_name(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    let end = authority.bytes().position(|byte| byte == b':').unwrap_or(authority.len());
    &authority[..end]
}

fn is_loopback_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Equal name and port, the scheme's own port being the default of both.
fn same_authority(origin: &str, host: &str, scheme: &str) -> bool {
    let default = if scheme == "https" { "443" } else { "80" };
    let port = |authority: &str| -> String {
        let rest = authority.rsplit(']').next().unwrap_or(authority);
        rest.split_once(':').map_or(default, |(_, port)| port).to_owned()
    };
    host_name(origin).eq_ignore_ascii_case(host_name(host)) && port(origin) == port(host)
}

#[cfg(test)]
mod tests {
    use super::OriginPolicy;
    use http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
    use std::net::IpAddr;

    const LOOPBACK: &str = "127.0.0.1";
    const PUBLIC: &str = "10.0.0.5";

    fn check(policy: &OriginPolicy, local: &str, tls: bool, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let local: IpAddr = local.parse().unwrap();
        let outcome = policy.check(&headers, None, local, tls);
        if let Err(error) = &outcome {
            assert_eq!(error.status(), 403);
        }
        outcome.is_ok()
    }

    #[test]
    fn a_loopback_listener_takes_loopback_names_alone() {
        let policy = OriginPolicy::default();
        for host in ["localhost:8443", "127.0.0.1:8443", "[::1]:8443", "LOCALHOST", "127.8.9.1", "localhost."]
        {
            assert!(check(&policy, LOOPBACK, false, host, None), "{host}");
            let origin = format!("http://{host}");
            assert!(check(&policy, LOOPBACK, false, host, Some(&origin)), "{origin}");
            assert!(check(&policy, "::1", false, host, Some("http://localhost:6274")));
        }
        for host in [
            "evil.example.com",
            "evil.example.com:8443",
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "10.0.0.5",
        ] {
            assert!(!check(&policy, LOOPBACK, false, host, None), "{host}");
            assert!(!check(&policy, "::ffff:127.0.0.1", false, host, None), "{host}");
        }
        for origin in [
            "http://evil.example.com",
            "null",
            "",
            "http://localhost@evil.com",
            "file://",
            "http://localhost.evil.com",
        ] {
            assert!(!check(&policy, LOOPBACK, false, "localhost:1", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn elsewhere_an_equal_origin_counts_only_under_a_name_that_is_ours() {
        let none = OriginPolicy::default();
        assert!(check(&none, PUBLIC, false, "anything.example", None), "no browser, no check");
        assert!(!check(&none, PUBLIC, false, "evil.example", Some("http://evil.example")));
        assert!(check(&none, PUBLIC, false, "10.0.0.5:8443", Some("http://10.0.0.5:8443")));
        assert!(!check(&none, PUBLIC, false, "10.0.0.5:8443", Some("http://10.0.0.5")));
        assert!(check(&none, PUBLIC, true, "gw.example", Some("https://gw.example:443")));
        assert!(!check(&none, PUBLIC, true, "gw.example", Some("http://localhost")));
        assert!(
            !check(&none, PUBLIC, true, "gw.example", Some("http://gw.example")),
            "a page without TLS proves nothing"
        );
        let public = OriginPolicy::new(&[], &[], Some("https://gw.example/base"));
        assert!(
            !check(&public, PUBLIC, false, "gw.example", Some("https://gw.example")),
            "a path is no origin"
        );
        let public = OriginPolicy::new(&[], &[], Some("https://gw.example"));
        assert!(check(&public, PUBLIC, false, "gw.example", Some("https://gw.example")));
    }

    #[test]
    fn configured_origins_and_hosts_pass() {
        let policy = OriginPolicy::new(&["https://App.example/".into()], &["gw.local".into()], None);
        assert!(check(&policy, PUBLIC, false, "x", Some("https://app.example")));
        assert!(!check(&policy, PUBLIC, false, "x", Some("http://app.example")));
        assert!(!check(&policy, PUBLIC, false, "x", Some("https://app.example:444")));
        assert!(check(&policy, LOOPBACK, false, "gw.local:9", Some("http://gw.local:9")));
    }

    #[test]
    fn doubtful_hosts_are_refused() {
        let policy = OriginPolicy::default();
        let local = LOOPBACK.parse().unwrap();
        let mut headers = HeaderMap::new();
        assert!(policy.check(&headers, None, local, false).is_err(), "no host at all");
        assert!(policy.check(&headers, Some("localhost"), local, false).is_ok());
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        assert!(policy.check(&headers, Some("evil.example"), local, false).is_err());
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert!(policy.check(&headers, None, local, false).is_err(), "twice");
    }
}
