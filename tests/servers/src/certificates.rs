//! An authority and a server's certificate from it.

use crate::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// Files of a fresh authority and of one certificate; they live as long as any clone.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<TempDir>);

impl Certificates {
    /// A certificate for `names`: host names and IP addresses.
    pub fn new(names: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        // Names that differ: else verifiers take one certificate for another, or for one that signed itself.
        authority
            .distinguished_name
            .push(DnType::CommonName, format!("authority of {}", folder.path().display()));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_cert = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "server");
        let cert = leaf.signed_by(&key, &issuer)?;
        std::fs::write(folder.path().join("ca.pem"), authority_cert.pem())?;
        std::fs::write(folder.path().join("cert.pem"), cert.pem())?;
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem())?;
        Ok(Self(Arc::new(folder)))
    }

    /// The authority.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }
    /// The certificate.
    pub fn cert(&self) -> PathBuf {
        self.file("cert.pem")
    }
    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.file("key.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.0.path(), name)
    }
}
