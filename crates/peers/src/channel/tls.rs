//! Mutual TLS 1.3: both sides have a certificate of the configured roots, with one of the configured names.

use super::{
    ChannelError, Credential, PeerIo,
    identity::Identities,
    material::{Material, failed, fingerprint},
};
use crate::error::BuildError;
use holdfast_config::PeerTls;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The listener's first byte. In TLS 1.3 the dialling side is done before the listener has looked at its certificate; this says that it
/// was good, and a refusal is an alert in its place.
const WELCOME: u8 = 1;

/// Named in ALPN (RFC 7301), so that nothing else is spoken to by mistake.
const PROTOCOL: &[u8] = b"holdfast-peer/1";

pub(crate) struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    identities: Identities,
    /// Fingerprint of the roots.
    roots: [u8; 32],
}

impl Tls {
    pub(super) fn build(config: &PeerTls, material: &Material) -> Result<Self, BuildError> {
        let Material::Tls { chain, key, roots: pem } = material else {
            return Err(failed("tls", "there are no certificates"));
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identities = Identities::new(&config.identities);
        let chain = certificates("tls.cert_file", chain)?;
        if let Some(leaf) = chain.first() {
            // Not its own business, but every other replica would refuse it: better said here.
            if identities.of(leaf).is_err() {
                tracing::warn!(
                    file = %config.cert_file.display(),
                    "the certificate of this replica has none of ha.peer_channel.tls.identities"
                );
            }
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| failed("tls.key_file", error))?;
        let mut roots = RootCertStore::empty();
        for root in certificates("tls.ca_file", pem)? {
            roots.add(root).map_err(|error| failed("tls.ca_file", error))?;
        }
        let roots = Arc::new(roots);
        let verifier = Verifier::new(&roots, &provider, &identities)?;
        let mismatch = |error: Error| failed("tls.cert_file and tls.key_file", error);
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(mismatch)?
            .dangerous() // rustls' word for a verifier of one's own
            .with_custom_certificate_verifier(Arc::new(verifier.clone()))
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(mismatch)?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Every connection proves itself: what was withdrawn must not come back with a ticket.
        client.resumption = Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(mismatch)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, key)
            .map_err(mismatch)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.send_tls13_tickets = 0;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            identities,
            roots: fingerprint(pem),
        })
    }

    pub(super) async fn connect(
        &self,
        io: TcpStream,
        host: &str,
    ) -> Result<(PeerIo, Credential), ChannelError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ChannelError::Protocol("the host cannot be named in TLS"))?;
        let mut stream = self.connector.connect(name, io).await.map_err(tls_error)?;
        if stream.read_u8().await.map_err(tls_error)? != WELCOME {
            return Err(ChannelError::Protocol("the other side does not begin as a peer does"));
        }
        let credential = self.credential(stream.get_ref().1.peer_certificates())?;
        Ok((PeerIo::Tls(Box::new(stream.into())), credential))
    }

    pub(super) async fn accept(&self, io: TcpStream) -> Result<(PeerIo, Credential), ChannelError> {
        let mut stream = self.acceptor.accept(io).await.map_err(tls_error)?;
        if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
            return Err(ChannelError::Protocol("it does not speak the peer protocol"));
        }
        let credential = self.credential(stream.get_ref().1.peer_certificates())?;
        stream.write_u8(WELCOME).await?;
        stream.flush().await?;
        Ok((PeerIo::Tls(Box::new(stream.into())), credential))
    }

    pub(super) fn accepts(&self, name: &str, roots: &[u8; 32]) -> bool {
        self.roots == *roots && self.identities.contains(name)
    }

    fn credential(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<Credential, ChannelError> {
        let leaf = chain.and_then(<[_]>::first).ok_or(ChannelError::Credential("no certificate"))?;
        let name = self.identities.of(leaf).map_err(ChannelError::Tls)?;
        Ok(Credential::Identity { name, roots: self.roots })
    }
}

fn tls_error(error: io::Error) -> ChannelError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => ChannelError::Tls(inner.clone()),
        None => ChannelError::Io(error),
    }
}

/// Whether somebody's proof was refused, by us or by the other side.
pub(super) fn is_credential(error: &Error) -> bool {
    use rustls::AlertDescription as A;
    match error {
        Error::InvalidCertificate(_)
        | Error::NoCertificatesPresented
        | Error::InvalidCertRevocationList(_) => true,
        Error::AlertReceived(alert) => matches!(
            alert,
            A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
                | A::UnknownCA
                | A::AccessDenied
                | A::CertificateRequired
                | A::DecryptError
        ),
        _ => false,
    }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(what, error))?;
    if all.is_empty() { Err(failed(what, "holds no certificate in PEM form")) } else { Ok(all) }
}

/// The same rule for both sides: the chain, its time and use as webpki sees them, then the name.
#[derive(Clone, Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    identities: Identities,
}

impl Verifier {
    fn new(
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        identities: &Identities,
    ) -> Result<Self, BuildError> {
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| failed("tls.ca_file", error))?;
        Ok(Self {
            roots: Arc::clone(roots),
            clients,
            provider: Arc::clone(provider),
            identities: identities.clone(),
        })
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
}

/// TLS 1.2 is not offered; this is never asked for.
const NO_TLS12: Error = Error::InvalidCertificate(CertificateError::BadSignature);

impl ServerCertVerifier for Verifier {
    /// An address is where a replica is, not who it is: the name of the dial plays no part.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        self.identities.of(end_entity).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    /// No hints: which roots vouch for peers is nobody's business before it has proved to be one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.clients.verify_client_cert(end_entity, intermediates, now)?;
        self.identities.of(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
