//! Who calls.

use aws_lc_rs::digest::{Context, SHA256};
use std::sync::{Arc, OnceLock};

/// Longest issuer, subject or tenant.
pub(crate) const MAX_NAME_BYTES: usize = 1024;

/// Who calls, as the route's rules see it. Holds names and scopes, never a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    issuer: Arc<str>,
    subject: Arc<str>,
    tenant: Option<Arc<str>>,
    scopes: Arc<[Box<str>]>,
    roles: Arc<[Box<str>]>,
    /// Of the three names, which never change: asked on every MCP request.
    binding: [u8; 32],
}

/// A name that no principal may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is empty or longer than {MAX_NAME_BYTES} bytes")]
pub struct BadPrincipal {
    /// `issuer`, `subject` or `tenant`.
    pub field: &'static str,
}

impl Principal {
    /// A principal with these names and scopes.
    pub fn new(
        issuer: &str,
        subject: &str,
        tenant: Option<&str>,
        scopes: Vec<Box<str>>,
    ) -> Result<Self, BadPrincipal> {
        for (field, name) in [("issuer", Some(issuer)), ("subject", Some(subject)), ("tenant", tenant)] {
            if name.is_some_and(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
                return Err(BadPrincipal { field });
            }
        }
        Ok(Self::named(issuer, subject, tenant, scopes))
    }

    fn named(issuer: &str, subject: &str, tenant: Option<&str>, scopes: Vec<Box<str>>) -> Self {
        Self {
            binding: binding([Some(issuer), Some(subject), tenant]),
            issuer: issuer.into(),
            subject: subject.into(),
            tenant: tenant.map(Arc::from),
            scopes: scopes.into(),
            roles: Arc::from([]),
        }
    }

    /// The same principal in these roles.
    #[must_use]
    pub fn with_roles(mut self, roles: Vec<Box<str>>) -> Self {
        self.roles = roles.into();
        self
    }

    /// Everyone, where nobody has to say who they are.
    pub fn anonymous() -> Arc<Self> {
        static ANONYMOUS: OnceLock<Arc<Principal>> = OnceLock::new();
        Arc::clone(
            ANONYMOUS.get_or_init(|| Arc::new(Self::named("anonymous", "anonymous", None, Vec::new()))),
        )
    }

    /// Whether this is [`Principal::anonymous`].
    pub fn is_anonymous(&self) -> bool {
        &*self.issuer == "anonymous"
    }

    /// Whether the principal has a scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|have| &**have == scope)
    }

    /// Who vouches: the token's `iss`, `api_key`, or `anonymous`.
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// Who it is, unique within the issuer.
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// Tenant, if one is named.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// What the caller may do.
    pub fn scopes(&self) -> &[Box<str>] {
        &self.scopes
    }

    /// Whether the principal has a role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|have| &**have == role)
    }

    /// What the caller is.
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// SHA-256 over issuer, subject and tenant: what a session is bound to. Scopes and roles are not part of it, since they are
    /// judged anew on each request.
    pub fn binding(&self) -> [u8; 32] {
        self.binding
    }
}

fn binding(names: [Option<&str>; 3]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    // Each part with its length in front, so that no two different triples give the same bytes.
    for part in names {
        match part {
            Some(name) => {
                context.update(&(name.len() as u64 + 1).to_be_bytes());
                context.update(name.as_bytes());
            }
            None => context.update(&0u64.to_be_bytes()),
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(issuer: &str, subject: &str, tenant: Option<&str>) -> Principal {
        Principal::new(issuer, subject, tenant, Vec::new()).unwrap()
    }

    #[test]
    fn bindings_differ_whenever_a_name_does() {
        let all = [
            principal("a", "bc", None),
            principal("ab", "c", None),
            principal("a", "b", Some("c")),
            principal("a", "bc", Some("x")),
        ];
        for (n, one) in all.iter().enumerate() {
            for other in &all[n + 1..] {
                assert_ne!(one.binding(), other.binding(), "{one:?} {other:?}");
            }
            assert_eq!(one.binding(), one.clone().binding());
        }
    }

    #[test]
    fn scopes_and_roles_are_no_part_of_the_binding() {
        let mut other = principal("a", "b", None).with_roles(vec!["admin".into()]);
        other.scopes = Arc::from([Box::from("admin")]);
        assert!(other.has_role("admin") && other.has_scope("admin") && !other.has_role("adm"));
        assert_eq!(other.binding(), principal("a", "b", None).binding());
    }

    #[test]
    fn a_name_must_be_there_and_short() {
        assert!(Principal::new("i", "", None, Vec::new()).is_err());
        assert!(Principal::new("", "s", None, Vec::new()).is_err());
        assert!(Principal::new("i", "s", Some(""), Vec::new()).is_err());
        assert!(Principal::new("i", &"s".repeat(1025), None, Vec::new()).is_err());
    }
}
