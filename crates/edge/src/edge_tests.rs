use super::*;
use holdfast_config::{
    ByteSize, Certificate, Config, ProxyProtocol, Role, ServerTls, Source, TlsVersion, load, restart_needed,
};
use std::collections::BTreeMap;

fn config() -> Config {
    let text = "server: {host: 127.0.0.1, port: 0, workers: 1}".to_owned();
    let loaded = load(&[Source::Text { name: "t".into(), text }], &BTreeMap::new(), Role::Any);
    loaded.expect("a valid configuration").config
}

/// Everything that connections and the control thread go by.
fn goes_by(handle: &EdgeHandle) -> String {
    let shared = &handle.shared;
    let settings = shared.settings.load();
    let listeners: Vec<_> =
        settings.listeners.iter().map(|of| (of.proxy_required, of.tls.is_some())).collect();
    let (timing, caps, handshakes) = (*shared.timing.lock(), &shared.caps, &shared.handshakes);
    format!("{:?} {listeners:?} {timing:?} {caps:?} {handshakes:?}", settings.limits)
}

/// A configuration per key of `$of`, which differs in that key. A field that is not named here does not compile.
macro_rules! each_key {
    ($of:ident { $($key:ident = $value:expr,)+ }, $get:expr) => {{
        let $of { $($key: _),+ } = $get(&mut config()).clone();
        vec![$((stringify!($key), {
            let mut changed = config();
            $get(&mut changed).$key = $value;
            changed
        })),+]
    }};
}

fn server(config: &mut Config) -> &mut Server {
    &mut config.server
}

fn listener(config: &mut Config) -> &mut Listener {
    &mut config.listeners[0]
}

fn assert_each_is_applied_or_listed(keys: &[(&str, Config)], of_others: &[&str]) {
    for (key, changed) in keys {
        let old = config();
        let edge =
            Edge::bind(&old.server, &old.listeners, &Registry::new(&BTreeMap::new()).expect("registry"))
                .expect("bind");
        let handle = edge.handle();
        let before = goes_by(&handle);
        handle.apply(&changed.server, &changed.listeners).expect("valid");
        let applied = goes_by(&handle) != before;
        let listed = !restart_needed(&old, changed).is_empty();
        let expected = usize::from(!of_others.contains(key));
        assert_eq!(usize::from(applied) + usize::from(listed), expected, "{key}: {applied} {listed}");
    }
}

#[test]
fn every_key_of_the_server_is_applied_or_listed_as_needing_a_restart() {
    let second = Duration::from_millis(1234);
    let keys = each_key!(
        Server {
            workers = 7,
            max_connections = 7,
            max_connections_per_ip = 7,
            max_handshakes = 7,
            accept_rate = 7,
            accept_burst = 7,
            handshake_timeout = second,
            header_timeout = second,
            read_timeout = second,
            write_timeout = second,
            idle_timeout = second,
            stream_idle_timeout = second,
            max_header_bytes = ByteSize::kib(7),
            max_headers = 7,
            max_body_bytes = ByteSize::kib(7),
            max_concurrent_streams = 7,
            max_pending_resets = 7,
            trusted_proxies = vec!["10.0.0.0/8".parse().expect("net")],
            drain_delay = second,
            max_drain = second,
            certificate_reload_interval = second,
        },
        server
    );
    // A limit of the routes, which are built anew.
    assert_each_is_applied_or_listed(&keys, &["max_body_bytes"]);
}

#[test]
fn every_key_of_a_listener_is_applied_or_listed_as_needing_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let pair = rcgen::generate_simple_self_signed(vec!["t".to_owned()]).expect("certificate");
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, pair.cert.pem()).expect("write");
    std::fs::write(&key_file, pair.signing_key.serialize_pem()).expect("write");
    let tls = ServerTls {
        certificates: vec![Certificate { cert_file, key_file }],
        minimum_version: TlsVersion::V1_2,
        preferred_ciphers: Vec::new(),
    };
    let keys = each_key!(
        Listener {
            name = "other".to_owned(),
            host = [127, 0, 0, 2].into(),
            port = 7,
            protocol = holdfast_config::ListenerProtocol::Websocket,
            tls = Some(tls.clone()),
            proxy_protocol = ProxyProtocol::Required,
        },
        listener
    );
    // Every listener speaks every protocol.
    assert_each_is_applied_or_listed(&keys, &["protocol"]);
}
