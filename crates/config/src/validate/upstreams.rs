//! Routes, their endpoints and their policy.

mod kind;

use super::{Check, Names, auth::route_auth};
use crate::{
    Role,
    diagnostic::Draft,
    value::{BlockVal, Data},
};

/// Paths that Holdfast answers itself on every listener.
const OWN_PATHS: [&str; 4] = ["/health", "/healthz", "/ready", "/.well-known/oauth-protected-resource"];
/// Headers that belong to the connection (RFC 9110, 7.6.1), and those that Holdfast writes.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
];

pub(super) fn check(check: &mut Check<'_>) {
    let root = check.root;
    for (path, block) in [("routing", root.block("routing")), ("", Some(root))] {
        if let Some(block) = block {
            policy(check, path, block);
        }
    }
    let routes = all(root);
    let mut names = Names::new();
    for (path, route) in &routes {
        if let Some(name) = route.text("name") {
            let at = route.at_key("name");
            check.unique("this name", &mut names, name, format!("{path}.name"), at);
        }
        endpoints(check, path, route);
        if path.starts_with("mcp.") {
            kind::check(check, path, route);
        }
        policy(check, path, route);
        credential(check, path, route);
        client_tls(check, path, route);
    }
    prefixes(check);
    mcp(check);
    if check.role == Role::Serve && routes.is_empty() {
        check.warning("", None, "there is nothing to serve: neither `mcp.servers` nor `apis`");
    }
}

/// MCP servers and HTTP routes, each with its path.
pub(super) fn all(root: &BlockVal) -> Vec<(String, &BlockVal)> {
    let servers = root.block("mcp").into_iter().flat_map(|mcp| mcp.blocks("servers"));
    let servers = servers.map(|(i, server)| (format!("mcp.servers[{i}]"), server));
    servers.chain(root.blocks("apis").map(|(i, api)| (format!("apis[{i}]"), api))).collect()
}

fn endpoints(check: &mut Check<'_>, path: &str, route: &BlockVal) {
    let list = route.list("endpoints");
    let path = format!("{path}.endpoints");
    let program = route.schema.key("command").is_some();
    if list.is_empty() && !program && route.mentions("endpoints") && !route.refused.contains("endpoints") {
        check.error(&path, route.at_key("endpoints"), "needs at least one endpoint");
    }
    let mut urls = Names::new();
    for (i, endpoint) in route.blocks("endpoints") {
        if let Some(url) = endpoint.text("url") {
            check.unique("this endpoint", &mut urls, url, format!("{path}[{i}].url"), endpoint.at_key("url"));
        }
    }
    if !list.is_empty() && route.blocks("endpoints").all(|(_, endpoint)| endpoint.int("weight") == Some(0)) {
        check.warning(&path, route.at_key("endpoints"), "every endpoint is drained: all weights are 0");
    }
}

fn policy(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let at = |name: &str| crate::decode::join(path, name);
    let time = |block: &BlockVal, name: &'static str| (name, block.duration(name));
    if let Some(breaker) = block.block("circuit_breaker") {
        let path = at("circuit_breaker");
        check.ordered(breaker, &path, time_key(breaker, "timeout"), time_key(breaker, "max_timeout"));
        window(check, &path, breaker);
    }
    if let Some(retry) = block.block("retry") {
        check.ordered(retry, &at("retry"), time(retry, "initial_delay"), time(retry, "max_delay"));
    }
    if let Some(outlier) = block.block("outlier_detection") {
        let (low, high) = (time(outlier, "base_ejection_time"), time(outlier, "max_ejection_time"));
        check.ordered(outlier, &at("outlier_detection"), low, high);
    }
    if let Some(probe) = block.block("health_check")
        && probe.word("type") == Some("http")
        && !probe.mentions("path")
    {
        check.error(at("health_check.path"), probe.at_key("type"), "an `http` probe needs a `path`");
    }
    let own = |name: &str| block.get(name).is_some_and(|val| val.origin == crate::value::Origin::Given);
    if (own("connect_timeout") || own("timeout"))
        && block.duration("connect_timeout") > block.duration("timeout")
    {
        let name = if own("connect_timeout") { "connect_timeout" } else { "timeout" };
        let message = "`connect_timeout` is above `timeout`, which ends the request first";
        check.warning(at(name), block.at_key(name), message);
    }
}

fn time_key(block: &BlockVal, name: &'static str) -> (&'static str, Option<std::time::Duration>) {
    (name, block.duration(name))
}

/// A rate that can never be known would be a condition that never trips.
fn window(check: &mut Check<'_>, path: &str, breaker: &BlockVal) {
    let (Some(thresholds), Some(window)) = (breaker.block("thresholds"), breaker.block("sliding_window"))
    else {
        return;
    };
    let own = thresholds.get("minimum_calls").is_some_and(|val| val.origin == crate::value::Origin::Given)
        || window.get("size").is_some_and(|val| val.origin == crate::value::Origin::Given);
    if own
        && window.word("type") == Some("count_based")
        && thresholds.int("minimum_calls") > window.int("size")
    {
        let message = "is above `sliding_window.size`: the window never holds so many calls";
        let at = thresholds.at_key("minimum_calls");
        let draft = Draft::error(format!("{path}.thresholds.minimum_calls"), at, message);
        check.push(draft.also(window.at_key("size"), "the size"));
    }
}

fn credential(check: &mut Check<'_>, path: &str, route: &BlockVal) {
    let Some(credential) = route.block("upstream_auth") else { return };
    let path = format!("{path}.upstream_auth");
    if let Some(header) = credential.text("header")
        && OWN_HEADERS.contains(&header.to_ascii_lowercase().as_str())
    {
        let at = credential.at_key("header");
        check.error(
            format!("{path}.header"),
            at,
            "this header belongs to the connection and cannot carry a credential",
        );
    }
    if let Some(Data::Secret(secret)) = credential.get("value").map(|val| &val.data)
        && http::HeaderValue::from_str(&secret.value).is_err()
    {
        check.error(format!("{path}.value"), credential.at_key("value"), "cannot be the value of a header");
    }
    let clear = route.blocks("endpoints").find_map(|(_, endpoint)| {
        let host = endpoint.text("url")?.strip_prefix("http://")?;
        let host: http::uri::Authority = host.split('/').next()?.parse().ok()?;
        let name = host.host().trim_matches(['[', ']']);
        let local = name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        (!local).then(|| endpoint.at_key("url"))
    });
    if let Some(at) = clear {
        let message = "the credential of `upstream_auth` goes to this endpoint in clear text";
        check.warning(&path, at, message).help = Some("use an `https` endpoint".into());
    }
    if route_auth(check.root, route) {
        let message = "one credential stands for every caller of this route";
        check.warning(&path, credential.at, message).help =
            Some("the upstream cannot tell callers apart; make sure that its rights fit all of them".into());
    }
}

fn client_tls(check: &mut Check<'_>, path: &str, route: &BlockVal) {
    let Some(tls) = route.block("tls").filter(|tls| !tls.fields.is_empty()) else { return };
    let path = format!("{path}.tls");
    check.pair(tls, &path, ["cert_file", "key_file"]);
    check.readable(tls, &path, &["ca_file", "cert_file", "key_file"]);
    let https = |endpoint: &BlockVal| endpoint.text("url").is_none_or(|url| url.starts_with("https://"));
    if !route.blocks("endpoints").any(|(_, endpoint)| https(endpoint)) && !route.list("endpoints").is_empty()
    {
        check.error(&path, tls.at, "no endpoint uses TLS: every URL starts with `http://`");
    }
}

fn prefixes(check: &mut Check<'_>) {
    let root = check.root;
    let mcp = root.block("mcp").filter(|mcp| !mcp.list("servers").is_empty());
    let mcp_path = mcp.and_then(|mcp| mcp.text("path"));
    let mut seen = Names::new();
    for (i, api) in root.blocks("apis") {
        let Some(prefix) = api.text("path_prefix") else { continue };
        let (path, at) = (format!("apis[{i}].path_prefix"), api.at_key("path_prefix"));
        check.unique("this prefix", &mut seen, prefix, path.clone(), at);
        if OWN_PATHS.iter().any(|own| within(prefix, own)) {
            check.error(&path, at, "Holdfast answers this path itself");
        }
        if mcp_path.is_some_and(|mcp| within(prefix, mcp)) {
            let also = mcp.and_then(|mcp| mcp.get("path")).and_then(|val| val.at);
            let draft = Draft::error(&path, at, "this path belongs to the MCP endpoints (`mcp.path`)");
            check.push(draft.also(also, "mcp.path"));
        }
    }
    if let Some((mcp, path)) = mcp.zip(mcp_path)
        && (path == "/" || OWN_PATHS.iter().any(|own| within(path, own)))
    {
        let message = "must be a path of its own: Holdfast answers its health paths beside it";
        check.error("mcp.path", mcp.at_key("path"), message);
    }
}

/// Whether `path` is `prefix` or below it, in whole segments.
fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix == "/")
}

fn mcp(check: &mut Check<'_>) {
    let root = check.root;
    let Some(mcp) = root.block("mcp") else { return };
    let bytes = |name| match mcp.get(name).map(|val| &val.data) {
        Some(Data::Size(n)) => (name, Some(*n)),
        _ => (name, None),
    };
    check.ordered(mcp, "mcp", bytes("max_response_bytes"), bytes("response_bytes_total"));
    federation(check, mcp);
    if check.role != Role::Serve || mcp.mentions("public_url") {
        return;
    }
    let protected = mcp.blocks("servers").find(|(_, server)| route_auth(root, server));
    if let Some((i, server)) = protected {
        let message = "callers must authenticate here, and `mcp.public_url` is missing";
        check.error(format!("mcp.servers[{i}]"), server.at_key("name"), message).help = Some(
            "clients find the authorization server by it (RFC 9728); it is never taken from `Host`".into(),
        );
    }
}

/// A joined name must come apart as it was joined: the first separator in it is the one between.
fn federation(check: &mut Check<'_>, mcp: &BlockVal) {
    let Some(separator) = mcp.block("federation").and_then(|block| block.text("separator")) else { return };
    for (i, server) in mcp.blocks("servers") {
        let Some(name) = server.text("name") else { continue };
        if [name, separator].concat().find(separator) != Some(name.len()) {
            let message = format!("holds or ends like `mcp.federation.separator`, which is `{separator}`");
            check.error(format!("mcp.servers[{i}].name"), server.at_key("name"), message);
        }
    }
}
