//! The one door: a configuration of `auth` that turns headers into a principal.

use crate::{AuthError, BuildError, Principal, api_keys::ApiKeys, jwt::Jwt};
use holdfast_config as config;
use http::{HeaderMap, header::AUTHORIZATION};
use std::sync::Arc;

/// Turns the headers of a request into a [`Principal`]. Built with a snapshot: key files are read then, so a reload
/// picks up changed keys or is refused.
#[derive(Debug)]
pub struct Authenticator(Method);

#[derive(Debug)]
enum Method {
    None,
    ApiKeys(ApiKeys),
    Jwt(Box<Jwt>),
}

/// What a route's own `auth` means, given the root's.
pub fn effective<'a>(route: &'a config::RouteAuth, root: &'a config::Auth) -> &'a config::Auth {
    match route {
        config::RouteAuth::Inherit => root,
        config::RouteAuth::Public => &config::Auth::None,
        config::RouteAuth::Own(own) => own,
    }
}

impl Authenticator {
    /// Reads the keys and checks them.
    pub fn build(cfg: &config::Auth) -> Result<Self, BuildError> {
        Ok(Self(match cfg {
            config::Auth::None => Method::None,
            config::Auth::ApiKey(keys) => Method::ApiKeys(ApiKeys::build(keys)?),
            config::Auth::Jwt(jwt) => Method::Jwt(Box::new(Jwt::build(jwt)?)),
        }))
    }

    /// Whether a caller must say who it is.
    pub fn is_required(&self) -> bool {
        !matches!(self.0, Method::None)
    }

    /// Who sent these headers, at `unix_now` seconds since 1970. Local and without I/O.
    pub fn authenticate(&self, headers: &HeaderMap, unix_now: u64) -> Result<Arc<Principal>, AuthError> {
        match &self.0 {
            Method::None => Ok(Principal::anonymous()),
            Method::ApiKeys(keys) => keys.authenticate(headers),
            Method::Jwt(jwt) => jwt.authenticate(headers, unix_now),
        }
    }

    /// Removes the credential that [`Authenticator::authenticate`] accepted from these headers, and nothing else.
    pub fn strip(&self, headers: &mut HeaderMap) {
        match &self.0 {
            Method::None => {}
            Method::ApiKeys(keys) => keys.strip(headers),
            Method::Jwt(_) => drop(headers.remove(AUTHORIZATION)),
        }
    }
}
