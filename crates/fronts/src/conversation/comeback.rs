//! What a client says of its session when it opens a connection: whether it will come back to it over another one, and whether this is
//! that other one (decision 0021).

use holdfast_edge::unshared_value;
use holdfast_mcp::headers::{PROTOCOL_VERSION, SESSION_ID};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Says and acknowledges that a session may outlive its connection.
const RESUME: HeaderName = HeaderName::from_static("holdfast-resume");
/// A boolean of RFC 8941 section 3.3.6.
const YES: HeaderValue = HeaderValue::from_static("?1");

/// How a session goes on beyond its connection.
#[derive(Clone, Default)]
pub struct Comeback {
    wanted: bool,
    /// In a box: few have one.
    from: Option<Box<Named>>,
}

/// The session that a connection goes on with.
#[derive(Clone)]
struct Named {
    session: HeaderValue,
    version: Option<HeaderValue>,
}

impl Comeback {
    /// What the headers of an upgrade say. Copies of its own: they are kept as long as the connection.
    pub fn of(headers: &HeaderMap) -> Self {
        let own = |name: HeaderName| headers.get(name).map(unshared_value);
        let from = own(SESSION_ID).map(|session| Box::new(Named { session, version: own(PROTOCOL_VERSION) }));
        Self { wanted: from.is_some() || headers.get(RESUME).is_some_and(|value| value == YES), from }
    }

    /// Tells the client in the response of its upgrade.
    pub fn acknowledge(&self, response: &mut HeaderMap) {
        if self.wanted {
            response.insert(RESUME, YES);
        }
        if let Some(named) = &self.from {
            response.insert(SESSION_ID, named.session.clone());
        }
    }

    /// Whether the session stays when the connection breaks.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the connection goes on with a session.
    pub(super) fn is_return(&self) -> bool {
        self.from.is_some()
    }

    /// The session that the connection goes on with, and its version.
    pub(super) fn session(&self) -> (Option<HeaderValue>, Option<HeaderValue>) {
        match &self.from {
            Some(named) => (Some(named.session.clone()), named.version.clone()),
            None => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &str)]) -> (Comeback, Vec<String>) {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let (comeback, mut told) = (Comeback::of(&headers.collect()), HeaderMap::new());
        comeback.acknowledge(&mut told);
        let mut told: Vec<_> =
            told.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        told.sort();
        (comeback, told)
    }

    #[test]
    fn only_who_asks_is_told_and_kept() {
        for headers in [&[][..], &[("holdfast-resume", "?0")], &[("mcp-protocol-version", "2025-11-25")]] {
            let (comeback, told) = of(headers);
            assert!(!comeback.is_wanted() && !comeback.is_return() && told.is_empty(), "{headers:?}");
            assert_eq!(comeback.session(), (None, None));
        }
        let (comeback, told) = of(&[("holdfast-resume", "?1")]);
        assert!(comeback.is_wanted() && !comeback.is_return());
        assert_eq!(told, ["holdfast-resume: ?1"]);
    }

    #[test]
    fn who_names_a_session_goes_on_with_it() {
        let (comeback, told) = of(&[("mcp-session-id", "abc"), ("mcp-protocol-version", "2025-11-25")]);
        assert!(comeback.is_wanted() && comeback.is_return());
        assert_eq!(told, ["holdfast-resume: ?1", "mcp-session-id: abc"]);
        assert_eq!(
            comeback.session(),
            Some(HeaderValue::from_static("abc"))
                .zip(Some(HeaderValue::from_static("2025-11-25")))
                .map(|(a, b)| (Some(a), Some(b)))
                .unwrap()
        );
    }
}
