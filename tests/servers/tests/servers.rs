//! The servers start, suffer and end as the tests that use them rely on.
#![allow(clippy::unwrap_used, clippy::panic)]

use holdfast_test_servers::{Certificates, Cluster, Options, Proxy, Sentinel, Server, Value, until};
use std::time::{Duration, Instant};

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8(bytes).unwrap()),
        _ => None,
    }
}

#[test]
fn a_server_is_killed_restarted_flushed_and_ends_with_its_owner() {
    let mut server = Server::start(&Options::new()).unwrap();
    server.command(&["SET", "a", "1"]).unwrap();
    server.flush().unwrap();
    assert_eq!(server.command(&["GET", "a"]).unwrap(), Value::Nil);
    server.kill().unwrap();
    assert!(server.command(&["PING"]).is_err());
    server.restart().unwrap();
    server.command(&["PING"]).unwrap();
    let port = server.port();
    drop(server);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_server_behind_a_wrapper_ends_with_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let wrapper = folder.path().join("wrapper");
    // Not `exec`: the server is a child of what we start.
    std::fs::write(&wrapper, "#!/bin/sh\nredis-server \"$@\"\nexit $?\n").unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start(&Options::new().program(&wrapper)).unwrap();
    assert_eq!(server.info("process_id").unwrap(), server.id().to_string());
    let port = server.port();
    drop(server);
    until("nobody listens", Duration::from_secs(5), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())
    })
    .unwrap();
}

#[test]
fn options_take_effect() {
    let server = Server::start(&Options::new().password("p").user("u on >q ~* +get")).unwrap();
    assert_eq!(server.info("role").unwrap(), "master");
    let server = Server::start(&Options::new().memory("3mb", "noeviction")).unwrap();
    assert_eq!(server.info("maxmemory").unwrap(), "3145728");
    let certificates = Certificates::new(&["localhost", "127.0.0.1"]).unwrap();
    let server = Server::start(&Options::new().tls(&certificates)).unwrap();
    assert!(server.url().starts_with("rediss://"));
    let wrong = Server::start(&Options::new().arg("--nonsense", "1")).unwrap_err().to_string();
    assert!(wrong.contains("nonsense"), "{wrong}");
}

#[test]
fn a_proxy_delays_cuts_and_refuses() {
    use std::io::{Read, Write};
    let server = Server::start(&Options::new()).unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let mut stream = std::net::TcpStream::connect(proxy.address()).unwrap();
    let ping = |stream: &mut std::net::TcpStream| {
        let began = Instant::now();
        stream.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).map(|()| began.elapsed())
    };
    ping(&mut stream).unwrap();
    proxy.delay(Duration::from_millis(200));
    assert!(ping(&mut stream).unwrap() >= Duration::from_millis(200));
    proxy.cut();
    assert!(stream.read(&mut [0; 1]).map_or(true, |count| count == 0));
    proxy.refuse(true);
    let mut refused = std::net::TcpStream::connect(proxy.address()).unwrap();
    assert!(refused.read(&mut [0; 1]).map_or(true, |count| count == 0));
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn sentinels_fail_over_and_passwords_hold() {
    let mut all = Sentinel::start_with(&Options::new(), Some(("servers", "sentinels"))).unwrap();
    assert_eq!(all.master().unwrap(), 0);
    all.kill_master().unwrap();
    let limit = Duration::from_secs(20);
    let new = until("another master", limit, || all.master().ok().filter(|master| *master != 0)).unwrap();
    until("it writes", limit, || all.servers[new].command(&["SET", "a", "1"]).ok()).unwrap();
}

#[test]
fn a_cluster_moves_a_slot_and_survives_a_master() {
    let mut all = Cluster::start().unwrap();
    // `CLUSTER KEYSLOT foo` is 12182.
    let (slot, from) = (12182, all.master(12182).unwrap());
    let to = all.master(0).unwrap();
    all.nodes[from].command(&["SET", "foo", "1"]).unwrap();
    all.begin_move(slot, from, to).unwrap();
    assert_eq!(all.move_keys(slot, from, to, 10).unwrap(), 1);
    all.end_move(slot, from, to).unwrap();
    assert_eq!(text(all.nodes[to].command(&["GET", "foo"]).unwrap()).as_deref(), Some("1"));
    all.nodes[to].kill().unwrap();
    let limit = Duration::from_secs(20);
    until("another master", limit, || all.master(slot).ok().filter(|master| *master != to)).unwrap();
}
