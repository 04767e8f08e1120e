//! The other replicas: found by a list or a name, and believed only for what they prove.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{environment, load_text};
use holdfast_config::{
    Ha, KeySource, PeerCredentials, PeerMethod, PrintOptions, Role, SecretText, Source, load,
};
use std::{collections::BTreeMap, time::Duration};

const PSK: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const STATIC: &str = "peer_discovery: {method: static, peers: [a, 'b:9555', '[::1]:9444', 10.0.0.1]}";
const TLS: &str =
    "tls: {cert_file: c, key_file: k, ca_file: r, identities: ['spiffe://x/gateway', gw.example.com]}";

fn ha(text: &str) -> Ha {
    load_text(text, Role::Any).map_err(|report| report.render(false)).unwrap().config.ha
}

fn fails(cases: &[(&str, &str)]) {
    for (text, part) in cases {
        let text = text.replace("STATIC", STATIC).replace("TLS", TLS).replace("PSK", PSK);
        let report =
            load_text(&text, Role::Any).map(|_| panic!("accepted: {text}")).unwrap_err().render(false);
        assert!(report.contains(part), "{part:?} is not in the report of\n{text}\n{report}");
        assert!(!report.contains("AAAAAAAA"), "{report}");
    }
}

#[test]
fn without_discovery_there_are_no_peers() {
    for text in [
        "",
        "ha: {region: r}",
        "ha: {peer_channel: {port: 1}}",
        "ha: {peer_discovery: {enabled: off, method: dns, name: a}}",
    ] {
        assert!(!ha(text).has_peers(), "{text}");
    }
    let text = format!("ha: {{enabled: false, {STATIC}}}");
    assert!(!ha(&text).has_peers(), "the switch of the whole");
}

#[test]
fn discovery_without_credentials_says_what_to_set() {
    fails(&[
        ("ha: {STATIC}", "psk_env"),
        ("ha: {STATIC}", "identities"),
        ("ha: {enabled: true, peer_discovery: {method: dns, name: a}}", "must prove who they are"),
        (
            "ha: {STATIC, peer_channel: {port: 9444}}",
            "replicas must prove who they are, and there is nothing",
        ),
    ]);
}

#[test]
fn a_pre_shared_key_is_enough_and_the_first_is_used() {
    let other = "E".repeat(43);
    let text = format!(
        "ha: {{replica: one, {STATIC}, peer_channel: {{psk_env: PEER_PSK, accepted_psks: [{{psk: {other}}}, {{psk_file: /f}}]}}}}"
    );
    let env = BTreeMap::from([("PEER_PSK".to_owned(), PSK.to_owned())]);
    let loaded = load(&[Source::Text { name: "t".into(), text }], &env, Role::Any).unwrap();
    let ha = &loaded.config.ha;
    let discovery = ha.peer_discovery.clone().unwrap();
    let peers = ["a", "b:9555", "[::1]:9444", "10.0.0.1"].map(str::to_owned).to_vec();
    assert!(ha.has_peers());
    assert_eq!(discovery.method, PeerMethod::Static(peers));
    assert_eq!((discovery.port, discovery.interval), (None, Duration::from_secs(5)));
    assert_eq!((ha.replica.as_deref(), ha.peer_channel.port), (Some("one"), 9444));
    let Some(PeerCredentials::Psk(keys)) = &ha.peer_channel.credentials else { panic!() };
    assert!(matches!(&keys[0], KeySource::Inline(key) if key.expose() == PSK));
    assert!(matches!(&keys[2], KeySource::File(file) if file.ends_with("f")));
    let printed = loaded.print(PrintOptions { defaults: true, secrets: SecretText::Hidden });
    assert!(!printed.contains("AAAAAAAA") && !printed.contains("EEEEEEEE"), "{printed}");
}

#[test]
fn mutual_tls_names_its_peers() {
    let ha = ha(&format!(
        "ha: {{peer_discovery: {{method: dns, name: gw.svc, port: 7}}, peer_channel: {{{TLS}}}}}"
    ));
    let discovery = ha.peer_discovery.unwrap();
    assert_eq!((discovery.method, discovery.port), (PeerMethod::Dns("gw.svc".into()), Some(7)));
    let Some(PeerCredentials::Tls(tls)) = ha.peer_channel.credentials else { panic!() };
    assert_eq!(tls.identities, ["spiffe://x/gateway", "gw.example.com"]);
}

#[test]
fn what_cannot_work_is_refused() {
    fails(&[
        (
            "ha: {peer_discovery: {method: kubernetes, namespace: n}, peer_channel: {psk: PSK}}",
            "no code behind it yet",
        ),
        ("ha: {peer_discovery: {method: kubernetes}, peer_channel: {psk: PSK}}", "comes later"),
        ("ha: {peer_discovery: {method: kubernetes}, peer_channel: {psk: PSK}}", "headless Service"),
        ("ha: {peer_discovery: {method: static}, peer_channel: {psk: PSK}}", "needs `peers`"),
        ("ha: {peer_discovery: {method: dns}, peer_channel: {psk: PSK}}", "needs `name`"),
        (
            "ha: {peer_discovery: {method: dns, name: a, peers: b}, peer_channel: {psk: PSK}}",
            "is not used with `method: dns`",
        ),
        ("ha: {peer_discovery: {method: dns, name: 'a:1'}, peer_channel: {psk: PSK}}", "without a port"),
        ("ha: {peer_discovery: {peers: a}, peer_channel: {psk: PSK}}", "`method` is missing"),
        ("ha: {STATIC, peer_channel: {psk: PSK, TLS}}", "pre-shared key as well"),
        ("ha: {STATIC, peer_channel: {psk: PSK, psk_file: f}}", "`psk_file` as well"),
        ("ha: {STATIC, peer_channel: {psk: short}}", "at least 43 bytes"),
        (
            "ha: {STATIC, peer_channel: {psk: 'not base64, not base64, not base64, not base64'}}",
            "at least 32 bytes in base64",
        ),
        ("ha: {STATIC, peer_channel: {psk: PSK, accepted_psks: [{}]}}", "there is no key"),
        ("ha: {STATIC, peer_channel: {TLS, accepted_psks: [{psk: PSK}]}}", "no `psk` that this replica uses"),
        (
            "ha: {STATIC, peer_channel: {tls: {cert_file: c, key_file: k, ca_file: r, identities: []}}}",
            "at least one name",
        ),
        (
            "ha: {STATIC, peer_channel: {tls: {cert_file: c, key_file: k, ca_file: r}}}",
            "`identities` is missing",
        ),
        (
            "ha: {STATIC, peer_channel: {tls: {cert_file: c, key_file: k, identities: a}}}",
            "`ca_file` is missing",
        ),
        ("ha: {STATIC, peer_channel: {psk: PSK, port: 8443}}", "port 8443 is taken by `server`"),
        ("ha: {STATIC, peer_channel: {psk: PSK, ping_interval: 5s}}", "at least 3 times"),
        ("ha: {STATIC, peer_channel: {psk: PSK, max_asks_per_peer: 20000}}", "max_asks_per_peer"),
    ]);
    for peer in ["a:0", "a:70000", "a:b", "http://a", "a b", "-a", "[::1", "::1:9444:", "", "a/b", "u@a"] {
        fails(&[(
            &format!("ha: {{peer_discovery: {{method: static, peers: ['{peer}']}}}}"),
            "ha.peer_discovery.peers[0]",
        )]);
    }
    for name in ["*.example.com", "10.0.0.1", "a b", "spiffe://", "a."] {
        let tls = format!("tls: {{cert_file: c, key_file: k, ca_file: r, identities: ['{name}']}}");
        fails(&[(&format!("ha: {{peer_channel: {{{tls}}}}}"), "ha.peer_channel.tls.identities[0]")]);
    }
}

#[test]
fn keys_that_only_this_process_has_are_a_warning() {
    let text = format!("sessions: {{ephemeral_key: true}}\nha: {{{STATIC}, peer_channel: {{psk: {PSK}}}}}");
    let warnings = load_text(&text, Role::Any).unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.message.contains("opens nothing that another one sealed")),
        "{warnings:?}"
    );
}

#[test]
fn what_is_accepted_survives_its_print() {
    for channel in [format!("psk: {PSK}, accepted_psks: [{{psk_file: a}}]"), TLS.to_owned()] {
        let text = format!("ha: {{{STATIC}, peer_channel: {{{channel}, max_note_bytes: 1KiB}}}}");
        let loaded = load_text(&text, Role::Any).unwrap();
        for defaults in [true, false] {
            let printed = loaded.print(PrintOptions { defaults, secrets: SecretText::Shown });
            let again =
                load(&[Source::Text { name: "p".into(), text: printed.clone() }], &environment(), Role::Any);
            assert_eq!(again.map_err(|r| r.render(false)).unwrap().config, loaded.config, "{printed}");
        }
    }
}
