//! What a tool is, as one number: SHA-256 over its canonical definition (decision 0019).

use super::canonical::{canonical, items};
use crate::frame::{Frame, Member, fields, unquote};
use aws_lc_rs::digest::{SHA256, digest};
use holdfast_config::ToolPin;
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::{self, Write as _},
};

/// Largest definition that is looked at; a larger one has no digest.
const DEFINITION_BYTES_MAX: usize = 1 << 20;
/// Longest name of a tool that is looked at.
const NAME_BYTES_MAX: usize = 1024;
/// Tools of one list that are looked at.
pub(crate) const LIST_TOOLS_MAX: usize = 10_000;

/// SHA-256 of a canonical definition.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(out)
    }

    /// Of a definition (raw JSON); `None` for what two readers could take for two things, and for what is too large.
    pub(crate) fn of_definition(raw: &[u8]) -> Option<Self> {
        if raw.len() > DEFINITION_BYTES_MAX {
            return None;
        }
        canonical(raw).map(|form| Self::of(&form))
    }
}

/// As pins have it.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One tool of a list: its name and its digest, if it has one.
pub(crate) type Defined = (Box<str>, Option<Digest>);

/// The tools of a list (a raw array). One that is there twice with two definitions has no digest.
pub(crate) fn definitions(list: &[u8]) -> Vec<Defined> {
    let mut tools: Vec<Defined> = Vec::new();
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    for raw in items(list).take(LIST_TOOLS_MAX) {
        let Some(name) = name(raw) else { continue };
        let digest = Digest::of_definition(raw);
        match places.entry(name.clone()) {
            Entry::Vacant(place) => {
                place.insert(tools.len());
                tools.push((name, digest));
            }
            Entry::Occupied(place) => {
                let before = &mut tools[*place.get()].1;
                *before = before.filter(|before| Some(*before) == digest);
            }
        }
    }
    tools
}

fn name(tool: &[u8]) -> Option<Box<str>> {
    let (_, name) = fields(tool).find(|(key, _)| key == "name")?;
    unquote(name.raw).filter(|name| name.len() <= NAME_BYTES_MAX).map(Box::from)
}

/// The tools of a `tools/list` response with their digests as pins have them; `None` for one that has none. Nothing for any other message.
pub fn tool_digests(response: &Frame) -> Vec<(String, Option<String>)> {
    let tools = response.raw(Member::Tools).map(definitions).unwrap_or_default();
    tools.into_iter().map(|(name, digest)| (name.into(), digest.map(|digest| digest.to_string()))).collect()
}

/// The tools that an operator has looked at.
#[derive(Debug)]
pub(crate) struct Pins {
    tools: HashMap<Box<str>, Vec<Box<str>>>,
    tag: u64,
}

impl Pins {
    /// `None` if there are none: then every tool is as good as another.
    pub(crate) fn new(pins: &[ToolPin]) -> Option<Self> {
        if pins.is_empty() {
            return None;
        }
        let mut sorted: Vec<&ToolPin> = pins.iter().collect();
        sorted.sort_by(|one, other| one.tool.cmp(&other.tool));
        let mut text = String::new();
        let mut tools = HashMap::with_capacity(pins.len());
        for pin in sorted {
            // Anything that differs where the pins do.
            let _ = write!(text, "{pin:?}");
            let digests = pin.sha256.iter().map(|digest| Box::from(digest.as_str())).collect();
            tools.insert(Box::from(pin.tool.as_str()), digests);
        }
        let Digest(whole) = Digest::of(text.as_bytes());
        let tag = whole.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Some(Self { tools, tag })
    }

    /// Tells these pins from others: what was kept under other pins is not shown under these.
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    /// How many tools have one.
    pub(crate) fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether there is one for the tool.
    pub(crate) fn knows(&self, tool: &str) -> bool {
        self.tools.contains_key(tool)
    }

    /// Whether this is a definition that is pinned. What has no digest is not.
    pub(crate) fn hold(&self, tool: &str, digest: Option<Digest>) -> bool {
        let Some((pinned, digest)) = self.tools.get(tool).zip(digest) else { return false };
        let digest = digest.to_string();
        pinned.iter().any(|pinned| **pinned == *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Pins, definitions};
    use holdfast_config::ToolPin;

    fn of(text: &str) -> Option<String> {
        Digest::of_definition(text.as_bytes()).map(|digest| digest.to_string())
    }

    fn pin(tool: &str, sha256: &[&str]) -> ToolPin {
        ToolPin { tool: tool.into(), sha256: sha256.iter().map(|digest| (*digest).to_owned()).collect() }
    }

    #[test]
    fn a_digest_is_what_sha256sum_says_of_the_canonical_text() {
        let expected = "d9d719b27480b55cd4918020e7473e716ed3569c8adafe926cf9b10b4f8ef064";
        assert_eq!(of(r#"{ "name" : "a" }"#).as_deref(), Some(expected));
        let first = of(r#"{"name":"a","inputSchema":{"type":"object","x":1.10}}"#);
        assert_eq!(first, of(r#"{ "inputSchema": {"x":1.10, "type":"\u006fbject"}, "name":"a" }"#));
        assert_ne!(first, of(r#"{"name":"a","inputSchema":{"type":"object","x":1.1}}"#));
        assert_eq!(of(&format!(r#"{{"name":"{}"}}"#, "a".repeat(1 << 20))), None, "too large");
    }

    #[test]
    fn a_tool_that_is_there_twice_is_one_only_if_both_are_the_same() {
        let list = r#"[{"name":"a","x":1},{"name":"b"},{"x":1,"name":"a"},{"name":"b","x":1},{"name":"b","x":1},{"no":"name"},7]"#;
        let found = definitions(list.as_bytes());
        let found: Vec<(&str, bool)> =
            found.iter().map(|(name, digest)| (&**name, digest.is_some())).collect();
        assert_eq!(found, [("a", true), ("b", false)]);
        assert!(definitions(b"{}").is_empty() && definitions(b"[").is_empty());
    }

    #[test]
    fn pins_hold_what_they_name_with_a_definition_that_they_name() {
        let (one, two) = (of(r#"{"name":"a"}"#).unwrap(), of(r#"{"name":"a","x":1}"#).unwrap());
        let pins = Pins::new(&[pin("a", &[&one, &two]), pin("b", &[&one])]).unwrap();
        let digest = |text: &str| Digest::of_definition(text.as_bytes());
        assert!(pins.knows("a") && !pins.knows("c") && pins.len() == 2);
        assert!(pins.hold("a", digest(r#"{"name":"a"}"#)) && pins.hold("a", digest(r#"{"x":1,"name":"a"}"#)));
        assert!(!pins.hold("a", digest(r#"{"name":"a","x":2}"#)) && !pins.hold("a", None));
        assert!(!pins.hold("c", digest(r#"{"name":"a"}"#)));
        assert!(Pins::new(&[]).is_none());
    }

    #[test]
    fn the_tag_of_pins_is_theirs_whatever_their_order() {
        let tag = |pins: &[ToolPin]| Pins::new(pins).unwrap().tag();
        let (a, b) = (pin("a", &["1"]), pin("b", &["2"]));
        assert_eq!(tag(&[a.clone(), b.clone()]), tag(&[b.clone(), a.clone()]));
        assert_ne!(tag(&[a.clone(), b]), tag(std::slice::from_ref(&a)));
        assert_ne!(tag(&[a]), tag(&[pin("a", &["2"])]));
    }
}
