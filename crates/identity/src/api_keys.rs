//! Static API keys.
//!
//! A presented key is hashed and the hash is looked up: how long that takes says nothing about any configured key,
//! since nobody can choose the bytes of a hash. The keys themselves are not kept.

use crate::{AuthError, BuildError, Principal, credential};
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use holdfast_config as config;
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use std::{collections::HashMap, fmt, sync::Arc};

/// Least length of a key.
const MIN_KEY_BYTES: usize = 16;
/// Longest key that is hashed: more is not a key.
const MAX_KEY_BYTES: usize = 1024;
/// Issuer of principals with a static key.
const ISSUER: &str = "api_key";

pub(crate) struct ApiKeys {
    header: HeaderName,
    by_hash: HashMap<[u8; 32], Arc<Principal>>,
}

impl ApiKeys {
    pub(crate) fn build(cfg: &config::ApiKeys) -> Result<Self, BuildError> {
        let header =
            HeaderName::try_from(cfg.header.as_str()).map_err(|_| BuildError::Header(cfg.header.clone()))?;
        if cfg.keys.is_empty() {
            return Err(BuildError::NoKeys("api_key"));
        }
        let mut by_hash: HashMap<[u8; 32], Arc<Principal>> = HashMap::with_capacity(cfg.keys.len());
        for key in &cfg.keys {
            let secret = key.key.expose().as_bytes();
            if secret.len() < MIN_KEY_BYTES {
                let key = format!("`{}`", key.name);
                return Err(BuildError::Short { key, bytes: secret.len(), least: MIN_KEY_BYTES });
            }
            let scopes = key.scopes.iter().map(|s| Box::from(s.as_str())).collect();
            let roles = key.roles.iter().map(|role| Box::from(role.as_str())).collect();
            let principal =
                Principal::new(ISSUER, &key.name, key.tenant.as_deref(), scopes)?.with_roles(roles);
            if let Some(other) = by_hash.insert(hash(secret), Arc::new(principal)) {
                return Err(BuildError::SameKey(other.subject().to_string(), key.name.clone()));
            }
        }
        Ok(Self { header, by_hash })
    }

    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, AuthError> {
        let presented = match credential::header(headers, &self.header)? {
            Some(key) => key,
            None => credential::bearer(headers)?.ok_or(AuthError::Missing { scope: "".into() })?,
        };
        if presented.len() > MAX_KEY_BYTES {
            return Err(AuthError::Invalid("unknown_key"));
        }
        let hash = hash(presented);
        match self.by_hash.get_key_value(&hash) {
            Some((known, principal)) if verify_slices_are_equal(known, &hash).is_ok() => {
                Ok(Arc::clone(principal))
            }
            _ => Err(AuthError::Invalid("unknown_key")),
        }
    }

    /// The header that [`ApiKeys::authenticate`] reads, and only that one: a client may send its key in the key
    /// header and a bearer token that is meant for the upstream.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        if headers.remove(&self.header).is_none() {
            headers.remove(AUTHORIZATION);
        }
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("header", &self.header).field("keys", &self.by_hash.len()).finish()
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret).as_ref());
    out
}
