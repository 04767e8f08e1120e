//! JSON Web Tokens (RFC 7519) signed with one of the configured keys.
//!
//! The algorithm belongs to the key, not to the token (RFC 8725 section 3.1): a token only chooses among the keys that
//! are for the algorithm it names. What is required of each token: a signature, `iss`, `aud`, `exp` and `sub`.

use crate::{
    AuthError, BuildError, Principal, cache,
    cache::Verified,
    claims::{Claims, JoseHeader, NumericDate},
    credential,
    verification_key::VerificationKey,
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use holdfast_config as config;
use http::HeaderMap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Largest leeway.
const MAX_LEEWAY: Duration = Duration::from_mins(5);

#[derive(Debug)]
pub(crate) struct Jwt {
    /// Different for each authenticator of the process: the cache of one never answers for another.
    generation: u64,
    issuer: Box<str>,
    audience: Vec<Box<str>>,
    keys: Vec<VerificationKey>,
    leeway: u64,
    tenant_claim: Option<Box<str>>,
    roles_claim: Box<str>,
    required_scopes: Vec<Box<str>>,
    /// The required scopes as one text.
    scope: Arc<str>,
}

impl Jwt {
    pub(crate) fn build(cfg: &config::Jwt) -> Result<Self, BuildError> {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        if cfg.keys.is_empty() {
            return Err(BuildError::NoKeys("jwt"));
        }
        if cfg.audience.is_empty() || cfg.audience.iter().any(String::is_empty) {
            return Err(BuildError::NoAudience);
        }
        Principal::new(&cfg.issuer, "subject", None, Vec::new())?;
        let keys = cfg
            .keys
            .iter()
            .enumerate()
            .map(|(n, key)| VerificationKey::load(key, n))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            generation: GENERATIONS.fetch_add(1, Relaxed),
            issuer: cfg.issuer.as_str().into(),
            audience: cfg.audience.iter().map(|a| Box::from(a.as_str())).collect(),
            keys,
            leeway: cfg.leeway.min(MAX_LEEWAY).as_secs(),
            tenant_claim: cfg.tenant_claim.as_deref().map(Box::from),
            roles_claim: cfg.roles_claim.as_str().into(),
            required_scopes: cfg.required_scopes.iter().map(|s| Box::from(s.as_str())).collect(),
            scope: cfg.required_scopes.join(" ").into(),
        })
    }

    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        unix_now: u64,
    ) -> Result<Arc<Principal>, AuthError> {
        let missing = || AuthError::Missing { scope: Arc::clone(&self.scope) };
        let token = credential::bearer(headers)?.ok_or_else(missing)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Invalid("token_too_long"));
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        let key = (self.generation, hash);
        let verified = match cache::get(&key) {
            Some(verified) => verified,
            None => self.verify(token)?,
        };
        let result = self.judge_times(&verified, unix_now);
        match result {
            Ok(()) => cache::put(key, verified.clone()),
            Err(_) => cache::forget(&key),
        }
        result?;
        if !self.required_scopes.iter().all(|scope| verified.principal.has_scope(scope)) {
            return Err(AuthError::InsufficientScope { scope: Arc::clone(&self.scope) });
        }
        Ok(verified.principal)
    }

    /// RFC 7519 sections 4.1.4 and 4.1.5, with the leeway they allow.
    fn judge_times(&self, verified: &Verified, unix_now: u64) -> Result<(), AuthError> {
        if unix_now >= verified.expires.saturating_add(self.leeway) {
            return Err(AuthError::Invalid("expired"));
        }
        if unix_now.saturating_add(self.leeway) < verified.not_before {
            return Err(AuthError::Invalid("not_yet_valid"));
        }
        Ok(())
    }

    /// Everything that does not depend on the time.
    fn verify(&self, token: &[u8]) -> Result<Verified, AuthError> {
        let malformed = || AuthError::Invalid("malformed");
        let token = std::str::from_utf8(token).map_err(|_| malformed())?;
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
        if payload.contains('.') {
            return Err(malformed());
        }
        let header: JoseHeader = parse(header).ok_or_else(malformed)?;
        if header.crit.is_some() {
            return Err(AuthError::Invalid("unknown_critical_header"));
        }
        self.check_signature(&header, message, signature)?;
        let claims: Claims = parse(payload).ok_or_else(malformed)?;
        self.judge_claims(&claims)
    }

    fn check_signature(&self, header: &JoseHeader, message: &str, signature: &str) -> Result<(), AuthError> {
        let mut candidates =
            self.keys.iter().filter(|key| key.serves(&header.alg, header.kid.as_deref())).peekable();
        if candidates.peek().is_none() {
            return Err(AuthError::Invalid("no_key_for_token"));
        }
        let good = candidates.any(|key| key.verifies(message.as_bytes(), signature));
        if good { Ok(()) } else { Err(AuthError::Invalid("bad_signature")) }
    }

    fn judge_claims(&self, claims: &Claims) -> Result<Verified, AuthError> {
        if claims.iss.as_deref() != Some(&*self.issuer) {
            return Err(AuthError::Invalid("wrong_issuer"));
        }
        let ours = |aud: &str| self.audience.iter().any(|own| &**own == aud);
        if !claims.aud.as_ref().is_some_and(|aud| aud.iter().any(ours)) {
            return Err(AuthError::Invalid("wrong_audience"));
        }
        let bad_time = AuthError::Invalid("bad_time");
        let expires = claims.exp.ok_or(AuthError::Invalid("no_expiry"))?.seconds().ok_or(bad_time.clone())?;
        let not_before = match claims.nbf {
            Some(nbf) => NumericDate::seconds(nbf).ok_or(bad_time)?,
            None => 0,
        };
        let subject = claims.sub.as_deref().ok_or(AuthError::Invalid("no_subject"))?;
        let tenant = match &self.tenant_claim {
            None => None,
            // A configured claim that is absent, or is no text, must not become "no tenant".
            Some(name) => Some(tenant(claims, name).ok_or(AuthError::Invalid("no_tenant"))?),
        };
        let roles = claims.roles(&self.roles_claim).map_err(|_| AuthError::Invalid("bad_roles"))?;
        let principal = Principal::new(&self.issuer, subject, tenant, claims.scopes())
            .map_err(|_| AuthError::Invalid("bad_subject"))?
            .with_roles(roles);
        Ok(Verified { principal: Arc::new(principal), expires, not_before })
    }
}

fn tenant<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    match name {
        "sub" => claims.sub.as_deref(),
        "iss" => claims.iss.as_deref(),
        _ => claims.rest.get(name)?.as_str(),
    }
}

fn parse<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}
