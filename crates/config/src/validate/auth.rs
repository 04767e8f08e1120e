//! Credentials and sessions. Messages never hold a value.

use super::{Check, Names};
use crate::{
    Role,
    diagnostic::Draft,
    value::{BlockVal, Data},
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use std::collections::HashMap;

const SESSION_KEY_BYTES: usize = 32;

pub(super) fn check(check: &mut Check<'_>) {
    let root = check.root;
    for (path, block) in places(root) {
        rules(check, &path, block);
    }
    for (path, block) in places(root).into_iter().skip(1) {
        let wants_root = block.mentions("enabled") && block.bool("enabled") == Some(true);
        let own = block.mentions("type");
        if wants_root && block.gives("enabled") && !own && !root_auth(root) {
            check.error(&path, block.at, "`true` means the root's `auth`, and there is none").help =
                Some("configure `auth` at the root, or give this route its own".into());
        }
        if block.bool("enabled") == Some(false) && own {
            check.warning(
                &path,
                block.at,
                "the route is public: `enabled: false` wins over the rest of the block",
            );
        }
    }
    sessions(check);
}

/// Whether the root demands a credential.
pub(super) fn root_auth(root: &BlockVal) -> bool {
    root.block("auth").and_then(|auth| auth.word("type")).is_some_and(|kind| kind != "none")
}

/// Whether a route demands a credential.
pub(super) fn route_auth(root: &BlockVal, route: &BlockVal) -> bool {
    match route.block("auth") {
        Some(auth) if auth.bool("enabled") == Some(false) => false,
        Some(auth) if auth.mentions("type") => auth.word("type") != Some("none"),
        _ => root_auth(root),
    }
}

/// Whether anything demands a credential.
pub(super) fn any_auth(root: &BlockVal) -> bool {
    root_auth(root) || super::upstreams::all(root).iter().any(|(_, route)| route_auth(root, route))
}

/// Every `auth` block with its path; the root's is the first.
fn places(root: &BlockVal) -> Vec<(String, &BlockVal)> {
    let first = root.block("auth").map(|auth| ("auth".to_owned(), auth));
    let routes = super::upstreams::all(root);
    let routes =
        routes.into_iter().filter_map(|(path, route)| Some((format!("{path}.auth"), route.block("auth")?)));
    first.into_iter().chain(routes).collect()
}

fn rules(check: &mut Check<'_>, path: &str, auth: &BlockVal) {
    if let Some(jwt) = auth.block("jwt") {
        let path = format!("{path}.jwt");
        for (name, what) in [("keys", "a verification key"), ("audience", "an audience")] {
            if jwt.list(name).is_empty() && !jwt.refused.contains(name) {
                let help =
                    (name == "keys").then(|| "for example `secret_key_env: JWT_SECRET_KEY`".to_owned());
                check
                    .error(format!("{path}.{name}"), jwt.at_key(name), format!("needs at least {what}"))
                    .help = help;
            }
        }
        let mut kids = Names::new();
        for (i, key) in jwt.blocks("keys") {
            jwt_key(check, &format!("{path}.keys[{i}]"), key);
            if let Some(kid) = key.text("kid") {
                let at = key.at_key("kid");
                check.unique("this `kid`", &mut kids, kid, format!("{path}.keys[{i}].kid"), at);
            }
        }
    }
    if let Some(api_key) = auth.block("api_key") {
        let path = format!("{path}.api_key");
        if api_key.list("keys").is_empty() && !api_key.refused.contains("keys") && api_key.mentions("keys") {
            check.error(format!("{path}.keys"), api_key.at_key("keys"), "needs at least one key");
        }
        same_secret(check, &path, api_key);
    }
}

fn jwt_key(check: &mut Check<'_>, path: &str, key: &BlockVal) {
    const SOURCES: [&str; 4] = ["secret_key", "secret_key_file", "public_key", "public_key_file"];
    let given: Vec<&str> = SOURCES.into_iter().filter(|name| key.mentions(name)).collect();
    let [source] = given[..] else {
        let message = if given.is_empty() { "there is no key" } else { "there is more than one key" };
        check.error(path, key.at, message).help =
            Some("give one of `secret_key`, `public_key`, their `_env` or their `_file` form".into());
        return;
    };
    let secret = source.starts_with("secret");
    let Some(algorithm) = key.word("algorithm") else {
        if !key.refused.contains("algorithm") {
            check.error(format!("{path}.algorithm"), key.at, "a public key must name its `algorithm`");
        }
        return;
    };
    if secret != (algorithm == "HS256") {
        let wants = if secret { "a public key" } else { "a `secret_key`" };
        let message = format!("{algorithm} needs {wants}");
        check.error(format!("{path}.algorithm"), key.at_key("algorithm"), message).help =
            Some("a shared secret is for HS256, public keys are for the others".into());
    }
    check.readable(key, path, &["secret_key_file", "public_key_file"]);
    if let Some(Data::Secret(pem)) = key.get("public_key").map(|val| &val.data)
        && !pem.value.contains("-----BEGIN")
    {
        check.error(format!("{path}.public_key"), key.at_key("public_key"), "is not PEM");
    }
}

/// One key for two callers would let chance decide who calls.
fn same_secret(check: &mut Check<'_>, path: &str, api_key: &BlockVal) {
    let mut seen: HashMap<&str, &BlockVal> = HashMap::new();
    for (i, entry) in api_key.blocks("keys") {
        let Some(Data::Secret(secret)) = entry.get("key").map(|val| &val.data) else { continue };
        if !secret.value.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            let message = "a key may hold visible ASCII only, as it travels in a header";
            check.error(format!("{path}.keys[{i}].key"), entry.at_key("key"), message);
        }
        if let Some(first) = seen.insert(&secret.value, entry) {
            let draft = Draft::error(
                format!("{path}.keys[{i}].key"),
                entry.at_key("key"),
                "the same key is given twice",
            );
            check.push(draft.also(first.at_key("key"), "first here"));
        }
    }
}

fn sessions(check: &mut Check<'_>) {
    let root = check.root;
    let Some(sessions) = root.block("sessions") else { return };
    let mut ids = Names::new();
    for (i, key) in sessions.blocks("keys") {
        let path = format!("sessions.keys[{i}]");
        if let Some(id) = key.text("id") {
            check.unique("this key id", &mut ids, id, format!("{path}.id"), key.at_key("id"));
        }
        if let Some(Data::Secret(secret)) = key.get("key").map(|val| &val.data)
            && !is_session_key(&secret.value)
        {
            check.error(format!("{path}.key"), key.at_key("key"), "must be 32 bytes in base64").help =
                Some("make one with `openssl rand -base64 32`".into());
        }
    }
    let ttl = |name| (name, sessions.duration(name));
    check.ordered(sessions, "sessions", ttl("ttl"), ttl("absolute_ttl"));
    let bytes = |name| match sessions.get(name).map(|val| &val.data) {
        Some(Data::Size(n)) => (name, Some(*n)),
        _ => (name, None),
    };
    check.ordered(sessions, "sessions", bytes("stream_bytes"), bytes("stream_bytes_total"));
    let ephemeral = sessions.bool("ephemeral_key") == Some(true);
    let keys = sessions.mentions("keys") && !sessions.list("keys").is_empty();
    if ephemeral && keys {
        let at = sessions.at_key("ephemeral_key");
        check.error("sessions.ephemeral_key", at, "there are `keys` as well").help =
            Some("keep one of the two".into());
    }
    let servers = root.block("mcp").filter(|mcp| !mcp.list("servers").is_empty());
    if let Some(mcp) = servers.filter(|_| check.role == Role::Serve && !ephemeral && !keys) {
        check
            .error("sessions.keys", mcp.at_key("servers"), "MCP servers need a key that seals session tokens")
            .help = Some(
            "give `sessions: {keys: [{id: k1, key_env: HOLDFAST_SESSION_KEY}]}`, the same on every replica, \
             or `ephemeral_key: true` for a first try"
                .into(),
        );
    }
}

/// Standard and URL-safe alphabet, with and without padding.
fn is_session_key(text: &str) -> bool {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE].iter().any(|alphabet| {
        GeneralPurpose::new(alphabet, config).decode(text).is_ok_and(|key| key.len() == SESSION_KEY_BYTES)
    })
}
