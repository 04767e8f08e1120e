//! What a caller is told, and why a configuration is refused.

use http::{HeaderValue, StatusCode};
use std::{io, path::PathBuf, sync::Arc};

/// Why a request is refused. The text never holds any part of a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No credential.
    #[error("no credential; send `Authorization: Bearer ...`")]
    Missing {
        /// Scopes that the route asks for, to be named to the client; empty = none.
        scope: Arc<str>,
    },
    /// More than one credential, or a header that cannot be read (RFC 6750 section 3.1, `invalid_request`).
    #[error("the credential cannot be read: {0}")]
    Malformed(&'static str),
    /// A credential that is not accepted (RFC 6750 section 3.1, `invalid_token`).
    #[error("the credential is not accepted: {0}")]
    Invalid(&'static str),
    /// A good credential without the scopes (RFC 6750 section 3.1, `insufficient_scope`).
    #[error("the credential lacks a scope; needed: {scope}")]
    InsufficientScope {
        /// All scopes that are needed, separated by spaces.
        scope: Arc<str>,
    },
}

impl AuthError {
    /// 400, 401 or 403.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Missing { .. } | Self::Invalid(_) => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope { .. } => StatusCode::FORBIDDEN,
        }
    }

    /// One word for access records.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "no_credential",
            Self::Malformed(_) => "bad_credential",
            Self::Invalid(why) => why,
            Self::InsufficientScope { .. } => "insufficient_scope",
        }
    }

    /// Value of `WWW-Authenticate` (RFC 6750 section 3); `resource_metadata` is the URL of RFC 9728 section 5.1.
    ///
    /// A request without any credential gets no error code, as RFC 6750 section 3.1 says.
    pub fn www_authenticate(&self, resource_metadata: Option<&str>) -> HeaderValue {
        let mut text = String::from("Bearer");
        let mut separator = ' ';
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push(separator);
                separator = ',';
                text.push_str(name);
                text.push_str("=\"");
                text.extend(value.chars().filter(|c| (' '..='~').contains(c) && *c != '"' && *c != '\\'));
                text.push('"');
            }
        };
        match self {
            Self::Missing { scope } => add("scope", scope),
            Self::Malformed(why) => {
                add("error", "invalid_request");
                add("error_description", why);
            }
            Self::Invalid(why) => {
                add("error", "invalid_token");
                add("error_description", why);
            }
            Self::InsufficientScope { scope } => {
                add("error", "insufficient_scope");
                add("scope", scope);
            }
        }
        add("resource_metadata", resource_metadata.unwrap_or_default());
        // Only printable ASCII was added, so this is always a header value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

/// Why a configuration of `auth` cannot be used. Says which key; never shows a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No keys at all: everybody would be refused, which nobody means.
    #[error("auth: `{0}` needs at least one key; add one, or use `type: none`")]
    NoKeys(&'static str),
    /// No audience: any token of the issuer would be accepted, whatever it is for.
    #[error("auth.jwt.audience: at least one audience is needed")]
    NoAudience,
    /// A name that no principal can have.
    #[error("auth: {0}")]
    Principal(#[from] crate::BadPrincipal),
    /// A key that is too short to be a secret.
    #[error("auth: key {key} is too short: {bytes} bytes, at least {least} are needed; make a random one")]
    Short {
        /// Which one.
        key: String,
        /// Its length.
        bytes: usize,
        /// Least length.
        least: usize,
    },
    /// The same API key for two principals.
    #[error("auth.api_key.keys: `{0}` and `{1}` have the same key; give each its own")]
    SameKey(String, String),
    /// `auth.api_key.header` is no header name.
    #[error("auth.api_key.header: `{0}` is not a header name; try `x-api-key`")]
    Header(String),
    /// A key file cannot be read.
    #[error("auth.jwt.keys: cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key that is not of the pinned algorithm.
    #[error("auth.jwt.keys: key {key} is not a public key for {algorithm}: {reason}")]
    Key {
        /// Which one.
        key: String,
        /// The algorithm.
        algorithm: &'static str,
        /// Why.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(error: &AuthError, metadata: Option<&str>) -> String {
        error.www_authenticate(metadata).to_str().unwrap().to_owned()
    }

    #[test]
    fn challenges_are_those_of_rfc_6750_and_9728() {
        let url = "https://g.example/.well-known/oauth-protected-resource/mcp/files";
        assert_eq!(challenge(&AuthError::Missing { scope: "".into() }, None), "Bearer");
        assert_eq!(
            challenge(&AuthError::Missing { scope: "mcp:read".into() }, Some(url)),
            format!("Bearer scope=\"mcp:read\",resource_metadata=\"{url}\"")
        );
        assert_eq!(
            challenge(&AuthError::Invalid("expired"), None),
            "Bearer error=\"invalid_token\",error_description=\"expired\""
        );
        assert_eq!(
            challenge(&AuthError::InsufficientScope { scope: "a b".into() }, None),
            "Bearer error=\"insufficient_scope\",scope=\"a b\""
        );
    }

    #[test]
    fn a_challenge_cannot_be_broken_by_what_is_put_into_it() {
        let text = challenge(&AuthError::Missing { scope: "a\"b\r\nc\\".into() }, Some("x\ny"));
        assert_eq!(text, "Bearer scope=\"abc\",resource_metadata=\"xy\"");
    }

    #[test]
    fn statuses() {
        assert_eq!(AuthError::Missing { scope: "".into() }.status(), 401);
        assert_eq!(AuthError::Malformed("x").status(), 400);
        assert_eq!(AuthError::Invalid("x").status(), 401);
        assert_eq!(AuthError::InsufficientScope { scope: "x".into() }.status(), 403);
    }
}
