//! What text may look like. A rule answers with what is expected; it never repeats the value.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// A rule for one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Anything but nothing.
    Any,
    /// `A-Za-z0-9_-`, at most 64.
    Name,
    /// The same without `__` and without `_` at its end: `__` separates server and tool when names are merged.
    ServerName,
    /// What stands between the name of a server and that of a tool.
    Separator,
    /// `A-Za-z0-9_-`, at most 16.
    KeyId,
    /// An IP address.
    Address,
    /// An address or a network.
    Network,
    /// The address of a DNS server, with a port if it is not 53.
    DnsServer,
    /// An absolute `http` or `https` URL of an endpoint.
    Url,
    /// The same, or `ws` or `wss`.
    McpUrl,
    /// Scheme, host and port alone.
    Origin,
    /// A host, with a port if wanted.
    Authority,
    /// A host name or an address, without a port.
    Host,
    /// The same, with a port if wanted.
    HostPort,
    /// A DNS name or a URI, as a certificate names its owner.
    Identity,
    /// A path that starts with `/`.
    Path,
    /// A path without a trailing `/`, except `/` itself.
    Prefix,
    /// A file.
    File,
    /// A header name.
    Header,
    /// A log level, or a filter per module.
    Filter,
    /// A pattern for names.
    Glob,
    /// A pattern for URIs.
    UriGlob,
    /// A SHA-256.
    Sha256,
}

const LONGEST: usize = 4096;

impl Rule {
    /// `Err` tells what is expected.
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Err("must not be empty".into());
        }
        if text.len() > LONGEST || text.contains('\0') {
            return Err(format!("must be at most {LONGEST} bytes, without NUL"));
        }
        let fine = match self {
            Self::Any | Self::File => true,
            Self::Name => is_name(text, 64),
            Self::ServerName => is_name(text, 64) && !text.contains("__") && !text.ends_with('_'),
            Self::Separator => {
                text.len() <= 8 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
            }
            Self::KeyId => is_name(text, 16),
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::Network => network(text).is_some(),
            Self::DnsServer => dns_server(text).is_some(),
            Self::Url => return check_url(text, Self::Url, &["http", "https"]),
            Self::McpUrl => return check_url(text, Self::McpUrl, &["http", "https", "ws", "wss"]),
            Self::Origin => return check_origin(text),
            Self::Authority => text.parse::<http::uri::Authority>().is_ok() && !text.contains('@'),
            Self::Host => is_host(text),
            Self::HostPort => is_host_port(text),
            Self::Identity => is_identity(text),
            Self::Path => is_path(text),
            Self::Prefix => is_path(text) && (text == "/" || !text.ends_with('/')) && !text.contains("//"),
            Self::Header => text.parse::<http::HeaderName>().is_ok(),
            Self::Filter => is_filter(text),
            Self::Glob => {
                text.len() <= 512 && !text.contains(|c: char| c.is_control() || "?[]{}\\".contains(c))
            }
            Self::Sha256 => text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            Self::UriGlob => text.len() <= 2048 && crate::is_plain_uri(text, true),
        };
        if fine { Ok(()) } else { Err(format!("must be {}", self.expects())) }
    }

    /// For messages, the reference and the schema.
    pub(crate) fn expects(self) -> &'static str {
        match self {
            Self::Any => "text",
            Self::Name => "a name of `A-Za-z0-9_-`, at most 64",
            Self::ServerName => {
                "a name of `A-Za-z0-9_-`, at most 64, without `__` and without `_` at the end"
            }
            Self::Separator => "1 to 8 characters of `A-Za-z0-9_.-`",
            Self::KeyId => "1 to 16 characters of `A-Za-z0-9_-`",
            Self::Address => "an IP address such as `0.0.0.0` or `::1`",
            Self::Network => "an address or network such as `10.0.0.0/8`",
            Self::DnsServer => "an IP address such as `10.0.0.2`, `10.0.0.2:5353` or `[::1]:5353`",
            Self::Url => "a URL `http://host:port/path` or `https://...`",
            Self::McpUrl => "a URL `http://host:port/path`, `https://...`, `ws://...` or `wss://...`",
            Self::Origin => "an origin such as `https://gateway.example.com`",
            Self::Authority => "a host such as `gateway.example.com` or `localhost:8443`",
            Self::Host => "a host name or an IP address, without a port",
            Self::HostPort => "a host, or `host:port` with a port from 1 to 65535; IPv6 as `[::1]:9444`",
            Self::Identity => {
                "a DNS name such as `gateway.example.com`, without wildcard, or a URI such as `spiffe://example.com/gateway`"
            }
            Self::Path => "a path that starts with `/`",
            Self::Prefix => "a path that starts with `/`, without `//` and without `/` at the end",
            Self::File => "a file",
            Self::Header => "a header name",
            Self::Filter => "`error`, `warn`, `info`, `debug` or `trace`, or a list `module=level,...`",
            Self::Glob => "a name, in which `*` stands for anything and nothing else is special",
            Self::Sha256 => "64 lower-case hexadecimal digits",
            Self::UriGlob => {
                "a URI in its plainest form, in which `*` stands for anything: lower-case scheme, no `..`, no needless escapes"
            }
        }
    }
}

/// An address stands for itself alone.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// RFC 1035, 4.2: port 53 where none is named.
pub(crate) fn dns_server(text: &str) -> Option<SocketAddr> {
    let found = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| (ip, 53).into()));
    found.filter(|address: &SocketAddr| address.port() != 0)
}

fn is_name(text: &str, longest: usize) -> bool {
    text.len() <= longest && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// RFC 1123, 2.1, with `_` as service names have it; or an address.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    text.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

fn is_host_port(text: &str) -> bool {
    if is_host(text) {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map_or_else(
        || !host.contains(':') && is_host(host),
        |address| address.parse::<std::net::Ipv6Addr>().is_ok(),
    );
    host && crate::text::whole(port).is_some_and(|port| (1..=65535).contains(&port))
}

/// RFC 5280, 4.2.1.6. An address is no identity: it says where somebody is.
fn is_identity(text: &str) -> bool {
    let uri = text
        .parse::<http::Uri>()
        .is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty()));
    text.len() <= 2048 && (uri || (is_host(text) && text.parse::<IpAddr>().is_err() && !text.ends_with('.')))
}

/// RFC 3986, 3.3, without query and fragment; `.` and `..` segments would never match a normalised path.
fn is_path(text: &str) -> bool {
    let whole = text.parse::<http::uri::PathAndQuery>().is_ok_and(|p| p.as_str() == text);
    let dots = text.split('/').any(|segment| segment == "." || segment == "..");
    text.starts_with('/') && whole && !dots && !text.contains(['?', '#'])
}

fn check_url(text: &str, rule: Rule, schemes: &[&str]) -> Result<(), String> {
    let uri: http::Uri = text.parse().map_err(|_| format!("must be {}", rule.expects()))?;
    if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
        let starts: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
        return Err(format!("must start with {}", starts.join(" or ")));
    }
    if uri.authority().is_none_or(|a| a.as_str().contains('@') || a.host().is_empty()) {
        return Err("must name a host, and no user or password: credentials go to `upstream_auth`".into());
    }
    let with_port = uri.authority().is_some_and(|a| a.as_str().len() > a.host().len());
    if uri.port_u16() == Some(0) || (with_port && uri.port_u16().is_none()) {
        return Err("must have a port from 1 to 65535, or none".into());
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("must not have a query or a fragment".into());
    }
    Ok(())
}

/// RFC 6454, 6.2.
fn check_origin(text: &str) -> Result<(), String> {
    check_url(text, Rule::Url, &["http", "https"])?;
    let bare = text.splitn(4, '/').count() < 4;
    if bare { Ok(()) } else { Err(format!("must be {}, without a path", Rule::Origin.expects())) }
}

fn is_filter(text: &str) -> bool {
    let is_level = |level: &str| {
        matches!(level.to_ascii_lowercase().as_str(), "off" | "error" | "warn" | "info" | "debug" | "trace")
    };
    let is_module = |module: &str| {
        !module.is_empty() && module.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    text.split(',').all(|part| match part.trim().split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(part.trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_server_is_an_address_with_port_53_unless_it_says_otherwise() {
        let found = |text| dns_server(text).map(|address| address.to_string());
        assert_eq!(found("10.0.0.2").as_deref(), Some("10.0.0.2:53"));
        assert_eq!(found("10.0.0.2:5353").as_deref(), Some("10.0.0.2:5353"));
        assert_eq!(found("fd00::1").as_deref(), Some("[fd00::1]:53"));
        assert_eq!(found("[fd00::1]:5353").as_deref(), Some("[fd00::1]:5353"));
        for bad in ["dns.example.com", "10.0.0.2:0", "10.0.0.2:", "[fd00::1]"] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
