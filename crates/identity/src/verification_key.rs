//! One key that verifies, with the one algorithm it is for.

use crate::BuildError;
use holdfast_config::{JwtAlgorithm, JwtKey, KeySource};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    crypto::{aws_lc, verify},
};
use std::{fmt, fs::File, io::Read as _, path::Path};

/// RFC 7518 section 3.2: a key of the same size as the hash output, or larger, must be used with HS256.
const MIN_HMAC_BYTES: usize = 32;
/// RFC 7518 section 3.3: 2048 bits or larger.
const MIN_RSA_BYTES: usize = 2048 / 8;
/// Largest key file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

pub(crate) struct VerificationKey {
    kid: Option<Box<str>>,
    name: &'static str,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerificationKey {
    pub(crate) fn load(cfg: &JwtKey, position: usize) -> Result<Self, BuildError> {
        // The provider is the only one that is built in; setting it again is no error.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
        let label =
            cfg.kid.as_ref().map_or_else(|| format!("number {}", position + 1), |kid| format!("`{kid}`"));
        let material = match &cfg.source {
            KeySource::Inline(secret) => secret.expose().as_bytes().to_vec(),
            KeySource::File(path) => read(path)?,
        };
        let (name, algorithm) = names(cfg.algorithm);
        let wrong = |reason| BuildError::Key { key: label.clone(), algorithm: name, reason };
        let text = material.trim_ascii();
        if cfg.algorithm != JwtAlgorithm::Hs256 && has(text, b"PRIVATE KEY") {
            return Err(wrong(
                "it is a private key; give the public one and keep the private one where tokens are made",
            ));
        }
        let unreadable = |_| wrong("it is not a PEM file with such a key");
        let key = match cfg.algorithm {
            JwtAlgorithm::Hs256 => {
                // A public key used as an HMAC secret is known to everybody.
                if has(text, b"-----BEGIN") {
                    return Err(wrong("it is a PEM file; HS256 needs a secret"));
                }
                if text.len() < MIN_HMAC_BYTES {
                    return Err(BuildError::Short { key: label, bytes: text.len(), least: MIN_HMAC_BYTES });
                }
                DecodingKey::from_secret(text)
            }
            JwtAlgorithm::Rs256 => DecodingKey::from_rsa_pem(text).map_err(unreadable)?,
            JwtAlgorithm::Es256 => DecodingKey::from_ec_pem(text).map_err(unreadable)?,
            JwtAlgorithm::EdDsa => DecodingKey::from_ed_pem(text).map_err(unreadable)?,
        };
        let bytes = key.try_get_as_bytes().map_err(unreadable)?;
        match cfg.algorithm {
            JwtAlgorithm::Rs256 if bytes.len() < MIN_RSA_BYTES => {
                return Err(wrong("it has fewer than 2048 bits"));
            }
            // SEC 1 section 2.3.3: an uncompressed point of P-256.
            JwtAlgorithm::Es256 if bytes.len() != 65 || bytes.first() != Some(&4) => {
                return Err(wrong("it is on another curve than P-256"));
            }
            JwtAlgorithm::EdDsa if bytes.len() != 32 => return Err(wrong("it is not an Ed25519 key")),
            _ => {}
        }
        Ok(Self { kid: cfg.kid.as_deref().map(Box::from), name, algorithm, key })
    }

    /// Whether this key may verify a token with such a header. A key with an id serves the tokens that name it.
    pub(crate) fn serves(&self, algorithm: &str, kid: Option<&str>) -> bool {
        self.name == algorithm && self.kid.as_deref().is_none_or(|own| kid == Some(own))
    }

    /// Whether `signature` (base64url) of `message` is this key's.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        verify(signature, message, &self.key, self.algorithm).unwrap_or(false)
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.name)
            .finish_non_exhaustive()
    }
}

fn names(algorithm: JwtAlgorithm) -> (&'static str, Algorithm) {
    match algorithm {
        JwtAlgorithm::Hs256 => ("HS256", Algorithm::HS256),
        JwtAlgorithm::Rs256 => ("RS256", Algorithm::RS256),
        JwtAlgorithm::Es256 => ("ES256", Algorithm::ES256),
        JwtAlgorithm::EdDsa => ("EdDSA", Algorithm::EdDSA),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let failed = |source| BuildError::Read { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(std::io::Error::other("it is larger than 64 KiB, which is no key")));
    }
    Ok(bytes)
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
