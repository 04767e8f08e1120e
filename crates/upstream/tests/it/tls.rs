use crate::support::{Setup, fails, get, ok};
use holdfast_upstream::{CallError, Shared, Upstream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

struct Pki {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), issuer }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ca_file(&self) -> PathBuf {
        self.write("ca.pem", &self.issuer.pem())
    }

    fn leaf(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (leaf, key)
    }

    async fn serve(&self, name: &str, alpn: &[&[u8]], client_auth: bool) -> SocketAddr {
        let (leaf, key) = self.leaf(name);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if client_auth {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![leaf.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                        two(tls).await;
                    } else {
                        one(tls).await;
                    }
                });
            }
        });
        address
    }
}

async fn one(mut tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let mut buffer = Vec::new();
    while tls.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        if buffer.ends_with(b"\r\n\r\n") {
            buffer.clear();
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none").await.unwrap();
        }
    }
}

async fn two(tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let mut connection = h2::server::handshake(tls).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"two"), true).unwrap();
    }
}

fn setup(pki: &Pki, addresses: &[SocketAddr]) -> Setup {
    let mut setup = Setup::new(addresses.iter().map(|address| format!("https://{address}"))).no_breaker();
    setup.upstream.tls.ca_file = Some(pki.ca_file());
    setup
}

#[tokio::test]
async fn alpn_decides_between_both_versions() {
    let pki = Pki::new();
    let both = pki.serve("127.0.0.1", &[b"h2", b"http/1.1"], false).await;
    let old = pki.serve("127.0.0.1", &[], false).await;
    for _ in 0..3 {
        assert_eq!(ok(&setup(&pki, &[both]).build(), get()).await.1, "two");
        assert_eq!(ok(&setup(&pki, &[old]).build(), get()).await.1, "one");
    }
    let mut off = setup(&pki, &[both]);
    off.upstream.http2 = holdfast_config::Http2Mode::Off;
    assert_eq!(ok(&off.build(), get()).await.1, "one");
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_fails_over() {
    let (pki, foreign) = (Pki::new(), Pki::new());
    let good = pki.serve("127.0.0.1", &[], false).await;
    let bad = foreign.serve("127.0.0.1", &[], false).await;
    let setup_both = setup(&pki, &[bad, good]);
    let upstream = setup_both.build();
    for _ in 0..6 {
        assert_eq!(ok(&upstream, get()).await.1, "one");
    }
    assert!(setup_both.metric(&["_connects_total", "tls"]) > 0.0);
    let error = fails(&setup(&pki, &[bad]).build(), get()).await;
    assert!(matches!(error, CallError::Tls { .. }), "{error}");
    assert_eq!(error.sent(), holdfast_resilience::Sent::Nothing);
}

#[tokio::test]
async fn the_configured_name_is_verified_instead_of_the_host() {
    let pki = Pki::new();
    let address = pki.serve("files.internal", &[], false).await;
    assert!(matches!(fails(&setup(&pki, &[address]).build(), get()).await, CallError::Tls { .. }));
    let mut named = setup(&pki, &[address]);
    named.upstream.tls.server_name = Some("files.internal".to_owned());
    assert_eq!(ok(&named.build(), get()).await.1, "one");
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let pki = Pki::new();
    let address = pki.serve("127.0.0.1", &[], true).await;
    let mut setup = setup(&pki, &[address]);
    assert!(ok_or_error(&setup).await.is_err());
    let (leaf, key) = pki.leaf("gateway");
    setup.upstream.tls.cert_file = Some(pki.write("client.pem", &leaf.pem()));
    setup.upstream.tls.key_file = Some(pki.write("client.key", &key.serialize_pem()));
    assert_eq!(ok(&setup.build(), get()).await.1, "one");
}

async fn ok_or_error(setup: &Setup) -> Result<(), CallError> {
    setup.build().send(get()).await.map(drop)
}

#[tokio::test]
async fn a_bad_file_is_a_build_error_that_names_it() {
    let pki = Pki::new();
    let mut setup = setup(&pki, &["127.0.0.1:1".parse().unwrap()]);
    setup.upstream.tls.ca_file = Some(pki.write("empty.pem", "nothing"));
    let shared = Shared::build(&setup.config, &setup.registry, None).unwrap();
    let error = Upstream::build(&setup.upstream, &shared, None).err().unwrap().to_string();
    assert!(error.contains("ca_file"), "{error}");
    setup.upstream.tls.ca_file = Some("/nonexistent/ca.pem".into());
    let error = Upstream::build(&setup.upstream, &shared, None).err().unwrap().to_string();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
}
