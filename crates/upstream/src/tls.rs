//! The client side of TLS: one rustls configuration per `tls` block, built once per snapshot.

use crate::BuildError;
use holdfast_config::ClientTls;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{path::Path, sync::Arc};

/// What a TLS connect needs.
#[derive(Clone)]
pub(crate) struct TlsClient {
    /// Offers `h2` and `http/1.1` by ALPN (RFC 7301).
    pub(crate) any: Arc<ClientConfig>,
    /// Offers `http/1.1` alone.
    pub(crate) http1: Arc<ClientConfig>,
    /// Verified instead of the endpoint's host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// The files as they were read: a reload compares them.
    material: Arc<Material>,
}

#[derive(PartialEq, Eq)]
struct Material {
    roots: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    server_name: Option<String>,
}

impl TlsClient {
    /// Reads the files and builds both configurations. `previous` is kept where nothing changed, and with it its
    /// session tickets.
    pub(crate) fn build(config: &ClientTls, previous: Option<&Self>) -> Result<Self, BuildError> {
        let material = Material {
            roots: read(config.ca_file.as_deref())?,
            certificate: read(config.cert_file.as_deref())?,
            key: read(config.key_file.as_deref())?,
            server_name: config.server_name.clone(),
        };
        if let Some(previous) = previous.filter(|previous| *previous.material == material) {
            return Ok(previous.clone());
        }
        let server_name = material
            .server_name
            .clone()
            .map(|name| ServerName::try_from(name).map_err(|source| failed("server_name", source)))
            .transpose()?;
        let http1 = client_config(&material)?;
        let mut any = http1.clone();
        any.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut http1 = http1;
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { any: Arc::new(any), http1: Arc::new(http1), server_name, material: Arc::new(material) })
    }

    /// Whether both were built from the same files.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.material == other.material
    }
}

fn client_config(material: &Material) -> Result<ClientConfig, BuildError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| failed("protocol versions", source))?
        .with_root_certificates(roots(material.roots.as_deref())?);
    match (&material.certificate, &material.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates("cert_file", certificate)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| failed("key_file", source))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| failed("cert_file and key_file", source))
        }
        _ => Err(failed("cert_file and key_file", "one is given without the other; give both or none")),
    }
}

fn roots(pem: Option<&[u8]>) -> Result<RootCertStore, BuildError> {
    let mut store = RootCertStore::empty();
    if let Some(pem) = pem {
        for certificate in certificates("ca_file", pem)? {
            store.add(certificate).map_err(|source| failed("ca_file", source))?;
        }
        return Ok(store);
    }
    let native = rustls_native_certs::load_native_certs();
    let (added, _ignored) = store.add_parsable_certificates(native.certs);
    if added == 0 {
        let why = "the system has no trusted roots; install its CA certificates or set ca_file";
        return Err(failed("system roots", why));
    }
    Ok(store)
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| failed(what, source))?;
    if all.is_empty() { Err(failed(what, "holds no certificate in PEM form")) } else { Ok(all) }
}

fn read(path: Option<&Path>) -> Result<Option<Vec<u8>>, BuildError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| failed(&format!("cannot read {}", path.display()), source))
    };
    path.map(read).transpose()
}

fn failed(what: &str, source: impl Into<crate::BoxError>) -> BuildError {
    BuildError::Tls { what: what.to_owned(), source: source.into() }
}
