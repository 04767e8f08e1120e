//! TLS: versions, suites, names, and certificates replaced under load.

use crate::harness::{Running, eventually, listener, server};
use holdfast_config::{Certificate, ServerTls, TlsVersion};
use holdfast_edge::{CertificateError, Edge, EdgeError, TlsError};
use holdfast_telemetry::Registry;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    version::{TLS12, TLS13},
};
use rustls_pki_types::CertificateDer;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Writes a self-signed pair for `name` and returns the certificate.
pub(crate) fn issue(folder: &Path, name: &str, expired: bool) -> (Certificate, CertificateDer<'static>) {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("params");
    if expired {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let certificate = params.self_signed(&key).expect("certificate");
    fs::create_dir_all(folder).expect("folder");
    let files = Certificate { cert_file: folder.join("tls.crt"), key_file: folder.join("tls.key") };
    fs::write(&files.cert_file, certificate.pem()).expect("write");
    fs::write(&files.key_file, key.serialize_pem()).expect("write");
    (files, certificate.der().clone())
}

pub(crate) fn tls(certificates: Vec<Certificate>) -> ServerTls {
    ServerTls { certificates, minimum_version: TlsVersion::V1_2, preferred_ciphers: Vec::new() }
}

fn provider(suites: &[&str]) -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    if !suites.is_empty() {
        provider.cipher_suites.retain(|suite| suites.contains(&suite.suite().as_str().unwrap_or_default()));
    }
    Arc::new(provider)
}

pub(crate) struct Asking<'a> {
    address: SocketAddr,
    name: &'a str,
    roots: &'a [CertificateDer<'static>],
    versions: &'a [&'static SupportedProtocolVersion],
    suites: &'a [&'a str],
    alpn: &'a [&'a [u8]],
}

impl Asking<'_> {
    /// A connection on which nothing has been said yet.
    pub(crate) fn begin(&self) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        for root in self.roots {
            roots.add(root.clone()).map_err(|error| error.to_string())?;
        }
        let mut config = ClientConfig::builder_with_provider(provider(self.suites))
            .with_protocol_versions(self.versions)
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        let name = self.name.to_owned().try_into().expect("name");
        let session = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        let socket = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(crate::harness::PATIENCE)).expect("timeout");
        Ok(StreamOwned::new(session, socket))
    }

    fn connect(&self) -> Result<Tls, String> {
        let mut stream = self.begin()?;
        stream
            .write_all(b"GET /tls HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
            .map_err(|e| e.to_string())?;
        Ok(stream)
    }

    pub(crate) fn ask(&self) -> Result<String, String> {
        let mut text = String::new();
        self.connect()?.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }
}

pub(crate) fn asking<'a>(edge: &Running, name: &'a str, roots: &'a [CertificateDer<'static>]) -> Asking<'a> {
    Asking { address: edge.address(), name, roots, versions: &BOTH, suites: &[], alpn: &[] }
}

#[test]
fn versions_1_2_and_1_3_are_served_and_1_1_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let (files, root) = issue(folder.path(), "a.test", false);
    let edge = Running::start(&server(), &[listener(Some(tls(vec![files])))]);
    let roots = [root];
    for (version, name) in [(&TLS12, "TLSv1_2"), (&TLS13, "TLSv1_3")] {
        let answer =
            Asking { versions: &[version], ..asking(&edge, "a.test", &roots) }.ask().expect("served");
        assert!(answer.contains(name) && answer.contains("a.test"), "{answer}");
    }
    let mut old = edge.connect();
    old.send(client_hello(0x0302));
    let mut alert = [0; 7];
    old.0.read_exact(&mut alert).expect("an alert");
    // Fatal, protocol_version (RFC 5246 section 7.2).
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70));
    eventually("it is counted", || {
        edge.metric("holdfast_edge_tls_failures_total{listener=\"server\",reason=\"protocol\"}") == 1
    });
}

/// The smallest ClientHello of a version (RFC 4346 section 7.4.1.2), with one suite of that time.
fn client_hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x14, 1, 0]);
    // supported_groups: x25519; signature_algorithms: ecdsa_secp256r1_sha256.
    body.extend([0, 16, 0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut handshake = vec![1];
    handshake.extend(&(body.len() as u32).to_be_bytes()[1..]);
    handshake.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[test]
fn the_minimum_version_holds() {
    let folder = tempfile::tempdir().expect("folder");
    let (files, root) = issue(folder.path(), "a.test", false);
    let strict = ServerTls { minimum_version: TlsVersion::V1_3, ..tls(vec![files]) };
    let edge = Running::start(&server(), &[listener(Some(strict))]);
    let roots = [root];
    assert!(Asking { versions: &[&TLS12], ..asking(&edge, "a.test", &roots) }.ask().is_err());
    assert!(asking(&edge, "a.test", &roots).ask().is_ok());
}

#[test]
fn only_listed_suites_are_spoken_in_1_2_in_the_servers_order() {
    let folder = tempfile::tempdir().expect("folder");
    let (files, root) = issue(folder.path(), "a.test", false);
    let listed = ["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"];
    let listed = ServerTls { preferred_ciphers: listed.map(str::to_owned).to_vec(), ..tls(vec![files]) };
    let edge = Running::start(&server(), &[listener(Some(listed))]);
    let roots = [root];
    let speak = |suites: &[&str], versions: &[&'static SupportedProtocolVersion]| {
        Asking { versions, suites, ..asking(&edge, "a.test", &roots) }.ask()
    };
    // rustls offers 256 before 128; the server's order wins.
    let answer = speak(&[], &[&TLS12]).expect("served");
    assert!(answer.contains("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), "{answer}");
    assert!(speak(&["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"], &[&TLS12]).is_err());
    assert!(speak(&[], &[&TLS13]).is_ok(), "1.3 stays on");
}

#[test]
fn certificates_are_chosen_by_name_and_the_first_is_the_default() {
    let folder = tempfile::tempdir().expect("folder");
    let (first, first_root) = issue(&folder.path().join("1"), "a.test", false);
    let (second, second_root) = issue(&folder.path().join("2"), "*.b.test", false);
    let edge = Running::start(&server(), &[listener(Some(tls(vec![first, second])))]);
    let (first_root, second_root) = ([first_root], [second_root]);
    assert!(asking(&edge, "a.test", &first_root).ask().is_ok());
    assert!(asking(&edge, "x.b.test", &second_root).ask().is_ok());
    let deep = asking(&edge, "x.y.b.test", &second_root).ask().expect_err("a wildcard is one label");
    assert!(deep.contains("certificate"), "{deep}");
    assert_eq!(edge.handle.certificates().len(), 2);
}

#[test]
fn alpn_chooses_the_protocol() {
    let folder = tempfile::tempdir().expect("folder");
    let (files, root) = issue(folder.path(), "a.test", false);
    let edge = Running::start(&server(), &[listener(Some(tls(vec![files])))]);
    let roots = [root];
    let answer = Asking { alpn: &[b"http/1.1"], ..asking(&edge, "a.test", &roots) }.ask().expect("served");
    assert!(answer.contains("Http1"), "{answer}");
    let mut stream =
        Asking { alpn: &[b"h2", b"http/1.1"], ..asking(&edge, "a.test", &roots) }.connect().expect("TLS");
    let mut settings = [0; 9];
    stream.read_exact(&mut settings).expect("a frame");
    assert_eq!((settings[3], stream.conn.alpn_protocol()), (4, Some(&b"h2"[..])));
}

#[test]
fn bad_settings_are_errors_that_name_the_fault() {
    let folder = tempfile::tempdir().expect("folder");
    let (good, _) = issue(&folder.path().join("1"), "a.test", false);
    let (other, _) = issue(&folder.path().join("2"), "b.test", false);
    let (expired, _) = issue(&folder.path().join("3"), "c.test", true);
    let bind = |tls: ServerTls| {
        let registry = Registry::new(&BTreeMap::new()).expect("registry");
        match Edge::bind(&server(), &[listener(Some(tls))], &registry) {
            Err(EdgeError::Tls { source, .. }) => source,
            _ => panic!("accepted"),
        }
    };
    let mixed = Certificate { key_file: other.key_file, ..good.clone() };
    assert!(matches!(bind(tls(vec![mixed])), TlsError::Certificate(CertificateError::Mismatch { .. })));
    assert!(matches!(bind(tls(vec![expired])), TlsError::Certificate(CertificateError::Expired { .. })));
    let missing = Certificate { cert_file: folder.path().join("none"), ..good.clone() };
    assert!(matches!(bind(tls(vec![missing])), TlsError::Certificate(CertificateError::Read { .. })));
    let unknown = ServerTls { preferred_ciphers: vec!["RC4-MD5".to_owned()], ..tls(vec![good]) };
    assert!(bind(unknown).to_string().contains("RC4-MD5"));
}

#[cfg(unix)]
#[test]
fn a_swapped_certificate_is_served_under_load_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().expect("folder");
    let versions = [1, 2, 3].map(|number| folder.path().join(format!("..version{number}")));
    let (_, first) = issue(&versions[0], "a.test", false);
    let (_, second) = issue(&versions[1], "a.test", false);
    issue(&versions[2], "a.test", true);
    let data = folder.path().join("..data");
    let swap = |to: &Path| {
        let fresh = folder.path().join("..fresh");
        std::os::unix::fs::symlink(to, &fresh).expect("link");
        fs::rename(&fresh, &data).expect("swap");
    };
    swap(&versions[0]);
    let files = Certificate { cert_file: data.join("tls.crt"), key_file: data.join("tls.key") };
    let mut quick = server();
    quick.certificate_reload_interval = Duration::from_millis(20);
    let edge = Running::start(&quick, &[listener(Some(tls(vec![files])))]);
    let roots = [first, second];
    let (stop, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let served = || {
        let stream = asking(&edge, "a.test", &roots).connect().expect("handshake");
        let mut stream = stream;
        stream.read_exact(&mut [0; 8]).expect("answer");
        stream.conn.peer_certificates().expect("certificate")[0].clone()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                served();
                handshakes.fetch_add(1, Ordering::Relaxed);
            }
        });
        eventually("load", || handshakes.load(Ordering::Relaxed) > 20);
        assert_eq!(served(), roots[0]);
        swap(&versions[1]);
        eventually("the new one is served", || served() == roots[1]);
        let not_after = edge.handle.certificates()[0].not_after;
        swap(&versions[2]);
        let failures = "holdfast_certificate_reload_failures_total{";
        eventually("the expired one is refused", || {
            edge.registry.render().contains(failures) && edge.metric(failures) > 0
        });
        assert_eq!(served(), roots[1]);
        assert_eq!(edge.handle.certificates()[0].not_after, not_after);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(edge.metric("holdfast_certificate_expiry") > 1_000_000_000);
}

#[test]
fn a_handshake_that_stalls_is_cut() {
    let folder = tempfile::tempdir().expect("folder");
    let (files, _) = issue(folder.path(), "a.test", false);
    let mut hasty = server();
    hasty.handshake_timeout = Duration::from_millis(100);
    let edge = Running::start(&hasty, &[listener(Some(tls(vec![files])))]);
    let mut slow = edge.connect();
    slow.send([22, 3, 1]);
    assert!(slow.is_gone());
    eventually("it is counted", || {
        edge.metric("holdfast_edge_tls_failures_total{listener=\"server\",reason=\"timeout\"}") == 1
    });
}
