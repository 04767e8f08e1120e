//! What kind of server it is: a program or endpoints, and what those speak; and no key that means nothing for that kind.

use super::super::Check;
use crate::value::{BlockVal, Data, Origin};

/// Keys that mean something for a program only.
const PROGRAM: [&str; 9] = [
    "args",
    "env",
    "env_allow",
    "cwd",
    "stop_grace",
    "max_processes",
    "max_processes_per_principal",
    "max_open_files",
    "max_memory",
];

/// Keys that mean something for links only.
const LINKS: [&str; 4] = ["shared", "idle", "queue_messages", "queue_bytes"];

/// Keys that mean something for links to endpoints only.
const CONNECTIONS: [&str; 2] = ["max_links", "max_links_per_principal"];

/// Keys that mean something for endpoints only.
const ENDPOINTS: [&str; 5] = ["transport", "upstream_auth", "tls", "http2", "strategy"];

pub(super) fn check(check: &mut Check<'_>, path: &str, server: &BlockVal) {
    let has = |name: &str| !server.list(name).is_empty() || server.refused.contains(name);
    let at = |name: &str| crate::decode::join(path, name);
    match (has("endpoints"), has("command")) {
        (true, true) => {
            let message = "a server is either a `command` or `endpoints`, and not both";
            check.error(at("command"), server.at_key("command"), message).help =
                Some("make them two servers: Holdfast runs the one and calls the other".into());
        }
        (false, false) => {
            let message = "needs `endpoints`, or a `command` to run";
            check.error(at("endpoints"), server.at_key("name"), message);
        }
        (endpoints, _) => {
            let (dead, needed) =
                if endpoints { (&PROGRAM[..], "`command`") } else { (&ENDPOINTS[..], "`endpoints`") };
            without(check, path, server, dead, needed);
            if endpoints {
                transport(check, path, server);
            } else {
                without(check, path, server, &CONNECTIONS, "`endpoints`");
                without(check, path, server, &["link_ping_interval"], "`endpoints`");
            }
        }
    }
    if let Some(word) = sole_word(server)
        && word.contains(char::is_whitespace)
    {
        let message = "is the name of one program, blanks included: no shell splits it";
        check.warning(at("command"), server.at_key("command"), message).help =
            Some("write a list: `command: [program, argument]`".into());
    }
    let pooled =
        chosen(server, "pool") && server.get("shared").is_none_or(|val| val.data != Data::Bool(true));
    if pooled {
        check.error(at("pool"), server.at_key("pool"), "means something with `shared: true` only");
    }
    let most = |name: &'static str| (name, server.int(name));
    check.ordered(server, path, most("max_links_per_principal"), most("max_links"));
    let (own, all) = (most("max_processes_per_principal"), most("max_processes"));
    if given(server, "max_processes_per_principal") {
        check.ordered(server, path, own, all);
    }
}

fn without(check: &mut Check<'_>, path: &str, server: &BlockVal, dead: &[&str], needed: &str) {
    for name in dead.iter().filter(|name| chosen(server, name)) {
        let message = format!("has no effect on a server without {needed}");
        check.error(crate::decode::join(path, name), server.at_key(name), message);
    }
}

/// `ws://` says that it is a WebSocket; `transport` may say it too, and nothing else.
fn transport(check: &mut Check<'_>, path: &str, server: &BlockVal) {
    let is_ws = |url: &str| url.starts_with("ws://") || url.starts_with("wss://");
    let said = server.word("transport");
    let urls: Vec<_> = server
        .blocks("endpoints")
        .filter_map(|(i, endpoint)| Some((i, endpoint.text("url")?, endpoint.at_key("url"))))
        .collect();
    let by_url = urls.iter().any(|(_, url, _)| is_ws(url));
    if by_url && said != Some("websocket") {
        let wrong = |url: &str| if said.is_some() { is_ws(url) } else { !is_ws(url) };
        for (i, _, at) in urls.iter().filter(|(_, url, _)| wrong(url)) {
            let message = match said {
                Some(_) => "is the URL of a WebSocket, and `transport` says otherwise",
                None => "is not the URL of a WebSocket, and others of this server are",
            };
            check.error(format!("{path}.endpoints[{i}].url"), *at, message);
        }
    }
    let websocket = by_url || said == Some("websocket");
    if !websocket {
        without(check, path, server, &["link_ping_interval"], "`transport: websocket`");
    }
    if !websocket && said != Some("sse") {
        let needed = "`command`, `transport: websocket` or `transport: sse`";
        without(check, path, server, &LINKS, needed);
        without(check, path, server, &CONNECTIONS, needed);
    }
}

fn given(server: &BlockVal, name: &str) -> bool {
    server.get(name).is_some_and(|val| val.origin == Origin::Given)
}

/// Given, and not merely its default written down.
fn chosen(server: &BlockVal, name: &str) -> bool {
    let Some(val) = server.get(name).filter(|val| val.origin == Origin::Given) else { return false };
    match &val.data {
        Data::Block(block) => block.fields.values().any(|val| val.origin == Origin::Given),
        data => server.schema.key(name).and_then(crate::decode::default_value).as_ref() != Some(data),
    }
}

/// The program, if nothing else is said of it.
fn sole_word(server: &BlockVal) -> Option<&str> {
    let ([only], true) = (server.list("command"), server.list("args").is_empty()) else { return None };
    match &only.data {
        Data::Text(text) => Some(text),
        _ => None,
    }
}
