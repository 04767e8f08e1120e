//! Names and URIs in rules: patterns, and the one way a URI may be written where a rule speaks of it.

/// Text in which `*` stands for any run of characters, the empty one and `/` included. Nothing else is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// As written.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches everything.
    pub fn is_any(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether `text` is of this form, all of it. Takes time linear in `text` for each `*`.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else { return false };
        // Without a star there is one part, and it has to be all of the text.
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The first place is as good as any later one: a star before the next part takes what is left between.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// Schemes whose hosts are compared without regard to case (WHATWG URL, "special schemes").
const SPECIAL: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];

/// Whether a URI is written in the one way that rules can judge. A server may read `file:///a/../b`, `FILE:///b`, `file:///%62` and
/// `file://localhost/b` all as `file:///b`; who compares text must not let through what another will read as something else. With
/// `template`, braces are taken as they come (RFC 6570).
pub fn is_plain_uri(uri: &str, template: bool) -> bool {
    let legal = |byte: u8| match byte {
        b'{' | b'}' => template,
        b'"' | b'<' | b'>' | b'\\' | b'`' | b'|' | b'^' => false,
        _ => (b'!'..=b'~').contains(&byte),
    };
    if !uri.bytes().all(legal) || !escapes_are_plain(uri.as_bytes()) {
        return false;
    }
    let (scheme, rest) = match uri.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ => ("", uri),
    };
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return false;
    }
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let folds = SPECIAL.contains(&scheme);
            // A file has no host: `localhost` and every other name of this one would be a second way to say so.
            let hosted = scheme != "file" || authority.is_empty();
            if !hosted
                || authority.contains('@')
                || (folds && authority.bytes().any(|b| b.is_ascii_uppercase()))
            {
                return false;
            }
            path
        }
        None if SPECIAL.contains(&scheme) => return false,
        None => rest,
    };
    // Behind `?` and `#` as well: not every server knows that a path ends there.
    let dots = |segment: &str| matches!(&*segment.replace(['?', '#'], ""), "." | "..");
    !path.contains("//") && !path.split('/').any(dots)
}

/// RFC 3986, 3.1; a pattern may have a `*` there.
fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-*".contains(&byte))
}

/// RFC 3986, 2.1 and 6.2.2: two upper-case hexadecimal digits, and only of what has no other way to be written. An escaped slash, an
/// escaped percent sign and an escaped control character are read in as many ways as there are readers.
fn escapes_are_plain(uri: &[u8]) -> bool {
    let digit = |byte: Option<&u8>| match byte {
        Some(digit @ b'0'..=b'9') => Some(digit - b'0'),
        Some(digit @ b'A'..=b'F') => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut at = 0;
    while let Some(found) = uri[at..].iter().position(|byte| *byte == b'%') {
        at += found;
        let (Some(high), Some(low)) = (digit(uri.get(at + 1)), digit(uri.get(at + 2))) else { return false };
        let byte = high << 4 | low;
        if byte.is_ascii_alphanumeric() || b"-._~/\\%".contains(&byte) || byte.is_ascii_control() {
            return false;
        }
        at += 3;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, as plainly as it can be said.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
            Some((first, rest)) => {
                text.split_first().is_some_and(|(have, text)| have == first && defined(rest, text))
            }
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_its_definition_says(pattern in "[ab*]{0,8}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Glob::new(&pattern).matches(&text), defined(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn what_is_plain_is_what_a_url_reader_makes_of_it(path in "(/[a-zA-Z0-9._~-]{1,5}){1,4}", case: bool) {
            let uri = format!("{}:///pub{path}", if case { "file" } else { "File" });
            let dotted = path.split('/').any(|segment| segment == "." || segment == "..");
            prop_assert_eq!(is_plain_uri(&uri, false), case && !dotted);
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_plain() {
        for plain in [
            "file:///a/b.txt",
            "file:///a%20b",
            "note://Owner/x",
            "db:users",
            "http://h:1/a?b=c%2",
            "https://h/a?x=1#y",
            "notes/1",
            "file:///%C3%A9",
            "file:///...",
            "file:///a..b",
        ] {
            assert_eq!(is_plain_uri(plain, false), plain != "http://h:1/a?b=c%2", "{plain}");
        }
        for other in [
            "FILE:///a",
            "file:///a/../b",
            "file:///./b",
            "file:///a//b",
            "file:////a",
            "file://localhost/a",
            "file:/a",
            "http:a",
            "file:///%61",
            "file:///%2e%2E/b",
            "file:///a%2Fb",
            "file:///a%5Cb",
            "file:///a\\b",
            "file:///a%252F",
            "file:///%c3%a9",
            "file:///é",
            "file:///a b",
            "http://Host/a",
            "http://good@evil/a",
            "file:///a%00",
            "file:///{a}",
            "file:///pub/x?/../../b",
            "file:///a/..?",
            "file:///a%",
        ] {
            assert!(!is_plain_uri(other, false), "{other}");
        }
        assert!(is_plain_uri("file:///{+path}/x{?a,b}", true) && is_plain_uri("*://a/*", false));
    }
}
