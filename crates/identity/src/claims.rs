//! Header and claims of a token, as far as they are read. A member that occurs twice is an error (RFC 7519 section 4
//! allows that), so nobody else can read another value than we did.

use serde::Deserialize;
use serde_json::Value;

/// JOSE header (RFC 7515 section 4). `jku`, `jwk`, `x5u` and `x5c` are not read: keys come from the configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct JoseHeader {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    /// Extensions that must be understood: none is, so its presence refuses the token (RFC 7515 section 4.1.11).
    pub(crate) crit: Option<Value>,
}

/// Claims (RFC 7519 section 4.1).
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: Option<String>,
    pub(crate) sub: Option<String>,
    pub(crate) aud: Option<OneOrMany>,
    pub(crate) exp: Option<NumericDate>,
    pub(crate) nbf: Option<NumericDate>,
    /// RFC 8693 section 4.2: one text, separated by spaces.
    pub(crate) scope: Option<OneOrMany>,
    /// The same under other names.
    pub(crate) scp: Option<OneOrMany>,
    pub(crate) scopes: Option<OneOrMany>,
    /// Everything else, for the tenant and the roles.
    #[serde(flatten)]
    pub(crate) rest: serde_json::Map<String, Value>,
}

/// A claim that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), &[][..]),
            Self::Many(many) => (None, many.as_slice()),
        };
        one.into_iter().chain(many).map(String::as_str)
    }
}

/// Seconds since 1970, possibly with a fraction (RFC 7519 section 2).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct NumericDate(f64);

impl NumericDate {
    /// Whole seconds; `None` for what is no time of this era.
    pub(crate) fn seconds(self) -> Option<u64> {
        // 2^53: beyond it a double does not hold whole seconds any more.
        (self.0.is_finite() && self.0 >= 0.0 && self.0 < 9_007_199_254_740_992.0).then_some(self.0 as u64)
    }
}

impl Claims {
    pub(crate) fn scopes(&self) -> Vec<Box<str>> {
        let mut scopes: Vec<Box<str>> = [&self.scope, &self.scp, &self.scopes]
            .into_iter()
            .flatten()
            .flat_map(OneOrMany::iter)
            .flat_map(str::split_ascii_whitespace)
            .map(Box::from)
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// The roles that the claim `name` lists; none without it. `a.b` is `b` inside `a`, unless a claim has this very name. `Err` if the
    /// claim is there and can be read neither as a text, which is one role, nor as a list of texts: a caller must not lose a role that
    /// something is denied to.
    pub(crate) fn roles(&self, name: &str) -> Result<Vec<Box<str>>, Unreadable> {
        // What is read for another purpose is not in the rest.
        let typed = match name {
            "scope" => self.scope.as_ref(),
            "scp" => self.scp.as_ref(),
            "scopes" => self.scopes.as_ref(),
            "aud" => self.aud.as_ref(),
            _ => None,
        };
        if let Some(typed) = typed {
            return Ok(typed.iter().map(Box::from).collect());
        }
        let value = self.rest.get(name).or_else(|| {
            let mut path = name.split('.');
            let first = self.rest.get(path.next()?)?;
            path.try_fold(first, |value, key| value.get(key))
        });
        let text = |value: &Value| value.as_str().map(Box::from).ok_or(Unreadable);
        match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(text).collect(),
            Some(one) => text(one).map(|role| vec![role]),
        }
    }
}
