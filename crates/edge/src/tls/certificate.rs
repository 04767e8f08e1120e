//! One certificate with its key: reading, checking, naming.

use holdfast_config::Certificate as Files;
use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{fs, io, path::PathBuf, sync::Arc};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Largest certificate or key file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Why a pair of files is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is larger than anything sensible.
    #[error("{path} is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// No certificate in PEM form.
    #[error("{path} holds no PEM certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No private key in PEM form.
    #[error("{path} holds no PEM private key")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The leaf is not X.509.
    #[error("{path}: the first certificate cannot be parsed: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Parser's reason.
        reason: String,
    },
    /// The leaf is past its `notAfter`.
    #[error("{path} expired at {not_after} (Unix seconds)")]
    Expired {
        /// The file.
        path: PathBuf,
        /// `notAfter`.
        not_after: i64,
    },
    /// The key does not belong to the certificate, or its kind is not supported.
    #[error("{key} does not fit {certificate}: {reason}")]
    Mismatch {
        /// Certificate file.
        certificate: PathBuf,
        /// Key file.
        key: PathBuf,
        /// rustls' reason.
        reason: String,
    },
}

/// The bytes of both files: what polling compares.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    /// Reads both files by their paths each time, so a swapped symlink (`..data` of Kubernetes) is followed.
    pub(crate) fn read(files: &Files) -> Result<Self, CertificateError> {
        Ok(Self { chain: read_file(&files.cert_file)?, key: read_file(&files.key_file)? })
    }
}

/// A certificate ready to be served.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) key: Arc<CertifiedKey>,
    /// DNS names, lower case; wildcards as `*.example.com`.
    pub(crate) names: Vec<Box<str>>,
    /// Unix seconds.
    pub(crate) not_after: i64,
}

impl Loaded {
    /// Checks the pair at `unix_now`. The chain's own validity is the operator's business; what would break every handshake is not.
    pub(crate) fn build(
        files: &Files,
        contents: &Contents,
        provider: &CryptoProvider,
        unix_now: i64,
    ) -> Result<Self, CertificateError> {
        let path = &files.cert_file;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.chain)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate { path: path.clone() })?;
        let leaf = chain.first().ok_or_else(|| CertificateError::NoCertificate { path: path.clone() })?;
        let (names, not_after) =
            inspect(leaf).map_err(|reason| CertificateError::Parse { path: path.clone(), reason })?;
        if not_after <= unix_now {
            return Err(CertificateError::Expired { path: path.clone(), not_after });
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| CertificateError::NoKey { path: files.key_file.clone() })?;
        let mismatch = |error: rustls::Error| CertificateError::Mismatch {
            certificate: path.clone(),
            key: files.key_file.clone(),
            reason: error.to_string(),
        };
        let key = CertifiedKey::from_der(chain, key, provider).map_err(mismatch)?;
        Ok(Self { key: Arc::new(key), names, not_after })
    }
}

fn inspect(leaf: &[u8]) -> Result<(Vec<Box<str>>, i64), String> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| error.to_string())?
        .map(|extension| &extension.value.general_names)
        .into_iter()
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into_boxed_str()),
            _ => None,
        })
        .collect();
    Ok((names, certificate.validity().not_after.timestamp()))
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, CertificateError> {
    let fail = |source| CertificateError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(fail)?.len() > MAX_FILE_BYTES {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(fail)
}
