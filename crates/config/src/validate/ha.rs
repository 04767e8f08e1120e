//! The other replicas: how they are found, and what proves them. Messages never hold a value.

use super::Check;
use crate::value::{BlockVal, Data};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const PSK_BYTES_MIN: usize = 32;
const PSK_BYTES_MAX: usize = 1024;
/// An accepted connection must survive this many pings that are late.
const PINGS_PER_IDLE: u32 = 3;

pub(super) fn check(check: &mut Check<'_>) {
    let root = check.root;
    let Some(ha) = root.block("ha") else { return };
    if let Some(discovery) = ha.block("peer_discovery") {
        method(check, discovery);
    }
    if let Some(channel) = ha.block("peer_channel") {
        credentials(check, ha, channel);
        let (ping, idle) = (channel.duration("ping_interval"), channel.duration("idle_timeout"));
        if let (Some(ping), Some(idle)) = (ping, idle)
            && idle < ping * PINGS_PER_IDLE
        {
            let name = if channel.gives("idle_timeout") { "idle_timeout" } else { "ping_interval" };
            let message = format!("`idle_timeout` must be at least {PINGS_PER_IDLE} times `ping_interval`");
            check.error(format!("ha.peer_channel.{name}"), channel.at_key(name), message).help =
                Some("else a replica that lives would be cut off between two pings".into());
        }
    }
    let ephemeral = root.block("sessions").filter(|sessions| sessions.bool("ephemeral_key") == Some(true));
    if let (Some(sessions), Some(_)) = (ephemeral, channel(root)) {
        let message = "each replica then has a key of its own, and opens nothing that another one sealed";
        check.warning("sessions.ephemeral_key", sessions.at_key("ephemeral_key"), message).help =
            Some("give `sessions.keys`, the same on every replica".into());
    }
}

/// The block of the channel, if there is one.
pub(super) fn channel(root: &BlockVal) -> Option<&BlockVal> {
    let ha = root.block("ha").filter(|ha| ha.bool("enabled") != Some(false))?;
    discovery(ha).and_then(|_| ha.block("peer_channel"))
}

fn discovery(ha: &BlockVal) -> Option<&BlockVal> {
    ha.block("peer_discovery").filter(|discovery| discovery.bool("enabled") != Some(false))
}

fn method(check: &mut Check<'_>, discovery: &BlockVal) {
    let path = "ha.peer_discovery";
    let Some(method) = discovery.word("method") else { return };
    if method == "kubernetes" {
        check
            .error(
                format!("{path}.method"),
                discovery.at_key("method"),
                "`kubernetes` comes later, with Kubernetes discovery",
            )
            .help = Some(
            "use `method: dns` with the name of a headless Service: it has the addresses of all pods".into(),
        );
        return;
    }
    let missing = match method {
        "static" => discovery.list("peers").is_empty() && !discovery.refused.contains("peers"),
        _ => !discovery.mentions("name"),
    };
    let (needs, other) = if method == "static" { ("peers", "name") } else { ("name", "peers") };
    if missing {
        let at = discovery.at_key("method");
        check.error(format!("{path}.{needs}"), at, format!("`method: {method}` needs `{needs}`"));
    }
    let empty = discovery.get(other).is_some_and(|val| val.data == Data::List(Vec::new()));
    if discovery.gives(other) && !empty {
        let at = discovery.at_key(other);
        check.error(format!("{path}.{other}"), at, format!("is not used with `method: {method}`"));
    }
}

fn credentials(check: &mut Check<'_>, ha: &BlockVal, channel: &BlockVal) {
    let path = "ha.peer_channel";
    let (tls, psk) = (channel.block("tls"), channel.mentions("psk") || channel.mentions("psk_file"));
    if let (Some(tls), true) = (tls, psk) {
        let at = channel.at_key(if channel.mentions("psk") { "psk" } else { "psk_file" });
        let draft = crate::diagnostic::Draft::error(
            format!("{path}.tls"),
            tls.at,
            "there is a pre-shared key as well",
        );
        check.push(draft.help("keep one of the two: all replicas must use the same").also(at, "the key"));
    }
    if let (Some(discovery), false, false) =
        (discovery(ha).filter(|_| self::channel(check.root).is_some()), channel.mentions("tls"), psk)
    {
        let message = "replicas must prove who they are, and there is nothing to prove it with";
        check.error("ha.peer_discovery", discovery.at, message).help = Some(
            "give `ha.peer_channel.psk_env`, the same key on every replica (`openssl rand -base64 32`), or \
             `ha.peer_channel.tls` with `cert_file`, `key_file`, `ca_file` and `identities`"
                .into(),
        );
    }
    if !channel.list("accepted_psks").is_empty() && !psk {
        let at = channel.at_key("accepted_psks");
        check.error(format!("{path}.accepted_psks"), at, "there is no `psk` that this replica uses itself");
    }
    one_psk(check, path, channel, false);
    for (i, block) in channel.blocks("accepted_psks") {
        one_psk(check, &format!("{path}.accepted_psks[{i}]"), block, true);
    }
    let Some(tls) = tls else { return };
    check.readable(tls, &format!("{path}.tls"), &["cert_file", "key_file", "ca_file"]);
    if tls.list("identities").is_empty() && tls.mentions("identities") && !tls.refused.contains("identities")
    {
        check
            .error(format!("{path}.tls.identities"), tls.at_key("identities"), "needs at least one name")
            .help =
            Some("no certificate would be accepted; name what the certificates of the replicas carry".into());
    }
}

fn one_psk(check: &mut Check<'_>, path: &str, block: &BlockVal, needed: bool) {
    let at = block.at_key("psk");
    match (block.mentions("psk"), block.mentions("psk_file")) {
        (true, true) => {
            check.error(format!("{path}.psk"), at, "there is a `psk_file` as well").help =
                Some("keep one of the two".into());
        }
        (false, false) if needed => {
            check.error(path, block.at, "there is no key").help =
                Some("give one of `psk`, `psk_env`, `psk_file`".into());
        }
        _ => {}
    }
    check.readable(block, path, &["psk_file"]);
    if let Some(Data::Secret(secret)) = block.get("psk").map(|val| &val.data)
        && !is_psk(&secret.value)
    {
        check.error(format!("{path}.psk"), at, "must be at least 32 bytes in base64").help =
            Some("make one with `openssl rand -base64 32`".into());
    }
}

/// Standard and URL-safe alphabet, with and without padding, as keys of `sessions.keys`.
fn is_psk(text: &str) -> bool {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE].iter().any(|alphabet| {
        let key = GeneralPurpose::new(alphabet, config).decode(text);
        key.is_ok_and(|key| (PSK_BYTES_MIN..=PSK_BYTES_MAX).contains(&key.len()))
    })
}
