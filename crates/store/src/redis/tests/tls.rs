//! Encryption, and passwords without it.

use super::{World, until};
use crate::{BuildError, StoreErrorKind};
use holdfast_test_servers::{Certificates, Options, Server};

/// The last error that the view shows.
async fn refused(redis: &str) -> String {
    let world = World::open(redis);
    let kind = world.set_kind("a").await;
    assert_eq!(kind, Some(StoreErrorKind::Connection));
    until("the view says why", async || world.link.view().servers[0].last_error.clone()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_certificate_is_accepted_and_a_bad_one_is_not() {
    let certificates = Certificates::new(&["localhost", "127.0.0.1"]).unwrap();
    let server = Server::start(&Options::new().tls(&certificates)).unwrap();
    let ca = certificates.ca();
    let ca = ca.display();
    let (url, port) = (server.url(), server.port());
    World::open(&format!("url: '{url}', tls: {{ca_file: {ca}}}")).set("a", "1").await.unwrap();
    World::open(&format!("url: 'rediss://localhost:{port}', tls: {{ca_file: {ca}}}"))
        .set("a", "1")
        .await
        .unwrap();
    World::open(&format!("addresses: '127.0.0.1:{port}', tls: {{ca_file: {ca}, server_name: localhost}}"))
        .set("a", "1")
        .await
        .unwrap();

    let other = Certificates::new(&["127.0.0.1"]).unwrap();
    let unknown = refused(&format!("url: '{url}', tls: {{ca_file: {}}}", other.ca().display())).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let name = refused(&format!("url: '{url}', tls: {{ca_file: {ca}, server_name: other.example}}")).await;
    assert!(name.contains("not valid for name"), "{name}");
    let plain = refused(&format!("url: 'redis://127.0.0.1:{port}'")).await;
    assert!(!plain.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_spoken_to_in_clear_text() {
    let server = Server::start(&Options::new()).unwrap();
    let certificates = Certificates::new(&["127.0.0.1"]).unwrap();
    let ca = certificates.ca();
    let why =
        refused(&format!("url: 'rediss://{}', tls: {{ca_file: {}}}", server.address(), ca.display())).await;
    // It waits for the end of what it takes for a command, or closes.
    assert!(why.contains("no TLS session") || why.contains("connect_timeout"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_when_the_server_wants_one() {
    let certificates = Certificates::new(&["127.0.0.1"]).unwrap();
    let server = Server::start(&Options::new().tls(&certificates).arg("--tls-auth-clients", "yes")).unwrap();
    let (ca, cert, key) = (certificates.ca(), certificates.cert(), certificates.key());
    let (ca, cert, key) = (ca.display(), cert.display(), key.display());
    let with = format!("url: '{}', tls: {{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}", server.url());
    World::open(&with).set("a", "1").await.unwrap();
    let without = World::open(&format!("url: '{}', tls: {{ca_file: {ca}}}", server.url()));
    assert_eq!(without.set_kind("a").await, Some(StoreErrorKind::Connection));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for file in [folder.path().join("missing.pem"), empty] {
        let built = World::build(&format!("url: 'rediss://h', tls: {{ca_file: {}}}", file.display()));
        let Err(BuildError::Tls { key, file: named, .. }) = built.map(|_| ()) else { panic!("accepted") };
        assert_eq!((key, named), ("ca_file", file.display().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_does_not_leave_the_private_network_in_clear_text() {
    // 192.0.2.0/24 is for documentation and is nobody's (RFC 5737): nothing is sent there in any case.
    let mut config = super::config("addresses: 'h', auth: {password: hush}");
    config.addresses = vec!["192.0.2.1:6379".to_owned()];
    let registry = holdfast_telemetry::Registry::new(&std::collections::BTreeMap::new()).unwrap();
    let metrics = std::sync::Arc::new(holdfast_telemetry::StoreLinkMetrics::new(&registry));
    let link = super::Link::open(&config, metrics, &tokio::runtime::Handle::current()).unwrap();
    let world = World { link, registry };
    until("it is refused", async || world.set_kind("a").await.filter(|kind| *kind == StoreErrorKind::Denied))
        .await;
    let why = world.link.view().servers[0].last_error.clone().unwrap();
    assert!(why.contains("clear text") && !why.contains("hush"), "{why}");
}
