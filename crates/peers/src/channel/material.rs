//! Keys and certificates as they were read: what a reload compares.

use super::noise::Psk;
use crate::error::BuildError;
use aws_lc_rs::{
    digest::{SHA256, digest},
    hkdf,
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use holdfast_config::{KeySource, PeerCredentials};
use holdfast_upstream::BoxError;
use std::{fs, io::Read as _, path::Path};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

const PSK_BYTES_MIN: usize = 32;
const PSK_BYTES_MAX: usize = 1024;
const SALT: &[u8] = b"holdfast peer channel psk 1";

/// Everything that credentials are made from. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    Tls { chain: Vec<u8>, key: Vec<u8>, roots: Vec<u8> },
    Psk(Vec<String>),
}

impl Material {
    /// Reads the files. Blocks.
    pub(crate) fn read(credentials: &PeerCredentials) -> Result<Self, BuildError> {
        match credentials {
            PeerCredentials::Tls(tls) => Ok(Self::Tls {
                chain: read(&tls.cert_file)?,
                key: read(&tls.key_file)?,
                roots: read(&tls.ca_file)?,
            }),
            PeerCredentials::Psk(sources) => sources
                .iter()
                .map(|source| match source {
                    KeySource::Inline(secret) => Ok(secret.expose().to_owned()),
                    KeySource::File(path) => String::from_utf8(read(path)?)
                        .map_err(|_| failed(&path.display().to_string(), "is not text")),
                })
                .collect::<Result<_, _>>()
                .map(Self::Psk),
        }
    }

    /// The keys, stretched to what Noise takes.
    pub(super) fn psks(&self) -> Result<Vec<Psk>, BuildError> {
        let Self::Psk(texts) = self else { return Err(failed("psk", "there is none")) };
        texts.iter().enumerate().map(|(index, text)| psk(text, index)).collect()
    }
}

fn psk(text: &str, index: usize) -> Result<Psk, BuildError> {
    let name = if index == 0 { "psk".to_owned() } else { format!("accepted_psks[{}]", index - 1) };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let secret = [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text.trim()).ok())
        .filter(|secret| (PSK_BYTES_MIN..=PSK_BYTES_MAX).contains(&secret.len()))
        .ok_or_else(|| {
            failed(&name, "is not at least 32 bytes in base64; make one with `openssl rand -base64 32`")
        })?;
    // RFC 5869. One secret is never used raw in two places.
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&secret);
    let mut psk = [0; 32];
    prk.expand(&[b"noise"], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut psk))
        .map_err(|_| failed(&name, "the cryptographic library refused it"))?;
    Ok(psk)
}

/// Tells keys apart without holding them.
pub(super) fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let mut print = [0; 32];
    print.copy_from_slice(digest(&SHA256, bytes).as_ref());
    print
}

pub(super) fn failed(what: &str, source: impl Into<BoxError>) -> BuildError {
    BuildError::Credentials { what: what.to_owned(), source: source.into() }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| failed(&name, error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&name, error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(&name, "is larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_every_spelling_and_too_short_ones_are_named() {
        let bytes: Vec<u8> = (0..40).map(|i| 255 - i * 3).collect();
        let of = |text: String| Material::Psk(vec![text]).psks();
        let standard = of(base64::engine::general_purpose::STANDARD.encode(&bytes)).unwrap();
        let url = of(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes) + "\n").unwrap();
        assert_eq!(standard, url);
        assert_ne!(standard[0][..], bytes[..32]);
        let short = base64::engine::general_purpose::STANDARD.encode(&bytes[..31]);
        let error = Material::Psk(vec!["A".repeat(43), short.clone()]).psks().unwrap_err().to_string();
        assert!(error.contains("accepted_psks[0]") && error.contains("openssl"), "{error}");
        assert!(!error.contains(&short));
    }
}
