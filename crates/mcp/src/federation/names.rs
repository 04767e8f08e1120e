//! Names of tools and prompts at the merged endpoint: the member's name, a separator, its own name for the thing.

use std::borrow::Cow;

/// How names are joined and split. Reversible, because a member's name neither holds nor ends like the separator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    separator: Box<str>,
    bytes_max: usize,
}

/// Names that could not be told apart again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member name '{member}' cannot be told from the separator '{separator}' that follows it")]
pub struct Ambiguous {
    member: String,
    separator: String,
}

impl Names {
    /// Joins with `separator`; joined names are at most `bytes_max` bytes long, which is what clients hand to a model.
    pub fn new(separator: &str, bytes_max: usize) -> Self {
        Self { separator: separator.into(), bytes_max }
    }

    /// Whether every joined name of `member` splits into the same two parts again: the first separator in it must be ours.
    pub fn check(&self, member: &str) -> Result<(), Ambiguous> {
        let joined = [member, &*self.separator].concat();
        if joined.find(&*self.separator) == Some(member.len()) {
            return Ok(());
        }
        Err(Ambiguous { member: member.to_owned(), separator: self.separator.clone().into() })
    }

    /// The name at the merged endpoint; None if it would be too long to be called.
    pub fn join(&self, member: &str, name: &str) -> Option<String> {
        let joined = [member, &*self.separator, name].concat();
        (joined.len() <= self.bytes_max).then_some(joined)
    }

    /// The member, and its own name for the thing. The first separator counts: names of members have none.
    pub fn split<'n>(&self, joined: &'n str) -> Option<(&'n str, &'n str)> {
        joined.split_once(&*self.separator)
    }
}

/// What a wrapped URI begins with.
const SCHEME: &str = "holdfast://";

/// A URI, or URI template, of `member` that is not its alone. What stands behind the member's name is the original as it is, so a
/// template expands inside the wrapping as it does outside.
pub fn wrap_uri(member: &str, original: &str) -> String {
    [SCHEME, member, "/", original].concat()
}

/// The member and the original of a URI that [`wrap_uri`] made.
pub fn unwrap_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(SCHEME)?.split_once('/')
}

/// The URI under which the merged endpoint shows `original` of `member`: its own, unless `taken` by an earlier member or itself in the
/// form of a wrapped one.
pub fn shown_uri<'u>(member: &str, original: &'u str, taken: bool) -> Cow<'u, str> {
    if taken || original.starts_with(SCHEME) {
        Cow::Owned(wrap_uri(member, original))
    } else {
        Cow::Borrowed(original)
    }
}

/// What a URI must begin with to be an expansion of the template: its text before the first expression (RFC 6570).
pub fn literal_prefix(template: &str) -> &str {
    template.split('{').next().unwrap_or(template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_comes_apart_as_it_was_joined(member in "[A-Za-z0-9_-]{1,20}", name in "\\PC{0,30}") {
            let names = Names::new("__", 200);
            if names.check(&member).is_ok() {
                let joined = names.join(&member, &name).unwrap();
                prop_assert_eq!(names.split(&joined), Some((&*member, &*name)));
            }
        }

        #[test]
        fn a_uri_comes_back_whole(member in "[A-Za-z0-9_-]{1,20}", uri in "\\PC{0,60}", taken: bool) {
            let shown = shown_uri(&member, &uri, taken);
            let found = unwrap_uri(&shown).unwrap_or((&*member, &*shown));
            prop_assert_eq!(found, (&*member, &*uri));
        }
    }

    #[test]
    fn a_member_that_looks_like_the_separator_is_refused() {
        let names = Names::new("__", 64);
        for member in ["a", "a_b", "_a", "-"] {
            assert_eq!(names.check(member), Ok(()), "{member}");
        }
        for member in ["a__b", "a_", "__", "_"] {
            assert!(names.check(member).is_err(), "{member}");
        }
    }

    #[test]
    fn a_name_that_could_not_be_called_is_not_shown() {
        let names = Names::new("__", 8);
        assert_eq!(names.join("abc", "def"), Some("abc__def".to_owned()));
        assert_eq!(names.join("abc", "defg"), None);
    }

    #[test]
    fn a_template_is_known_by_its_beginning() {
        assert_eq!(literal_prefix("file:///{path}/x"), "file:///");
        assert_eq!(literal_prefix("{+all}"), "");
        assert_eq!(literal_prefix("note:plain"), "note:plain");
    }
}
