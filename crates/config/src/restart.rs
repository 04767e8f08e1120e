//! Which changes a reload cannot make.

use crate::model::Config;

/// Whether one key differs.
type Differs = fn(&Config, &Config) -> bool;

/// A field that is a key of the same path.
macro_rules! key {
    ($($path:ident).+) => {
        (concat!($(".", stringify!($path)),+), |old, new| old.$($path).+ != new.$($path).+)
    };
}

/// The keys that the reference marks with *restart*; `listeners` stands for the names and addresses of all.
pub(crate) const RESTART_KEYS: [(&str, Differs); 31] = [
    key!(server.workers),
    (".listeners", |old, new| {
        let sockets = |config: &Config| {
            config.listeners.iter().map(|l| (l.name.clone(), l.host, l.port)).collect::<Vec<_>>()
        };
        sockets(old) != sockets(new)
    }),
    key!(admin.enabled),
    key!(admin.host),
    key!(admin.port),
    key!(admin.unix_socket),
    key!(redis),
    (".sessions.type", |old, new| old.sessions.redis.is_some() != new.sessions.redis.is_some()),
    key!(sessions.redis),
    key!(sessions.ttl),
    key!(sessions.stream_events),
    key!(sessions.stream_bytes),
    key!(sessions.stream_bytes_total),
    key!(sessions.stream_retention),
    key!(sessions.max_entries),
    key!(sessions.max_journal_reads),
    key!(ha.enabled),
    key!(ha.region),
    key!(ha.replica),
    (".ha.peer_discovery.enabled", |old, new| {
        old.ha.peer_discovery.is_some() != new.ha.peer_discovery.is_some()
    }),
    key!(ha.peer_channel.host),
    key!(ha.peer_channel.port),
    key!(observability.metrics.additional_labels),
    key!(observability.logging.level),
    key!(observability.logging.format),
    key!(observability.logging.additional_fields),
    key!(observability.access_log.enabled),
    key!(observability.access_log.format),
    key!(observability.access_log.path),
    key!(observability.metrics.max_names),
    key!(observability.tracing),
];

/// The keys that differ and take effect after a restart only, in the words of the reference.
pub fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
    RESTART_KEYS.iter().filter(|(_, differs)| differs(old, new)).map(|(key, _)| &key[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, Source, load};
    use std::collections::BTreeMap;

    fn config(text: &str) -> Config {
        load(&[Source::Text { name: "t".into(), text: text.into() }], &BTreeMap::new(), Role::Any)
            .unwrap()
            .config
    }

    #[test]
    fn only_what_cannot_be_reloaded_is_reported() {
        let old = config("");
        assert!(
            restart_needed(&old, &config("server: {max_connections: 5}\nrouting: {timeout: 5s}")).is_empty()
        );
        for (text, key) in [
            ("server: {workers: 3}", "server.workers"),
            ("server: {port: 1}", "listeners"),
            ("listeners: [{name: b, port: 2}]", "listeners"),
            ("admin: {enabled: false}", "admin.enabled"),
            ("admin: {host: '::1'}", "admin.host"),
            ("observability: {metrics: {port: 3}}", "admin.port"),
            ("admin: {unix_socket: /run/x}", "admin.unix_socket"),
            ("sessions: {max_entries: 5}", "sessions.max_entries"),
            ("observability: {logging: {level: debug}}", "observability.logging.level"),
            ("observability: {access_log: off}", "observability.access_log.enabled"),
        ] {
            assert_eq!(restart_needed(&old, &config(text)), [key], "{text}");
        }
    }
}
