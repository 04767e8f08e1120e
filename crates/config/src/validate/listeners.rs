//! Listeners, TLS, the admin port, the pool.

use super::{Check, Names};
use crate::{
    Role,
    assemble::FIRST,
    value::{BlockVal, Data},
};
use std::net::IpAddr;

pub(super) fn check(check: &mut Check<'_>) {
    let root = check.root;
    let listeners = all(root);
    let mut names = Names::from([(FIRST.to_owned(), root.block("server").and_then(|server| server.at))]);
    for (path, block) in listeners.iter().skip(1) {
        if let Some(name) = block.text("name") {
            let at = block.at_key("name");
            check.unique("this listener name", &mut names, name, format!("{path}.name"), at);
        }
    }
    for (path, block) in &listeners {
        listener(check, path, block);
    }
    clashes(check, &listeners);
    certificates(check);
    admin(check);
    if let Some(pool) = root.block("connection_pool") {
        check.ordered(
            pool,
            "connection_pool",
            ("max_idle", pool.int("max_idle")),
            ("max_size", pool.int("max_size")),
        );
    }
}

/// `server` and `listeners[]`, each with its path.
pub(super) fn all(root: &BlockVal) -> Vec<(String, &BlockVal)> {
    let first = root.block("server").map(|server| ("server".to_owned(), server));
    first
        .into_iter()
        .chain(root.blocks("listeners").map(|(i, block)| (format!("listeners[{i}]"), block)))
        .collect()
}

/// The TLS block, if TLS is on.
pub(super) fn tls(block: &BlockVal) -> Option<&BlockVal> {
    block.block("tls").filter(|tls| tls.bool("enabled") != Some(false))
}

fn listener(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let root = check.root;
    let trusted = root.block("server").is_some_and(|server| server.mentions("trusted_proxies"))
        && root.block("server").is_some_and(|server| !server.list("trusted_proxies").is_empty());
    if block.word("proxy_protocol") == Some("required") && !trusted {
        check
            .error(
                format!("{path}.proxy_protocol"),
                block.at_key("proxy_protocol"),
                "every connection would be refused: nobody is trusted to send the header",
            )
            .help = Some("name the load balancers in `server.trusted_proxies`".into());
    }
    let Some(tls) = tls(block) else {
        if block.word("protocol") == Some("https") {
            check.error(format!("{path}.protocol"), block.at_key("protocol"), "`https` needs a `tls` block");
        }
        return clear_text(check, path, block);
    };
    let path = format!("{path}.tls");
    check.pair(tls, &path, ["cert_file", "key_file"]);
    check.readable(tls, &path, &["cert_file", "key_file"]);
    for (i, certificate) in tls.blocks("certificates") {
        check.readable(certificate, &format!("{path}.certificates[{i}]"), &["cert_file", "key_file"]);
    }
    let own = tls.mentions("cert_file") || !tls.list("certificates").is_empty();
    let shared = root.block("ssl_configuration").and_then(|ssl| ssl.block("certificates"));
    let has_files = shared.is_some_and(|shared| !shared.list("files").is_empty());
    if check.role == Role::Serve && !own && !has_files {
        let at = tls.at.or(block.at);
        let acm = shared.is_some_and(|shared| shared.word("provider") == Some("acm"));
        let draft = check.error(path, at, "TLS is on and there is no certificate for it");
        draft.help = Some(if acm {
            "`provider: acm` is for rendered artefacts only: `serve` needs `cert_file` and `key_file`".into()
        } else {
            "give `cert_file` and `key_file`, or `ssl_configuration.certificates.files`".into()
        });
    }
}

/// Credentials in clear text on an address that others reach.
fn clear_text(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let public = host(block).is_some_and(|host| !host.is_loopback());
    if public && super::auth::any_auth(check.root) {
        let message =
            "credentials arrive here in clear text: the address is not loopback and there is no `tls`";
        check.warning(path, block.at, message).help =
            Some("configure `tls`, or leave encryption to a proxy in front and bind to its network".into());
    }
}

fn clashes(check: &mut Check<'_>, listeners: &[(String, &BlockVal)]) {
    let mut sockets = listeners.to_vec();
    let admin = check.root.block("admin").filter(|admin| admin.bool("enabled") != Some(false));
    sockets.extend(admin.map(|admin| ("admin".to_owned(), admin)));
    sockets.extend(super::ha::channel(check.root).map(|channel| ("ha.peer_channel".to_owned(), channel)));
    for (index, (path, block)) in sockets.iter().enumerate() {
        for (other_path, other) in &sockets[..index] {
            let (Some(a), Some(b)) = (socket(block), socket(other)) else { continue };
            if a.1 == b.1 && a.1 != 0 && overlap(a.0, b.0) {
                let at = block.at_key("port").or_else(|| other.at_key("port"));
                let also = other.at_key("port").filter(|other| Some(*other) != at);
                let message = format!("port {} is taken by `{other_path}`", a.1);
                let draft = crate::diagnostic::Draft::error(format!("{path}.port"), at, message);
                check.push(draft.also(also, "the other one"));
            }
        }
    }
}

fn socket(block: &BlockVal) -> Option<(IpAddr, u64)> {
    Some((host(block)?, block.int("port")?))
}

fn host(block: &BlockVal) -> Option<IpAddr> {
    block.text("host")?.parse().ok()
}

/// `::` takes IPv4 too, as Linux does by default.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let covers = |wide: IpAddr, other: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    a == b || covers(a, b) || covers(b, a)
}

fn certificates(check: &mut Check<'_>) {
    let root = check.root;
    let Some(shared) = root.block("ssl_configuration").and_then(|ssl| ssl.block("certificates")) else {
        return;
    };
    let path = "ssl_configuration.certificates";
    let acm = shared.word("provider") == Some("acm");
    for (name, wants_acm) in [("files", false), ("domains", true), ("validation", true)] {
        let empty = shared.get(name).is_some_and(|val| val.data == Data::List(Vec::new()));
        if shared.gives(name) && !empty && acm != wants_acm {
            let provider = if wants_acm { "acm" } else { "file" };
            let at = shared.at_key(name);
            check.error(format!("{path}.{name}"), at, format!("is only for `provider: {provider}`"));
        }
    }
    if acm {
        let at = shared.at_key("provider");
        check.warning(format!("{path}.provider"), at, "`acm` is for rendered artefacts only").help =
            Some("`serve` does not use it: its listeners need certificate files".into());
    }
    for (i, certificate) in shared.blocks("files") {
        check.readable(certificate, &format!("{path}.files[{i}]"), &["cert_file", "key_file"]);
    }
}

fn admin(check: &mut Check<'_>) {
    let Some(admin) = check.root.block("admin") else { return };
    let reachable = admin.mentions("token") || admin.mentions("unix_socket");
    if admin.bool("enabled") != Some(false) && !reachable && check.role == Role::Serve {
        let message =
            "status, reload and drain cannot be reached: there is neither `token` nor `unix_socket`";
        check.warning("admin", admin.at, message).help =
            Some("give `admin.token_env` or `admin.unix_socket`; metrics and health answer without".into());
    }
    if let Some(Data::Secret(token)) = admin.get("token").map(|val| &val.data) {
        // RFC 6750, 2.1: b64token.
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if !token.value.bytes().all(legal) {
            let at = admin.at_key("token");
            check.error("admin.token", at, "a bearer token may hold letters, digits and `-._~+/=` only");
        }
    }
}
