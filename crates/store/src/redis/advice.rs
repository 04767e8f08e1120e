//! What the servers' own settings mean for what is kept on them. Pure: facts in, advice out.

use super::answer::text;
use holdfast_config::RedisMode;
use redis::Value;
use std::collections::BTreeMap;

/// Below this a server is full after few sessions.
const SMALL_MEMORY: u64 = 64 << 20;
/// Above this share of its memory a server is about to be full.
const FULL_PERCENT: u64 = 80;
/// Major versions below this get no more fixes.
const OLDEST_MAJOR: u32 = 7;
/// Settings that are read, each with a question of its own: several in one are refused by servers before 7.
pub(crate) const SETTINGS: [&str; 6] = [
    "maxmemory-policy",
    "maxmemory",
    "min-replicas-to-write",
    "appendonly",
    "save",
    "cluster-require-full-coverage",
];

/// What one server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    settings: BTreeMap<&'static str, String>,
    info: BTreeMap<String, String>,
    /// An access rule or a managed service keeps some settings to itself.
    hidden: bool,
}

impl Facts {
    /// From the answers to `INFO` and to `CONFIG GET` for each of [`SETTINGS`].
    pub(crate) fn read(answers: &[Value]) -> Self {
        let mut facts = Self::default();
        let (info, settings) =
            answers.split_first().map_or((None, answers), |(info, rest)| (Some(info), rest));
        for line in info.and_then(text).unwrap_or_default().lines() {
            if let Some((name, value)) = line.split_once(':') {
                facts.info.insert(name.to_owned(), value.trim().to_owned());
            }
        }
        for (name, answer) in SETTINGS.into_iter().zip(settings) {
            match answer {
                Value::Array(pair) => {
                    if let Some(value) = pair.get(1).and_then(text) {
                        facts.settings.insert(name, value.to_owned());
                    }
                }
                _ => facts.hidden = true,
            }
        }
        facts
    }

    /// Version of the server; a Valkey says its own.
    pub(crate) fn version(&self) -> Option<&str> {
        self.info.get("valkey_version").or_else(|| self.info.get("redis_version")).map(String::as_str)
    }

    /// Replicas that are connected.
    pub(crate) fn replicas(&self) -> Option<u64> {
        self.info_number("connected_slaves")
    }

    fn info_number(&self, name: &str) -> Option<u64> {
        self.info.get(name)?.parse().ok()
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.settings.get(name).is_some_and(|known| known == value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.settings.get(name)?.parse().ok()
    }
}

/// Everything worth a change at one server.
pub(crate) fn advise(mode: RedisMode, facts: &Facts) -> Vec<String> {
    let mut advice = Vec::new();
    let mut say = |text: String| advice.push(text);
    memory(facts, &mut say);
    if facts.is("appendonly", "no") && facts.is("save", "") {
        say("nothing is saved (`appendonly no`, `save \"\"`): a restart forgets revoked sessions and event logs; set `appendonly yes`".into());
    }
    let replicas = facts.replicas();
    if mode != RedisMode::Single && replicas == Some(0) {
        say("the master has no replica: nobody can take over".into());
    }
    if replicas.is_some_and(|count| count > 0) && facts.number("min-replicas-to-write") == Some(0) {
        say("`min-replicas-to-write 0`: a master that was cut off goes on accepting what a failover then loses; set `min-replicas-to-write 1` and `min-replicas-max-lag 10`".into());
    }
    if mode == RedisMode::Cluster && facts.is("cluster-require-full-coverage", "yes") {
        say("`cluster-require-full-coverage yes`: one lost shard takes the whole cluster away; set it to `no`".into());
    }
    let major =
        facts.info.get("redis_version").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if let Some(major) = major.filter(|major| *major < OLDEST_MAJOR) {
        say(format!("version {major} of the server gets no more fixes"));
    }
    if facts.hidden {
        say("the login may not read all settings of the server (`CONFIG GET`): they are not checked".into());
    }
    advice
}

fn memory(facts: &Facts, say: &mut impl FnMut(String)) {
    let most = facts.number("maxmemory").or_else(|| facts.info_number("maxmemory")).unwrap_or(0);
    let policy = facts.settings.get("maxmemory-policy").or_else(|| facts.info.get("maxmemory_policy"));
    if let Some(policy) = policy.filter(|policy| *policy != "noeviction") {
        say(format!(
            "`maxmemory-policy {policy}` throws away revoked sessions and event logs when memory is short; set `noeviction`, and keep caches on another server"
        ));
    }
    if most > 0 && most < SMALL_MEMORY {
        say(format!("`maxmemory` is {} MiB: give it at least {} MiB", most >> 20, SMALL_MEMORY >> 20));
    }
    let used = facts.info_number("used_memory").unwrap_or(0);
    if most > 0 && used.saturating_mul(100) >= most.saturating_mul(FULL_PERCENT) {
        say(format!("the server uses more than {FULL_PERCENT} % of its memory"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(info: &str, settings: &[(&str, &str)]) -> Vec<Value> {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let mut all = vec![bulk(info)];
        all.extend(SETTINGS.iter().map(|name| {
            let value = settings.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
            Value::Array(vec![bulk(name), bulk(value)])
        }));
        all
    }

    const GOOD: [(&str, &str); 6] = [
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "0"),
        ("min-replicas-to-write", "1"),
        ("appendonly", "yes"),
        ("save", ""),
        ("cluster-require-full-coverage", "no"),
    ];
    const INFO: &str =
        "redis_version:7.2.4\r\nvalkey_version:9.1.2\r\nconnected_slaves:2\r\nused_memory:1000\r\n";

    fn advice(mode: RedisMode, info: &str, changed: &[(&str, &str)]) -> Vec<String> {
        let mut settings = GOOD.to_vec();
        for (name, value) in changed {
            settings.iter_mut().filter(|(known, _)| known == name).for_each(|pair| pair.1 = value);
        }
        advise(mode, &Facts::read(&answers(info, &settings)))
    }

    #[test]
    fn a_good_server_gets_no_advice() {
        for mode in [RedisMode::Single, RedisMode::Sentinel, RedisMode::Cluster] {
            assert_eq!(advice(mode, INFO, &[]), Vec::<String>::new());
        }
        assert_eq!(Facts::read(&answers(INFO, &GOOD)).version(), Some("9.1.2"));
    }

    #[test]
    fn each_bad_setting_gets_its_own_advice() {
        use RedisMode::{Cluster, Sentinel, Single};
        for (mode, info, changed, part) in [
            (Single, INFO, &[("maxmemory-policy", "volatile-lru")][..], "noeviction"),
            (Single, INFO, &[("maxmemory", "1048576")], "1 MiB"),
            (Single, "used_memory:90000000\r\nconnected_slaves:0", &[("maxmemory", "100000000")], "80 %"),
            (Single, INFO, &[("appendonly", "no")], "appendonly yes"),
            (Single, INFO, &[("min-replicas-to-write", "0")], "min-replicas-to-write 1"),
            (Sentinel, "connected_slaves:0", &[], "nobody can take over"),
            (Cluster, INFO, &[("cluster-require-full-coverage", "yes")], "one lost shard"),
            (Single, "redis_version:6.2.1", &[], "version 6"),
        ] {
            let advice = advice(mode, info, changed);
            assert!(matches!(&advice[..], [one] if one.contains(part)), "{part}: {advice:?}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_said() {
        let facts = Facts::read(&[Value::Nil, Value::Nil]);
        assert!(matches!(&advise(RedisMode::Single, &facts)[..], [one] if one.contains("not checked")));
        assert_eq!(advise(RedisMode::Single, &Facts::read(&[])), Vec::<String>::new());
    }
}
