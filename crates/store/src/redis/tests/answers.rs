//! What servers say, and what it is taken for. Errors come through the parser of the protocol, as they do from a socket.

use crate::{
    StoreErrorKind,
    redis::{
        address::Address,
        answer::{Answer, Later, Role},
    },
};
use redis::Value;

fn wire(line: &str) -> Answer {
    Answer::of(redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap())
}

#[test]
fn redirections_name_their_server() {
    let to = |host: &str, port| Some(Address::new(host, port));
    assert_eq!(wire("MOVED 3999 127.0.0.1:6381"), Answer::Moved(to("127.0.0.1", 6381)));
    assert_eq!(wire("MOVED 3999 redis-1.redis:6381"), Answer::Moved(to("redis-1.redis", 6381)));
    assert_eq!(wire("ASK 3999 fe80::1:6381"), Answer::Ask(to("fe80::1", 6381)));
    assert_eq!(wire("MOVED 3999 :6381"), Answer::Moved(to("", 6381)));
    assert_eq!(wire("MOVED 3999"), Answer::Moved(None));
}

#[test]
fn each_refusal_has_its_kind() {
    for (line, later) in [
        ("TRYAGAIN Multiple keys request during rehashing of slot", Later::TryAgain),
        ("CLUSTERDOWN The cluster is down", Later::ClusterDown),
        ("CLUSTERDOWN Hash slot not served", Later::ClusterDown),
        ("MASTERDOWN Link with MASTER is down", Later::ClusterDown),
        ("LOADING Redis is loading the dataset in memory", Later::Loading),
        ("READONLY You can't write against a read only replica.", Later::ReadOnly),
        ("ERR Error running script: -READONLY You can't write", Later::ReadOnly),
    ] {
        assert_eq!(wire(line), Answer::Later(later), "{line}");
    }
    assert_eq!(wire("NOSCRIPT No matching script. Please use EVAL."), Answer::NoScript);
    for (line, kind) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreErrorKind::Full),
        ("ERR user_script:1: OOM command not allowed when used memory", StoreErrorKind::Full),
        ("NOAUTH Authentication required.", StoreErrorKind::Denied),
        ("WRONGPASS invalid username-password pair", StoreErrorKind::Denied),
        ("NOPERM this user has no permissions", StoreErrorKind::Denied),
        ("ERR ACL failure in script: this user has no permissions", StoreErrorKind::Denied),
        ("ERR The user executing the script can't run this command or subcommand", StoreErrorKind::Denied),
        ("NOREPLICAS Not enough good replicas to write.", StoreErrorKind::ReadOnly),
        ("MISCONF Errors writing to the AOF file", StoreErrorKind::ReadOnly),
        ("WRONGTYPE Operation against a key", StoreErrorKind::Protocol),
        ("ERR unknown command 'FOO'", StoreErrorKind::Protocol),
    ] {
        let Answer::Failed(error) = wire(line) else { panic!("{line}") };
        assert_eq!(error.kind(), kind, "{line}");
        assert!(!error.is_maybe_done(), "the server said no: {line}");
    }
}

#[test]
fn a_role_is_the_first_word() {
    let role = |word: &str| Role::of(&Value::Array(vec![super::bulk(word), Value::Int(1)]));
    assert_eq!(
        (role("master"), role("slave"), role("sentinel")),
        (Role::Master, Role::Replica, Role::Unknown)
    );
    assert_eq!(Role::of(&Value::Nil), Role::Unknown);
}
