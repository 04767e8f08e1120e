//! The names in a certificate.

use rustls::{CertificateError, Error};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Names that peers may have. DNS names are compared without regard to case (RFC 4343), URIs byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identities(Vec<Box<str>>);

impl Identities {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| normal(name)).collect())
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| **known == *name)
    }

    /// The first name of ours that the certificate has.
    pub(super) fn of(&self, leaf: &CertificateDer<'_>) -> Result<Box<str>, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| bad())?;
        let names = certificate.subject_alternative_name().map_err(|_| bad())?;
        let names = names.map(|extension| &extension.value.general_names).into_iter().flatten();
        names
            .filter_map(|name| match name {
                // A URI in the place of a DNS name is neither.
                GeneralName::DNSName(name) if !is_uri(name) => Some(normal(name)),
                GeneralName::URI(uri) if is_uri(uri) => Some(normal(uri)),
                _ => None,
            })
            .find(|name| self.contains(name))
            // RFC 6125 is about hosts that a client looks for; this is a closed list of names, so the error is our own.
            .ok_or(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }
}

fn is_uri(name: &str) -> bool {
    name.contains(':')
}

fn normal(name: &str) -> Box<str> {
    if is_uri(name) { name.into() } else { name.to_ascii_lowercase().into() }
}
