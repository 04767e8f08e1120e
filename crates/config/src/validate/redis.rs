//! Shared servers: one address, no contradiction, no password in clear text over the open network.

use super::Check;
use crate::{
    diagnostic::Draft,
    effective::redis::{FORMS, addressed, encrypted, url},
    redis_url::{PORT, RedisUrl, with_port},
    value::BlockVal,
};
use std::net::IpAddr;

pub(super) fn check(check: &mut Check<'_>) {
    let root = check.root;
    let sessions = root.block("sessions");
    let before = check.drafts.len();
    for (path, block) in places(root) {
        // Without an address it only holds what others take over.
        if addressed(block) {
            address(check, path, block);
            clear_text(check, path, block);
        }
        encryption(check, path, block);
    }
    // What a use took over as it stands has been told at the root.
    let mut told = Vec::new();
    for draft in check.drafts.split_off(before) {
        if !told
            .iter()
            .any(|(at, message)| draft.at.is_some() && (*at, message) == (draft.at, &draft.message))
        {
            told.push((draft.at, draft.message.clone()));
            check.drafts.push(draft);
        }
    }
    let Some(sessions) = sessions else { return };
    let shared = sessions.block("redis");
    match sessions.word("type") {
        Some("redis") if !shared.is_some_and(addressed) && !sessions.refused.contains("redis") => {
            let at = sessions.at_key(if sessions.gives("type") { "type" } else { "redis" });
            check.error("sessions.type", at, "`redis` needs the address of a server").help = Some(
                "give one of `url`, `url_env`, `addresses`, `addresses_env`, `sentinel` in `sessions.redis` or in `redis`, \
                 or set the environment variable `REDIS_URL`"
                    .into(),
            );
        }
        Some("memory") if shared.is_some() => {
            check.error("sessions.redis", sessions.at_key("redis"), "is not used with `type: memory`").help =
                Some("remove the block, or change the type".into());
        }
        _ => {}
    }
}

/// The file wins over the variable, and says so when they differ (C6).
pub(crate) fn url_differs(root: &BlockVal, variable: &str, drafts: &mut Vec<Draft>) {
    let used = RedisUrl::parse(variable);
    for (path, block) in places(root) {
        let same = match (url(block), &used) {
            (Some(Ok(own)), Ok(used)) => own == *used,
            (None, Ok(used)) => {
                let own: Vec<&str> =
                    block.list("addresses").iter().filter_map(|val| text(&val.data)).collect();
                matches!(own[..], [one] if with_port(one, PORT).as_deref() == Some(&used.address))
            }
            _ => false,
        };
        if addressed(block) && !same {
            let at = FORMS.iter().find_map(|form| block.get(form)).and_then(|val| val.at);
            drafts.push(
                Draft::warning(
                    path,
                    at,
                    "the environment variable `REDIS_URL` names another server, and is not used",
                )
                .help("the file wins; unset the variable, or make them equal"),
            );
            return;
        }
    }
}

fn text(data: &crate::value::Data) -> Option<&str> {
    if let crate::value::Data::Text(text) = data { Some(text) } else { None }
}

/// Every block with its path.
fn places(root: &BlockVal) -> Vec<(&'static str, &BlockVal)> {
    let own = root.block("redis").map(|block| ("redis", block));
    let sessions = root.block("sessions").and_then(|sessions| sessions.block("redis"));
    own.into_iter().chain(sessions.map(|block| ("sessions.redis", block))).collect()
}

fn address(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let forms: Vec<&str> = FORMS.into_iter().filter(|form| block.mentions(form)).collect();
    if let [first, second, ..] = forms[..] {
        let draft = Draft::error(
            format!("{path}.{second}"),
            block.at_key(second),
            format!("there is `{first}` as well"),
        );
        check.push(
            draft
                .also(block.at_key(first), "the other one")
                .help("exactly one of `url`, `addresses`, `sentinel` says where the servers are"),
        );
        return;
    }
    let url = url(block);
    if let Some(Err(why)) = url {
        check.error(format!("{path}.url"), block.at_key("url"), why);
        return;
    }
    let url = url.and_then(Result::ok);
    mode(check, path, block);
    ports(check, path, block);
    if let Some(sentinel) = block.block("sentinel") {
        ports(check, &format!("{path}.sentinel"), sentinel);
    }
    let Some(url) = url else { return };
    let login = |name: &str| block.block("auth").filter(|auth| auth.mentions(name));
    for (name, in_url) in [("username", url.username.is_some()), ("password", url.password.is_some())] {
        if let Some(auth) = login(name).filter(|_| in_url) {
            check.error(format!("{path}.auth.{name}"), auth.at_key(name), "the URL has one as well").help =
                Some("keep one of the two".into());
        }
    }
    let database = block.int("database").filter(|_| block.gives("database"));
    if database.zip(url.database).is_some_and(|(key, url)| key != u64::from(url)) {
        check
            .error(format!("{path}.database"), block.at_key("database"), "the URL names another database")
            .help = Some("keep one of the two".into());
    }
}

fn mode(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let count = block.list("addresses").len();
    let database =
        url(block).and_then(Result::ok).and_then(|url| url.database).map(u64::from).or(block.int("database"));
    let (key, message) = match block.word("mode") {
        Some("sentinel") if !block.mentions("sentinel") => ("mode", "`sentinel` needs a block `sentinel`"),
        Some("single" | "cluster") if block.mentions("sentinel") => ("sentinel", "needs `mode: sentinel`"),
        Some("single") if count > 1 => ("addresses", "`mode: single` has one server"),
        Some("cluster") if database.is_some_and(|n| n != 0) => ("database", "a cluster has only database 0"),
        _ if block.mentions("addresses") && count == 0 && !block.refused.contains("addresses") => {
            ("addresses", "at least one server")
        }
        _ => return,
    };
    check.error(format!("{path}.{key}"), block.at_key(key), message);
}

fn ports(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let wrong =
        |val: &&crate::value::Val| text(&val.data).is_some_and(|text| with_port(text, PORT).is_none());
    if block.list("addresses").iter().any(|val| wrong(&val)) {
        let path = format!("{path}.addresses");
        check.error(path, block.at_key("addresses"), "each must have a port from 1 to 65535, or none");
    }
}

fn encryption(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let Some(tls) = block.block("tls") else { return };
    let path = format!("{path}.tls");
    if tls.bool("skip_verify") == Some(true) {
        check
            .error(
                format!("{path}.skip_verify"),
                tls.at_key("skip_verify"),
                "certificates are always verified",
            )
            .help = Some(
            "a private authority goes to `ca_file`, a certificate for another name needs `server_name`"
                .into(),
        );
    }
    let off = tls.bool("enabled") == Some(false);
    if off && url(block).is_some_and(|url| url.is_ok_and(|url| url.tls)) {
        check.error(format!("{path}.enabled"), tls.at_key("enabled"), "contradicts `rediss://`").help =
            Some("write `redis://` for clear text, or remove `enabled: false`".into());
    }
    check.pair(tls, &path, ["cert_file", "key_file"]);
    if !off {
        check.readable(tls, &path, &["ca_file", "cert_file", "key_file"]);
    }
}

/// MG-02. A name is looked up, and judged, when a connection is made.
fn clear_text(check: &mut Check<'_>, path: &str, block: &BlockVal) {
    let url = url(block).and_then(Result::ok);
    let password = block.block("auth").is_some_and(|auth| auth.mentions("password"))
        || url.as_ref().is_some_and(|url| url.password.is_some());
    if !password || encrypted(block) || block.bool("allow_plaintext") == Some(true) {
        return;
    }
    let listed = block.list("addresses").iter().filter_map(|val| text(&val.data)).map(ToOwned::to_owned);
    let public = url.map(|url| url.address).into_iter().chain(listed).find(|address| is_public(address));
    if public.is_some() {
        let form = if block.mentions("url") { "url" } else { "addresses" };
        check
            .error(
                format!("{path}.{form}"),
                block.at_key(form),
                "the password would cross the open network in clear text: the address is not private",
            )
            .help = Some(
            "use `rediss://` or `tls: {enabled: true}`; `allow_plaintext: true` sends it all the same".into(),
        );
    }
}

fn is_public(address: &str) -> bool {
    let host = with_port(address, PORT).and_then(|address| Some(address.rsplit_once(':')?.0.to_owned()));
    let ip = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    ip.is_some_and(|ip| !crate::is_private(ip))
}
