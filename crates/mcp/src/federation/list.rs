//! Lists of members, and the one that clients see: the members in their order, each with its own items in its own order.

use super::names::{Names, literal_prefix, shown_uri};
use crate::frame::{Frame, Json, Member, elements, fields, quote, unquote};
use crate::policy::Kind;
use bytes::Bytes;
use std::collections::HashSet;

/// The lists that are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
}

impl List {
    /// Each.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The list a method asks for.
    pub fn of(method: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.method().as_bytes() == method)
    }

    /// The method that asks for it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// Where its items stand in a result.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that names it.
    fn name(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// What its items are to a server's rules.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Tools => Kind::Tool,
            Self::Prompts => Kind::Prompt,
            Self::Resources => Kind::Resource,
            Self::Templates => Kind::Template,
        }
    }

    /// The capability that a server with such a list declares.
    pub fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }
}

/// One thing of a member, as the member describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The member's own name or URI for it.
    pub name: Box<str>,
    raw: Bytes,
    /// Where the name stands in `raw`, quotes included.
    named: (usize, usize),
}

impl Item {
    fn read(list: List, raw: Bytes) -> Option<Self> {
        let mut named = None;
        for (key, value) in fields(&raw) {
            if key == list.name() {
                // Two names: two readers could take two different ones.
                if named.is_some() {
                    return None;
                }
                named = Some((Box::from(unquote(value.raw)?), value.range()));
            }
        }
        let (name, named): (Box<str>, _) = named?;
        Some(Self { name, raw, named })
    }

    /// Its JSON under another name; every other byte stays.
    fn shown_as(&self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.raw[..self.named.0]);
        out.extend_from_slice(quote(name).as_bytes());
        out.extend_from_slice(&self.raw[self.named.1..]);
    }
}

/// One page of a member's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the member's order. What has no name that can be read is left out.
    pub items: Vec<Item>,
    /// The member's cursor for the next page.
    pub next: Option<Box<str>>,
    /// How long the member lets it be kept, in milliseconds; 0 for versions that do not say.
    pub ttl_ms: u64,
    /// Anybody may see it (`cacheScope: public`).
    pub public: bool,
}

impl Page {
    /// The page of a response; None if the response is an error or has no such list.
    pub fn read(list: List, response: &Frame) -> Option<Self> {
        let result = response.raw(Member::Result)?;
        let start = result.as_ptr() as usize - response.bytes().as_ptr() as usize;
        let mut page = Self::default();
        let mut found = false;
        for (key, value) in fields(result) {
            match &*key {
                "ttlMs" => page.ttl_ms = number(&value),
                "cacheScope" => page.public = value.raw == b"\"public\"",
                "nextCursor" => page.next = unquote(value.raw).map(Box::from),
                key if key == list.key() => {
                    found = true;
                    let array = start + value.start;
                    page.items = elements(value.raw)
                        .iter()
                        .filter_map(|item| {
                            let (from, to) = item.range();
                            Item::read(list, response.bytes().slice(array + from..array + to))
                        })
                        .collect();
                }
                _ => {}
            }
        }
        found.then_some(page)
    }

    /// What it costs to keep it.
    pub fn size(&self) -> usize {
        let items: usize = self.items.iter().map(|item| item.raw.len() + item.name.len() + 64).sum();
        items + self.next.as_ref().map_or(0, |next| next.len()) + 128
    }

    /// A copy that shares no bytes with the answer it came in, which may be far larger.
    #[must_use]
    pub fn compact(&self) -> Self {
        let mut page = self.clone();
        for item in &mut page.items {
            item.raw = Bytes::copy_from_slice(&item.raw);
        }
        page
    }
}

fn number(value: &Json<'_>) -> u64 {
    std::str::from_utf8(value.raw)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .map_or(0, |number| number as u64)
}

/// A merged list while it is put together.
pub struct Merged<'n> {
    list: List,
    names: &'n Names,
    /// URIs that are shown already.
    taken: HashSet<Box<str>>,
    items: Vec<u8>,
    count: usize,
    left_out: usize,
    ttl_ms: Option<u64>,
    public: bool,
}

impl<'n> Merged<'n> {
    /// An empty one.
    pub fn new(list: List, names: &'n Names) -> Self {
        Self {
            list,
            names,
            taken: HashSet::new(),
            items: Vec::new(),
            count: 0,
            left_out: 0,
            ttl_ms: None,
            public: true,
        }
    }

    /// Adds what `shows` lets through of a member's page; `taken` says of a URI that another member has it. A merged page may be kept
    /// no longer than any of its parts, and by anybody only if every part may.
    pub fn add(
        &mut self,
        member: &str,
        page: &Page,
        taken: impl Fn(&str) -> bool,
        shows: impl Fn(&str) -> bool,
    ) {
        self.lasts(page.ttl_ms);
        self.public &= page.public;
        for item in page.items.iter().filter(|item| shows(&item.name)) {
            let shown = match self.list {
                List::Tools | List::Prompts => self.names.join(member, &item.name),
                List::Resources | List::Templates => {
                    let taken = self.taken.contains(&item.name) || taken(&item.name);
                    Some(shown_uri(member, &item.name, taken).into_owned())
                }
            };
            let Some(shown) = shown.filter(|shown| self.taken.insert(Box::from(&**shown))) else {
                self.left_out += 1;
                continue;
            };
            if self.count > 0 {
                self.items.push(b',');
            }
            item.shown_as(&shown, &mut self.items);
            self.count += 1;
        }
    }

    /// A part may be kept for no more than so many milliseconds.
    pub fn lasts(&mut self, ttl_ms: u64) {
        self.ttl_ms = Some(self.ttl_ms.map_or(ttl_ms, |ttl| ttl.min(ttl_ms)));
    }

    /// What is shown depends on who asks: nobody else may be shown it.
    pub fn personal(&mut self) {
        self.public = false;
    }

    /// A part is missing: what is shown may change at any time.
    pub fn incomplete(&mut self) {
        self.ttl_ms = Some(0);
        self.public = false;
    }

    /// Items that are not shown: their name would be too long, or their member has two of them.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The response to the request `id` (raw JSON). With `modern` it says how long it may be kept.
    pub fn response(self, id: &[u8], next: Option<&str>, modern: bool) -> Bytes {
        let mut out = Vec::with_capacity(self.items.len() + 160);
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id);
        out.extend_from_slice(b",\"result\":{");
        if modern {
            let scope = if self.public { "public" } else { "private" };
            let ttl = self.ttl_ms.unwrap_or(0);
            let head = format!("\"resultType\":\"complete\",\"ttlMs\":{ttl},\"cacheScope\":\"{scope}\",");
            out.extend_from_slice(head.as_bytes());
        }
        out.extend_from_slice(format!("\"{}\":[", self.list.key()).as_bytes());
        out.extend_from_slice(&self.items);
        out.push(b']');
        if let Some(next) = next {
            out.extend_from_slice(b",\"nextCursor\":");
            out.extend_from_slice(quote(next).as_bytes());
        }
        out.extend_from_slice(b"}}");
        out.into()
    }
}

/// Whether `uri` can be an expansion of `template`; longer is nearer. Only its beginning is compared: what stands in the
/// expressions is for the server to judge.
pub fn matches(template: &str, uri: &str) -> Option<usize> {
    let literal = literal_prefix(template);
    uri.starts_with(literal).then_some(literal.len())
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
