//! Which route a path belongs to: the longest prefix of whole segments wins.
//!
//! Looking up allocates nothing and takes one pass over the prefixes, longest first; a table is small, and comparing
//! bytes is cheaper than hashing them.

use crate::path::{EscapedSlash, has_escaped_slash, prefix_len_as};

/// Values by path prefix.
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    /// Longest first.
    routes: Vec<(Box<str>, T)>,
}

/// Two routes have the same prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicatePrefix(pub Box<str>);

impl<T> RouteTable<T> {
    /// A table of these prefixes. A slash at the end of one means nothing.
    pub fn new(routes: impl IntoIterator<Item = (String, T)>) -> Result<Self, DuplicatePrefix> {
        let mut routes: Vec<(Box<str>, T)> = routes
            .into_iter()
            .map(|(prefix, value)| (Box::from(prefix.trim_end_matches('/')), value))
            .collect();
        routes.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        if let Some(pair) = routes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(DuplicatePrefix(if pair[0].0.is_empty() { "/".into() } else { pair[0].0.clone() }));
        }
        Ok(Self { routes })
    }

    /// The value of the longest prefix of `path`. None if that depends on how an escaped slash is read: the upstream
    /// might read it in the other way, and be reached by the wrong rules.
    pub fn find(&self, path: &str) -> Option<&T> {
        let found = self.position(path, EscapedSlash::Data)?;
        if has_escaped_slash(path) && self.position(path, EscapedSlash::Separator) != Some(found) {
            return None;
        }
        self.routes.get(found).map(|(_, value)| value)
    }

    fn position(&self, path: &str, slash: EscapedSlash) -> Option<usize> {
        self.routes.iter().position(|(prefix, _)| prefix_len_as(path, prefix, slash).is_some())
    }

    /// Every value, longest prefix first.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|(_, value)| value)
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(prefixes: &[&str]) -> RouteTable<String> {
        RouteTable::new(prefixes.iter().map(|p| ((*p).to_owned(), (*p).to_owned()))).unwrap()
    }

    #[test]
    fn the_longest_prefix_wins_in_any_order() {
        for prefixes in [["/", "/a", "/a/b", "/b"], ["/b", "/a/b", "/a", "/"]] {
            let table = table(&prefixes);
            for (path, found) in [
                ("/a/b/c", "/a/b"),
                ("/a/bc", "/a"),
                ("/a", "/a"),
                ("/c", "/"),
                ("/b/a", "/b"),
                ("/%61/b", "/a/b"),
            ] {
                assert_eq!(table.find(path).map(String::as_str), Some(found), "{path}");
            }
            assert_eq!(table.find("*"), None);
        }
    }

    #[test]
    fn a_path_whose_route_depends_on_an_escaped_slash_has_none() {
        let table = table(&["/", "/admin", "/admin/keys"]);
        for path in ["/admin%2fx", "/%2fadmin", "/admin%2Fkeys", "/admin/keys%5cx", "/admin\\x", "/admin%2f"]
        {
            assert_eq!(table.find(path), None, "{path}");
        }
        for (path, found) in
            [("/x%2fadmin", "/"), ("/admin/a%2fb", "/admin"), ("/x%5cy", "/"), ("/a%252fb", "/")]
        {
            assert_eq!(table.find(path).map(String::as_str), Some(found), "{path}");
        }
    }

    #[test]
    fn without_a_root_route_a_path_may_have_none() {
        assert_eq!(table(&["/a"]).find("/ab"), None);
        assert_eq!(RouteTable::<u8>::default().find("/"), None);
    }

    #[test]
    fn the_same_prefix_twice_is_an_error() {
        let error = RouteTable::new([("/a".to_owned(), 1), ("/a/".to_owned(), 2)]).unwrap_err();
        assert_eq!(&*error.0, "/a");
        assert_eq!(&*RouteTable::new([("/".to_owned(), 1), (String::new(), 2)]).unwrap_err().0, "/");
    }
}
