//! Servers that are programs: either `command` or `endpoints`, and no key of the one beside the other.

use super::super::Check;
use crate::value::{BlockVal, Data, Origin};

/// Keys that mean something for a program only.
const PROGRAM: [&str; 13] = [
    "args",
    "env",
    "env_allow",
    "cwd",
    "stop_grace",
    "max_processes",
    "max_processes_per_principal",
    "max_open_files",
    "max_memory",
    "shared",
    "idle",
    "queue_messages",
    "queue_bytes",
];

/// Keys that mean something for endpoints only.
const ENDPOINTS: [&str; 4] = ["upstream_auth", "tls", "http2", "strategy"];

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
            let message = "needs `endpoints`, where Streamable HTTP is spoken, or a `command` to run";
            check.error(at("endpoints"), server.at_key("name"), message);
        }
        (endpoints, _) => {
            let (dead, needed) =
                if endpoints { (&PROGRAM[..], "`command`") } else { (&ENDPOINTS[..], "`endpoints`") };
            for name in dead.iter().filter(|name| chosen(server, name)) {
                let message = format!("has no effect on a server without {needed}");
                check.error(at(name), server.at_key(name), message);
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
    let (own, all) = (most("max_processes_per_principal"), most("max_processes"));
    if given(server, "max_processes_per_principal") {
        check.ordered(server, path, own, all);
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
