//! An endpoint's URL: scheme, host, port, base path.

use crate::{BuildError, Target};
use http::{HeaderValue, Uri, uri::PathAndQuery};
use rustls_pki_types::ServerName;
use std::net::IpAddr;

/// What a URL says, taken apart once at build.
#[derive(Clone, Debug)]
pub(crate) struct EndpointUrl {
    /// As configured, without a slash at the end. Part of the endpoint's key.
    pub(crate) text: String,
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// The value of `Host`: the port only where it is not the scheme's own.
    pub(crate) host_header: HeaderValue,
    base: Base,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(String),
}

#[derive(Clone, Debug)]
struct Base {
    /// Empty for `/`, else `/a/b` without a slash at the end.
    prefix: String,
    /// What [`Target::Base`] becomes: the configured path as it stands, or `/`.
    whole: PathAndQuery,
}

impl EndpointUrl {
    pub(crate) fn parse(upstream: &str, text: &str) -> Result<Self, BuildError> {
        let bad = |reason| BuildError::Url {
            upstream: upstream.to_owned(),
            url: redacted(text).to_owned(),
            reason,
        };
        let uri: Uri = text.trim().parse().map_err(|_| bad("is not a URL; write http://host:port"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(bad("has a scheme that is neither http nor https")),
            None => return Err(bad("has no scheme; write http://host:port or https://host:port")),
        };
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("carries a user name; put credentials into upstream_auth"));
        }
        if uri.query().is_some() {
            return Err(bad("carries a query; only a base path is allowed"));
        }
        let host = parse_host(authority.host())
            .ok_or_else(|| bad("has a host that is neither a name nor an address"))?;
        let default_port = if tls { 443 } else { 80 };
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" => default_port,
            rest => rest[1..].parse().ok().filter(|p| *p != 0).ok_or_else(|| bad("has no valid port"))?,
        };
        let shown = if port == default_port { authority.host().to_owned() } else { authority.to_string() };
        let host_header =
            HeaderValue::from_str(&shown).map_err(|_| bad("has a host that no header can carry"))?;
        let base = Base::new(uri.path()).ok_or_else(|| bad("has a base path that no request can carry"))?;
        Ok(Self { text: text.trim().trim_end_matches('/').to_owned(), tls, host, port, host_header, base })
    }

    /// The origin-form path and query of a request (RFC 9112 section 3.2.1). No copy without a base path.
    pub(crate) fn join(&self, target: &Target) -> Option<PathAndQuery> {
        match target {
            Target::Base => Some(self.base.whole.clone()),
            Target::At(path) => Some(path.clone()),
            Target::Path(path) if self.base.prefix.is_empty() => Some(path.clone()),
            Target::Path(path) if path.as_str() == "/" => Some(self.base.whole.clone()),
            Target::Path(path) => format!("{}{path}", self.base.prefix).parse().ok(),
        }
    }

    /// As [`Self::join`], in two parts: nothing is copied or parsed.
    pub(crate) fn parts<'a>(&'a self, target: &'a Target) -> (&'a str, &'a PathAndQuery) {
        match target {
            Target::Base => ("", &self.base.whole),
            Target::At(path) => ("", path),
            Target::Path(path) if self.base.prefix.is_empty() => ("", path),
            Target::Path(path) if path.as_str() == "/" => ("", &self.base.whole),
            Target::Path(path) => (&self.base.prefix, path),
        }
    }

    /// The name to verify in TLS, unless configuration names another.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        match &self.host {
            Host::Ip(ip) => Some(ServerName::from(*ip)),
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
        }
    }
}

impl Base {
    fn new(path: &str) -> Option<Self> {
        let prefix = path.trim_end_matches('/').to_owned();
        let whole = if path.is_empty() { "/" } else { path };
        Some(Self { prefix, whole: whole.parse().ok()? })
    }
}

fn parse_host(host: &str) -> Option<Host> {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse().ok().map(Host::Ip);
    }
    if let Ok(ip) = host.parse() {
        return Some(Host::Ip(ip));
    }
    // A name must also be one that TLS can verify, so that http and https accept the same names.
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty() && ServerName::try_from(name.as_str()).is_ok()).then_some(Host::Name(name))
}

/// What of a refused URL may be shown: everything after a user name.
fn redacted(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> EndpointUrl {
        EndpointUrl::parse("files", text).unwrap()
    }

    fn path(text: &'static str) -> Target {
        Target::Path(PathAndQuery::from_static(text))
    }

    #[test]
    fn a_url_without_a_path_leaves_the_target_alone() {
        let url = url("http://127.0.0.1:3000");
        assert_eq!(url.join(&path("/a?b=c")).unwrap(), "/a?b=c");
        assert_eq!(url.join(&Target::Base).unwrap(), "/");
        assert_eq!(url.host_header, "127.0.0.1:3000");
        assert_eq!(url.host, Host::Ip("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_base_path_is_put_before_the_target() {
        let url = url("https://files.example/v1/mcp");
        assert_eq!(url.join(&Target::Base).unwrap(), "/v1/mcp");
        assert_eq!(url.join(&path("/")).unwrap(), "/v1/mcp");
        assert_eq!(url.join(&path("/x?y")).unwrap(), "/v1/mcp/x?y");
        for target in [Target::Base, path("/"), path("/x?y")] {
            let (base, rest) = url.parts(&target);
            assert_eq!(url.join(&target).unwrap(), format!("{base}{rest}").as_str());
        }
        assert_eq!(url.host_header, "files.example");
        assert_eq!(url.port, 443);
    }

    #[test]
    fn a_slash_at_the_end_is_kept_for_the_base_and_not_doubled() {
        let url = url("http://h:1/a/");
        assert_eq!(url.join(&Target::Base).unwrap(), "/a/");
        assert_eq!(url.join(&path("/b")).unwrap(), "/a/b");
    }

    #[test]
    fn an_ipv6_host_is_read_without_its_brackets() {
        let url = url("http://[::1]:8080");
        assert_eq!(url.host, Host::Ip("::1".parse().unwrap()));
        assert_eq!(url.host_header, "[::1]:8080");
    }

    #[test]
    fn urls_that_cannot_work_are_refused_with_a_reason() {
        let bad = [
            "127.0.0.1:3000",
            "ftp://h",
            "http://",
            "http://h:0",
            "http://h:70000",
            "http://user:pw@h",
            "http://h/?q=1",
            "http://a b/",
            "http://[::1",
            "/only/path",
        ];
        for text in bad {
            let error = EndpointUrl::parse("files", text).unwrap_err().to_string();
            assert!(error.contains("files"), "{error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }
}
