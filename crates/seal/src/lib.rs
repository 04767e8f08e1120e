//! Sealed tokens: state that a client carries for the gateway, or a store keeps for it, and neither can read nor change.
//!
//! `v1.<key id>.<base64url>`, visible ASCII only, so that a token fits a header, a cursor, a `requestState` or an SSE
//! id. AES-256-GCM-SIV under a subkey of its own per purpose (HKDF-SHA-256); the header, the purpose and the caller's
//! context are authenticated with it, so a token made for one use, server or principal opens for no other. The choice
//! is argued in `docs/decisions/0006-sealed-tokens.md`. What a store keeps has the same cipher in a binary form: [`KeyRing::seal_value`].

mod base64url;
mod value;

#[cfg(test)]
mod tests;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64url::BASE64_URL;

const FORMAT: &str = "v1";
const SALT: &[u8] = b"holdfast sealed token v1";
const TAG_LEN: usize = 16;
const EXPIRY_LEN: usize = 8;
/// Clocks of replicas may differ by this much: a token opens for so long after its end.
pub const LEEWAY_SECONDS: u64 = 60;
/// Longest key id.
const KEY_ID_MAX: usize = 16;
/// Longest token that is looked at: a `requestState` may hold what a server put into it.
const TOKEN_BYTES_MAX: usize = 1 << 20;

/// What a token is for. Each has its own subkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `Mcp-Session-Id`
    Session,
    /// Pagination cursors
    Cursor,
    /// `requestState`
    RequestState,
    /// Task ids
    Task,
    /// SSE event ids
    EventId,
    /// Handles between gateways
    Peer,
    /// Values in a shared store
    Store,
    /// Names of HTTP+SSE streams
    Conversation,
}

impl Purpose {
    const ALL: [Self; 8] = [
        Self::Session,
        Self::Cursor,
        Self::RequestState,
        Self::Task,
        Self::EventId,
        Self::Peer,
        Self::Store,
        Self::Conversation,
    ];

    /// Name in the key derivation and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Cursor => "cursor",
            Self::RequestState => "request_state",
            Self::Task => "task",
            Self::EventId => "event_id",
            Self::Peer => "peer",
            Self::Store => "store",
            Self::Conversation => "conversation",
        }
    }
}

/// The keys of this gateway. The first seals, all open, so keys can be handed out before they are used and kept after.
pub struct KeyRing {
    keys: Vec<Key>,
}

struct Key {
    id: Box<str>,
    /// One for each purpose, in the order of `Purpose::ALL`.
    subkeys: Vec<LessSafeKey>,
}

impl KeyRing {
    /// A ring of (id, 32 bytes). Ids are 1 to 16 characters of `A-Za-z0-9_-`, each once.
    pub fn new<'k>(keys: impl IntoIterator<Item = (&'k str, [u8; 32])>) -> Result<Self, KeyRingError> {
        let mut ring = Self { keys: Vec::new() };
        for (id, secret) in keys {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if id.is_empty() || id.len() > KEY_ID_MAX || !id.bytes().all(allowed) {
                return Err(KeyRingError::Id(id.to_owned()));
            }
            if ring.find(id).is_some() {
                return Err(KeyRingError::Twice(id.to_owned()));
            }
            ring.keys.push(Key { id: id.into(), subkeys: subkeys(&secret)? });
        }
        if ring.keys.is_empty() { Err(KeyRingError::Empty) } else { Ok(ring) }
    }

    /// A ring of (id, base64 of 32 bytes, standard or URL-safe alphabet), as in `sessions.keys`.
    pub fn from_base64<'k>(keys: impl IntoIterator<Item = (&'k str, &'k str)>) -> Result<Self, KeyRingError> {
        let mut decoded = Vec::new();
        for (id, text) in keys {
            let text = text.trim();
            let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
            let secret = bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            decoded.push((id, secret.ok_or_else(|| KeyRingError::Secret(id.to_owned()))?));
        }
        Self::new(decoded)
    }

    /// A ring of one key that ends with the process, and with it everything that was sealed.
    pub fn ephemeral() -> Result<Self, KeyRingError> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| KeyRingError::Crypto)?;
        Self::new([("ephemeral", secret)])
    }

    /// Id of the key that seals.
    pub fn sealing_key_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// Longest payload whose token has at most `token_bytes` bytes.
    pub fn payload_max(&self, token_bytes: usize) -> usize {
        let text = token_bytes.saturating_sub(FORMAT.len() + self.sealing_key_id().len() + 2);
        // Four characters of base64 hold three bytes.
        (text / 4 * 3 + (text % 4).saturating_sub(1)).saturating_sub(NONCE_LEN + EXPIRY_LEN + TAG_LEN)
    }

    /// Seals a payload until `expires` (seconds since 1970). The same `context` is needed to open it.
    pub fn seal(
        &self,
        purpose: Purpose,
        context: &[u8],
        payload: &[u8],
        expires: u64,
    ) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError)?;
        let mut head = format!("{FORMAT}.{}.", key.id);
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + EXPIRY_LEN + payload.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&expires.to_be_bytes());
        sealed.extend_from_slice(payload);
        let (_, secret) = sealed.split_at_mut(NONCE_LEN);
        let aad = Aad::from(associated(head.as_bytes(), purpose, context));
        let tag = key.subkeys[purpose as usize]
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, secret)
            .map_err(|_| SealError)?;
        sealed.extend_from_slice(tag.as_ref());
        BASE64_URL.encode_string(&sealed, &mut head);
        Ok(head)
    }

    /// Opens a token: what [`seal`](Self::seal) was given. `now` in seconds since 1970; 60 s of leeway.
    pub fn open(&self, purpose: Purpose, context: &[u8], token: &str, now: u64) -> Result<Vec<u8>, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused("too_long"));
        }
        // Neither a key id nor base64 has a dot.
        let behind = token.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix('.'));
        let (id, text) = behind.and_then(|rest| rest.split_once('.')).ok_or(Refused("format"))?;
        let head = &token[..token.len() - text.len()];
        let key = self.find(id).ok_or(Refused("unknown_key"))?;
        let mut sealed = BASE64_URL.decode(text).map_err(|_| Refused("format"))?;
        let (nonce, secret) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(Refused("format"))?;
        let aad = Aad::from(associated(head.as_bytes(), purpose, context));
        let plain = key.subkeys[purpose as usize]
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, secret)
            .map_err(|_| Refused("tag"))?;
        let (expires, payload) = plain.split_first_chunk::<EXPIRY_LEN>().ok_or(Refused("format"))?;
        if now > u64::from_be_bytes(*expires).saturating_add(LEEWAY_SECONDS) {
            return Err(Refused("expired"));
        }
        Ok(payload.to_vec())
    }

    fn find(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| &*key.id == id)
    }
}

/// Shows key ids, never keys.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// RFC 5869; the expansion names format and purpose.
fn subkeys(secret: &[u8; 32]) -> Result<Vec<LessSafeKey>, KeyRingError> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
    let derive = |purpose: Purpose| {
        let info = [FORMAT.as_bytes(), b"/", purpose.as_str().as_bytes()];
        let okm = prk.expand(&info, &AES_256_GCM_SIV).map_err(|_| KeyRingError::Crypto)?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    };
    Purpose::ALL.into_iter().map(derive).collect()
}

/// Each part behind its length, so that no two lists of parts give the same bytes.
fn associated(head: &[u8], purpose: Purpose, context: &[u8]) -> Vec<u8> {
    let parts = [head, purpose.as_str().as_bytes(), context];
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// A token that does not open here. One error with one text for every cause, so that it tells nothing to whoever
/// probes; the cause is for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct Refused(&'static str);

impl Refused {
    /// Label for metrics. Never to be sent.
    pub fn reason(self) -> &'static str {
        self.0
    }

    /// For a token that opened and holds what its reader does not understand.
    pub const fn malformed() -> Self {
        Self("payload")
    }
}

/// The system's randomness or the cipher failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token could not be sealed")]
pub struct SealError;

/// Why a key ring cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// `sessions.keys` is empty
    #[error("sessions.keys is empty: give at least one key, or set sessions.ephemeral_key")]
    Empty,
    /// Bad id
    #[error("sessions.keys: the id `{0}` is not 1 to 16 characters of A-Za-z0-9_-")]
    Id(String),
    /// Repeated id
    #[error("sessions.keys: the id `{0}` occurs twice")]
    Twice(String),
    /// Bad secret
    #[error("sessions.keys: the key `{0}` is not 32 bytes in base64")]
    Secret(String),
    /// The cryptographic library failed
    #[error("the cryptographic library refused to make a key")]
    Crypto,
}
