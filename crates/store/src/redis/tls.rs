//! Trust and identity towards the servers.

use crate::BuildError;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{path::Path, sync::Arc};
use tokio_rustls::TlsConnector;

/// TLS as configured. The certificate of a server is always verified.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    /// Instead of the host of the address.
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files. Blocks.
    pub(crate) fn build(config: &holdfast_config::RedisTls) -> Result<Self, BuildError> {
        let roots = match &config.ca_file {
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("ca_file", file)? {
                    roots.add(certificate).map_err(|e| error("ca_file", file, &e))?;
                }
                roots
            }
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| BuildError::Address(format!("TLS: {e}")))?
            .with_root_certificates(roots);
        let client = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(key_file)) => {
                let key =
                    PrivateKeyDer::from_pem_file(key_file).map_err(|e| error("key_file", key_file, &e))?;
                let chain = certificates("cert_file", cert)?;
                builder.with_client_auth_cert(chain, key).map_err(|e| error("cert_file", cert, &e))?
            }
            _ => builder.with_no_client_auth(),
        };
        let name = config.server_name.as_ref().map(|name| {
            let wrong = |_| BuildError::Address("tls.server_name is not a name of a server".to_owned());
            ServerName::try_from(name.clone()).map_err(wrong)
        });
        Ok(Self { connector: TlsConnector::from(Arc::new(client)), name: name.transpose()? })
    }

    pub(crate) fn connector(&self) -> &TlsConnector {
        &self.connector
    }

    /// The name that the certificate must have.
    pub(crate) fn name(&self, host: &str) -> Option<ServerName<'static>> {
        self.name.clone().or_else(|| ServerName::try_from(host.to_owned()).ok())
    }
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|e| error(key, file, &e))?.collect();
    let all = all.map_err(|e| error(key, file, &e))?;
    if all.is_empty() { Err(error(key, file, &"holds no certificate")) } else { Ok(all) }
}

fn system_roots() -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A certificate that cannot be used trusts nobody.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(BuildError::Address(
            "TLS without `tls.ca_file`: this system has no certificate authorities".into(),
        ));
    }
    Ok(roots)
}

fn error(key: &'static str, file: &Path, why: &dyn std::fmt::Display) -> BuildError {
    BuildError::Tls { key, file: file.display().to_string(), why: why.to_string() }
}
