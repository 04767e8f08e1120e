//! Who is let in, and who no longer is.

use super::{Replica, address, eventually, fixed, ha, met, piece, ring, text};
use crate::{BuildError, Peers, peers::reread};
use holdfast_config::Ha;
use holdfast_telemetry::metrics::{PeerDeath, PeerDial, PeerEnd};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use std::{fs, net::IpAddr, path::Path};

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=";

struct Ca(Issuer<'static, KeyPair>);

impl Ca {
    fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.clone().self_signed(&key).unwrap();
        fs::write(folder.join(name), certificate.pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    /// A certificate with these names, and the keys of a `tls` block that uses it.
    fn issue(&self, folder: &Path, file: &str, names: Vec<SanType>, roots: &str, identities: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(folder.join(format!("{file}.crt")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
        let at = folder.display();
        format!(
            "tls: {{cert_file: {at}/{file}.crt, key_file: {at}/{file}.key, ca_file: {at}/{roots}, identities: [{identities}]}}"
        )
    }
}

fn uri(name: &str) -> Vec<SanType> {
    vec![SanType::URI(name.try_into().unwrap())]
}

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().unwrap())]
}

fn pair(a: &str, b: &str) -> [Replica; 2] {
    let addresses = [address(), address()];
    let start = |at: IpAddr, channel: &str| Replica::start(&ha(at, &fixed(&addresses), channel));
    [start(addresses[0], a), start(addresses[1], b)]
}

/// Neither takes the other: seen by both sides, from both directions.
async fn strangers([a, b]: &[Replica; 2]) {
    for replica in [a, b] {
        eventually("its dials are refused", || replica.metrics.dials.get(PeerDial::Credential).get() >= 2)
            .await;
        assert_eq!(replica.metrics.replicas.get(), 0);
    }
    let refused =
        a.metrics.ended.get(PeerEnd::Credential).get() + b.metrics.ended.get(PeerEnd::Credential).get();
    assert!(refused > 0);
}

#[tokio::test]
async fn certificates_with_the_right_names_meet_whatever_their_address() {
    let folder = tempfile::tempdir().unwrap();
    let (at, ca) = (folder.path(), Ca::new(folder.path(), "ca.pem"));
    let names = "'spiffe://x/gateway', Gateway.Example.com";
    let a = ca.issue(at, "a", uri("spiffe://x/gateway"), "ca.pem", names);
    let b = ca.issue(at, "b", dns("GATEWAY.example.com"), "ca.pem", names);
    let all = pair(&a, &b);
    met(&all).await;
    assert_eq!(text(all[0].ask(&all[1], "echo").await.unwrap()).await.unwrap(), "question");
    assert_eq!(text(all[1].ask(&all[0], "echo").await.unwrap()).await.unwrap(), "question");
}

#[tokio::test]
async fn a_certificate_of_the_right_roots_with_a_wrong_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (at, ca) = (folder.path(), Ca::new(folder.path(), "ca.pem"));
    let good = ca.issue(at, "a", uri("spiffe://x/gateway"), "ca.pem", "'spiffe://x/gateway'");
    for (file, names) in [
        ("near", uri("spiffe://x/gateway/2")),
        ("case", uri("spiffe://x/Gateway")),
        ("wild", dns("*.example.com")),
        ("address", vec![SanType::IpAddress([127, 0, 0, 1].into())]),
        ("dressed", dns("spiffe://x/gateway")),
    ] {
        let bad = ca.issue(at, file, names, "ca.pem", "'spiffe://x/gateway'");
        strangers(&pair(&good, &bad)).await;
    }
}

#[tokio::test]
async fn a_certificate_of_other_roots_is_refused_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (at, ca, other) =
        (folder.path(), Ca::new(folder.path(), "ca.pem"), Ca::new(folder.path(), "other.pem"));
    let a = ca.issue(at, "a", uri("spiffe://x/gateway"), "ca.pem", "'spiffe://x/gateway'");
    let b = other.issue(at, "b", uri("spiffe://x/gateway"), "other.pem", "'spiffe://x/gateway'");
    strangers(&pair(&a, &b)).await;
}

#[tokio::test]
async fn another_pre_shared_key_is_refused_and_so_is_another_kind_of_channel() {
    strangers(&pair(&format!("psk: {OLD}"), &format!("psk: {NEW}"))).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new(folder.path(), "ca.pem");
    let tls = ca.issue(folder.path(), "a", uri("spiffe://x/g"), "ca.pem", "'spiffe://x/g'");
    let [a, b] = pair(&tls, &format!("psk: {OLD}"));
    for replica in [&a, &b] {
        eventually("refused as garbage", || replica.metrics.ended.get(PeerEnd::Protocol).get() >= 2).await;
        assert_eq!(replica.metrics.replicas.get(), 0);
    }
}

fn reload(replica: &Replica, others: &[IpAddr], channel: &str) -> Result<(), BuildError> {
    let ha: Ha = ha(replica.address, &fixed(others), channel);
    Peers::reload(&replica.peers, &ha, ring(), 8)
}

#[tokio::test]
async fn a_pre_shared_key_is_rotated_without_losing_a_stream() {
    let both = |used: &str, more: &str| format!("psk: {used}, accepted_psks: [{{psk: {more}}}]");
    let [a, b] = pair(&format!("psk: {OLD}"), &format!("psk: {OLD}"));
    let others = [a.address, b.address];
    met(&[&a, &b]).await;
    let mut body = a.ask(&b, "stream").await.unwrap().into_body();
    for channel in [both(OLD, NEW), both(NEW, OLD)] {
        for replica in [&a, &b] {
            reload(replica, &others, &channel).unwrap();
            for _ in 0..20 {
                piece(&mut body).await.unwrap().unwrap();
            }
            assert!(a.peers.lives(b.id) && b.peers.lives(a.id));
        }
    }
    // The streams' connections were made with the old key; whoever takes it away ends them, and they come back with the new one.
    drop(body);
    let new = format!("psk: {NEW}");
    for replica in [&a, &b] {
        reload(replica, &others, &new).unwrap();
    }
    eventually("the old key's connections end", || a.metrics.deaths.get(PeerDeath::Withdrawn).get() >= 1)
        .await;
    met(&[&a, &b]).await;
    assert_eq!(text(a.ask(&b, "echo").await.unwrap()).await.unwrap(), "question");
}

#[tokio::test]
async fn a_name_that_is_withdrawn_loses_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (at, ca) = (folder.path(), Ca::new(folder.path(), "ca.pem"));
    let a = ca.issue(at, "a", uri("spiffe://x/a"), "ca.pem", "'spiffe://x/a', 'spiffe://x/b'");
    let b = ca.issue(at, "b", uri("spiffe://x/b"), "ca.pem", "'spiffe://x/a', 'spiffe://x/b'");
    let [a, b] = pair(&a, &b);
    met(&[&a, &b]).await;
    let mut body = b.ask(&a, "stream").await.unwrap().into_body();
    piece(&mut body).await.unwrap().unwrap();
    let text = format!(
        "tls: {{cert_file: {0}/a.crt, key_file: {0}/a.key, ca_file: {0}/ca.pem, identities: ['spiffe://x/a']}}",
        at.display()
    );
    reload(&a, &[a.address, b.address], &text).unwrap();
    while let Some(Ok(_)) = piece(&mut body).await {}
    eventually("both directions end", || !a.peers.lives(b.id) && !b.peers.lives(a.id)).await;
    assert_eq!(a.metrics.ended.get(PeerEnd::Withdrawn).get(), 1);
    eventually("and stay so", || b.metrics.dials.get(PeerDial::Credential).get() >= 2).await;
}

#[tokio::test]
async fn a_file_that_changes_is_used_and_one_that_breaks_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("psk");
    fs::write(&file, OLD).unwrap();
    let channel = format!("psk_file: {}", file.display());
    let [a, b] = pair(&channel, &channel);
    met(&[&a, &b]).await;
    fs::write(&file, "half a ke").unwrap();
    assert!(reread(&a.peers.shared).await);
    assert!(a.peers.lives(b.id), "the old one stays in use");
    fs::write(&file, NEW).unwrap();
    assert!(reread(&a.peers.shared).await);
    eventually("the old key's connections end", || !a.peers.lives(b.id) && !b.peers.lives(a.id)).await;
    eventually("the old key is refused", || a.metrics.ended.get(PeerEnd::Credential).get() >= 1).await;
    assert!(reread(&b.peers.shared).await);
    met(&[&a, &b]).await;
}

#[tokio::test]
async fn a_reload_that_cannot_be_changes_nothing() {
    let [a, b] = pair(&format!("psk: {OLD}"), &format!("psk: {OLD}"));
    met(&[&a, &b]).await;
    let error = reload(&a, &[], "psk_file: /nowhere/at/all").unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    assert!(a.peers.lives(b.id));
    assert!(a.ask(&b, "echo").await.is_ok());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (at, ca) = (folder.path(), Ca::new(folder.path(), "ca.pem"));
    let good = ca.issue(at, "a", uri("spiffe://x/g"), "ca.pem", "'spiffe://x/g'");
    ca.issue(at, "b", uri("spiffe://x/g"), "ca.pem", "'spiffe://x/g'");
    fs::write(at.join("empty"), "").unwrap();
    for (from, to, word) in [
        ("a.key", "b.key", "key_file"),
        ("ca.pem", "empty", "ca_file"),
        ("a.crt", "missing", "missing"),
        ("a.crt", "a.key", "cert_file"),
    ] {
        let channel = good.replace(from, to);
        let error = start_error(&channel);
        assert!(error.contains(word), "{error}");
    }
    fs::write(at.join("short"), "QUJD").unwrap();
    let error = start_error(&format!("psk_file: {}/short", at.display()));
    assert!(error.contains("at least 32 bytes") && !error.contains("QUJD"), "{error}");
}

fn start_error(channel: &str) -> String {
    let ha = ha(address(), &fixed(&[]), channel);
    Replica::try_start(&ha).err().map(|error| error.to_string()).unwrap()
}
