//! Who may call.

use crate::Secret;
use std::{path::PathBuf, time::Duration};

/// Root `auth`.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// Everyone is anonymous (default).
    None,
    /// Static keys.
    ApiKey(ApiKeys),
    /// JWT bearer tokens.
    Jwt(Jwt),
}

/// A route's `auth` (C10).
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAuth {
    /// Take the root's.
    Inherit,
    /// `false`: public.
    Public,
    /// Its own.
    Own(Auth),
}

/// Static API keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKeys {
    /// Header that carries the key besides `Authorization: Bearer`. Default `x-api-key`.
    pub header: String,
    /// Keys and who they are.
    pub keys: Vec<ApiKey>,
}

/// One static key.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Principal's subject.
    pub name: String,
    /// The key (`key`, or `key_env`). At least 16 bytes.
    pub key: Secret,
    /// Scopes of the principal.
    pub scopes: Vec<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Tenant. Default none.
    pub tenant: Option<String>,
}

/// JWT validation. Algorithms are pinned, `exp` is required.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// Required `iss`.
    pub issuer: String,
    /// Accepted `aud`, at least one.
    pub audience: Vec<String>,
    /// Keys; two or more allow rotation.
    pub keys: Vec<JwtKey>,
    /// Clock leeway. Default 60s, at most 300s.
    pub leeway: Duration,
    /// Claim that names the tenant. Default none.
    pub tenant_claim: Option<String>,
    /// Claim that lists the caller's roles. Default `roles`.
    pub roles_claim: String,
    /// Scopes every token must carry. Default none.
    pub required_scopes: Vec<String>,
}

/// A verification key.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtKey {
    /// `kid` to match; `None` matches any token.
    pub kid: Option<String>,
    /// Algorithm, one per key.
    pub algorithm: JwtAlgorithm,
    /// Where the key is.
    pub source: KeySource,
}

/// Pinned algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC SHA-256.
    Hs256,
    /// RSA PKCS#1 v1.5 SHA-256.
    Rs256,
    /// ECDSA P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Key material.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// The secret or PEM itself, from `secret_key`, `secret_key_env`, `public_key` or `public_key_env`.
    Inline(Secret),
    /// A file with it.
    File(PathBuf),
}

/// Sealed session tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Where what a token cannot hold is kept; `None` = in this replica's memory (`type: memory`).
    pub redis: Option<crate::Redis>,
    /// Absolute life of a session. Default 24h.
    pub absolute_ttl: Duration,
    /// Idle time after which a session ends. Default 1h.
    pub ttl: Duration,
    /// Key ring; the first seals, all open. Empty is an error for `serve` unless `ephemeral_key`.
    pub keys: Vec<SessionKey>,
    /// Make a key at start; sessions end with the process. Default false; `demo` and flag-only `serve` set it.
    pub ephemeral_key: bool,
    /// Events kept per stream for `Last-Event-ID`. Default 256.
    pub stream_events: usize,
    /// Bytes kept per stream. Default 256KiB.
    pub stream_bytes: crate::ByteSize,
    /// Bytes kept for all streams. Default 64MiB.
    pub stream_bytes_total: crate::ByteSize,
    /// How long a finished or abandoned stream can be resumed. Default 60s.
    pub stream_retention: Duration,
    /// Sessions remembered for re-bindings, revocations and last uses. Default 100000.
    pub max_entries: usize,
    /// Looks into the shared journal at once. Default 64.
    pub max_journal_reads: usize,
}

/// One key of the ring.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionKey {
    /// 1 to 16 characters of `A-Za-z0-9_-`.
    pub id: String,
    /// 32 bytes, base64 (`key` or `key_env`).
    pub key: Secret,
}
