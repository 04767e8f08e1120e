//! Paths: segment-aware prefixes, and paths that two readers would read differently.
//!
//! A route is a rule about who may reach what. It holds only if the upstream reads the path as the table did; so
//! prefixes are compared in the normal form of RFC 3986 section 6.2.2 (escapes of ordinary characters decoded, repeated
//! slashes as one), and a path whose meaning hangs on the removal of dot segments is refused. An escaped slash is data
//! (RFC 3986 section 2.2); since some servers read it as a separator, a path whose route depends on that has none. The
//! path itself is passed on as it came.

/// A path with `.` or `..` as a segment, plain or escaped. Clients resolve those before they send (RFC 3986 section
/// 5.2.4); one that is left is an attempt to be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousPath;

/// Refuses a path with dot segments. An escaped slash or a backslash counts as a separator, since some servers take it
/// for one.
pub fn check_path(path: &str) -> Result<(), AmbiguousPath> {
    let bytes = path.as_bytes();
    // The usual path has none of these, or only a dot inside a name.
    if !bytes.iter().any(|b| matches!(b, b'.' | b'%')) {
        return Ok(());
    }
    let mut segment = Dots::default();
    let mut at = 0;
    while at < bytes.len() {
        let (byte, length) = decoded(bytes, at);
        if matches!(byte, b'/' | b'\\') {
            segment.finish()?;
            segment = Dots::default();
        } else {
            segment.push(byte);
        }
        at += length;
    }
    segment.finish()
}

/// Counts the dots of a segment that has nothing else.
#[derive(Default)]
struct Dots {
    count: u8,
    other: bool,
    parameters: bool,
}

impl Dots {
    fn push(&mut self, byte: u8) {
        match byte {
            // `..;x=y`: some servers cut path parameters before they resolve dots.
            b';' => self.parameters = true,
            _ if self.parameters => {}
            b'.' => self.count = self.count.saturating_add(1),
            _ => self.other = true,
        }
    }

    fn finish(&self) -> Result<(), AmbiguousPath> {
        if !self.other && matches!(self.count, 1 | 2) { Err(AmbiguousPath) } else { Ok(()) }
    }
}

/// Length of the part of `path` that `prefix` matches, as whole segments; `None` if it does not.
///
/// `prefix` is in normal form: it begins with `/`, has no escapes, and no slash at its end but for `/` itself. The rest
/// of the path, from the returned length on, is empty or begins with a slash.
pub fn prefix_len(path: &str, prefix: &str) -> Option<usize> {
    prefix_len_as(path, prefix, EscapedSlash::Data)
}

/// How an escaped slash, or a backslash, is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EscapedSlash {
    /// As the standard says.
    Data,
    /// As some servers do.
    Separator,
}

/// Whether the two readings of [`EscapedSlash`] may differ.
pub(crate) fn has_escaped_slash(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().any(|b| matches!(b, b'%' | b'\\'))
        && (0..bytes.len()).any(|at| matches!(decoded(bytes, at), (b'/', 3) | (b'\\', _)))
}

/// [`prefix_len`] in one of the readings.
pub(crate) fn prefix_len_as(path: &str, prefix: &str, slash: EscapedSlash) -> Option<usize> {
    let (path, prefix) = (path.as_bytes(), prefix.trim_end_matches('/').as_bytes());
    if path.first() != Some(&b'/') {
        return None;
    }
    // The usual case: equal bytes up to a boundary.
    if path.starts_with(prefix) && matches!(path.get(prefix.len()), None | Some(b'/')) {
        return Some(prefix.len());
    }
    slow_prefix_len(path, prefix, slash)
}

/// The same in the normal form of the path.
fn slow_prefix_len(path: &[u8], prefix: &[u8], slash: EscapedSlash) -> Option<usize> {
    // Length of the separator at a position; 0 = there is none.
    let separator = |at: usize| match (decoded(path, at), slash) {
        ((b'/', 1), _) => 1,
        ((b'/' | b'\\', length), EscapedSlash::Separator) => length,
        _ => 0,
    };
    let mut at = 0;
    for expected in prefix {
        if *expected == b'/' {
            let from = at;
            while at < path.len() && separator(at) > 0 {
                at += separator(at);
            }
            if at == from {
                return None;
            }
        } else {
            let (byte, length) = decoded(path, at);
            if byte != *expected || at >= path.len() || byte == b'/' {
                return None;
            }
            at += length;
        }
    }
    (at >= path.len() || separator(at) > 0).then_some(at)
}

/// The byte at `at` and how many bytes of the path it takes.
fn decoded(path: &[u8], at: usize) -> (u8, usize) {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    match path.get(at) {
        Some(b'%') => match (hex(path.get(at + 1)), hex(path.get(at + 2))) {
            (Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            _ => (b'%', 1),
        },
        Some(byte) => (*byte, 1),
        None => (0, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prefix_matches_whole_segments_only() {
        for (path, prefix, len) in [
            ("/api", "/api", Some(4)),
            ("/api/", "/api", Some(4)),
            ("/api/x", "/api", Some(4)),
            ("/api/x", "/api/", Some(4)),
            ("/apiX", "/api", None),
            ("/products2/y", "/products", None),
            ("/ap", "/api", None),
            ("/x", "/", Some(0)),
            ("/", "/", Some(0)),
            ("*", "/", None),
            ("", "/", None),
        ] {
            assert_eq!(prefix_len(path, prefix), len, "{path} {prefix}");
        }
    }

    #[test]
    fn a_path_in_disguise_meets_the_same_route() {
        for path in ["/%61dmin/x", "//admin/x", "/admin//x", "/%61%64%6d%69%6E/x", "///%61dmin/x"] {
            let len = prefix_len(path, "/admin").unwrap();
            assert!(path[len..].starts_with('/') && path[len..].ends_with("/x"), "{path} {len}");
        }
        assert_eq!(prefix_len("/a//b/c", "/a/b"), Some(5));
        assert_eq!(prefix_len("/%2fadmin", "/admin"), None);
        assert_eq!(prefix_len("/admin%2fx", "/admin"), None);
    }

    #[test]
    fn dot_segments_are_refused_in_every_writing() {
        for path in [
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/.",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a/..\\b",
            "/a%5c..%5cb",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/..",
            "/%2e",
        ] {
            assert_eq!(check_path(path), Err(AmbiguousPath), "{path}");
        }
        for path in [
            "/",
            "/a.b",
            "/.well-known/x",
            "/...",
            "/a/..b",
            "/a/b..",
            "/a%20b",
            "/a%2fb",
            "/%",
            "/a;v=../b",
            "/a%2",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    /// The straightforward way: write the normal form down and compare.
    fn reference(path: &str, prefix: &str) -> bool {
        let mut normal = String::new();
        let bytes = path.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (byte, length) = decoded(bytes, at);
            let raw_slash = byte == b'/' && length == 1;
            if length == 3 && matches!(byte, b'/' | b'%') {
                normal.push('\u{0}');
            } else if !(raw_slash && normal.ends_with('/')) {
                normal.push(char::from(byte));
            }
            at += length;
        }
        let prefix = prefix.trim_end_matches('/');
        normal.starts_with('/')
            && normal.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    proptest! {
        #[test]
        fn the_scan_agrees_with_the_normal_form(path in "/(a|b|/|%61|%2f|\\.|%){0,8}", prefix in "(/[ab]{1,2}){0,3}") {
            let prefix = if prefix.is_empty() { "/".to_owned() } else { prefix };
            // A `%2f` inside is data for both; only a raw slash separates.
            prop_assert_eq!(prefix_len(&path, &prefix).is_some(), reference(&path, &prefix), "{} {}", path, prefix);
        }

        #[test]
        fn nothing_panics_and_the_rest_is_at_a_boundary(path in ".{0,40}", prefix in "/[a-z/]{0,8}") {
            let _ = check_path(&path);
            if let Some(len) = prefix_len(&path, &prefix) {
                prop_assert!(path.is_char_boundary(len));
                let rest = &path[len..];
                prop_assert!(rest.is_empty() || rest.starts_with('/'));
            }
        }
    }
}
