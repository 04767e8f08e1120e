//! Who calls: a credential becomes a [`Principal`], locally and without I/O.
//!
//! Everything fails closed: a snapshot whose keys are missing, empty, too short or of the wrong kind is not built, and
//! a request whose credential is absent, doubled or bad in any way is refused. The credential that authenticated here
//! is removed before the request goes on ([`Authenticator::strip`]).

mod api_keys;
mod authenticator;
mod cache;
mod claims;
mod credential;
mod error;
mod jwt;
mod principal;
mod verification_key;

pub use authenticator::{Authenticator, effective};
pub use cache::MAX_CACHED_TOKENS;
pub use error::{AuthError, BuildError};
pub use jwt::MAX_TOKEN_BYTES;
pub use principal::{BadPrincipal, Principal};
