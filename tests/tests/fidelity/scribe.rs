//! Messages made of draws: the members that MCP asks for, in any order and spelling, among others that nobody knows.

use crate::{
    odd::{BLANKS, Draw},
    pieces::{Slot, Template},
};
use fastrand::Rng;

/// The version of a request that stands alone.
pub(crate) const MODERN: &str = "2026-07-28";
/// Versions with a handshake.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A member: its name, its value.
type Member = (&'static str, Template);

/// Writes messages.
pub(crate) struct Scribe {
    draw: Draw,
    pub(crate) rng: Rng,
    tag: String,
    next: usize,
}

impl Scribe {
    /// Of one conversation: `tag` is in every message.
    pub(crate) fn new(draw: Draw, tag: &str) -> Self {
        let rng = Rng::with_seed(draw.seed);
        Self { draw, rng, tag: tag.to_owned(), next: 0 }
    }

    /// A version with a handshake.
    pub(crate) fn version(&mut self) -> &'static str {
        LEGACY[self.rng.usize(..LEGACY.len())]
    }

    /// True in so many of ten cases.
    pub(crate) fn chance(&mut self, of_ten: u8) -> bool {
        self.rng.u8(..10) < of_ten
    }

    fn turn(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Any JSON.
    pub(crate) fn value(&mut self) -> String {
        let turn = self.turn();
        self.draw.values[turn % self.draw.values.len()].clone()
    }

    /// A string that stands for a text.
    pub(crate) fn text(&mut self) -> String {
        let turn = self.turn();
        self.draw.texts[turn % self.draw.texts.len()].clone()
    }

    /// An id or a token that is not given twice: `number` is its end.
    pub(crate) fn id(&mut self, number: usize) -> String {
        if self.chance(5) {
            let digits = if self.chance(1) { 400 } else { self.rng.usize(1..40) };
            let mut id = if self.chance(3) { "-".to_owned() } else { String::new() };
            id.push(char::from(b'1' + self.rng.u8(..9)));
            id.extend((1..digits).map(|_| char::from(b'0' + self.rng.u8(..10))));
            return format!("{id}{number:05}");
        }
        let text = self.text();
        // Ids are of at most 512 bytes.
        let text = if text.len() > 200 { "\"é\\/" } else { &text[..text.len() - 1] };
        format!("{text}{number:05}\"")
    }

    /// A method that nobody has specified.
    pub(crate) fn odd_method(&mut self) -> String {
        let text = self.text();
        format!("\"x/{}", &text[1..])
    }

    fn blank(&mut self, out: &mut Template) {
        out.push(BLANKS[self.rng.usize(..BLANKS.len())]);
    }

    /// A known name, now and then with a letter escaped.
    fn name(&mut self, name: &str) -> String {
        if !self.chance(1) {
            return format!("\"{name}\"");
        }
        let at = self.rng.usize(..name.len());
        format!("\"{}\\u{:04x}{}\"", &name[..at], name.as_bytes()[at], &name[at + 1..])
    }

    /// An object with these members and `odd` others.
    pub(crate) fn object(&mut self, members: Vec<Member>, odd: usize) -> Template {
        let mut all: Vec<(String, Template)> =
            members.into_iter().map(|(name, value)| (self.name(name), value)).collect();
        for _ in 0..odd {
            let turn = self.turn();
            let (key, value) = self.draw.members[turn % self.draw.members.len()].clone();
            all.push((key, Template::text(value)));
        }
        self.rng.shuffle(&mut all);
        let mut out = Template::text("{");
        for (at, (key, value)) in all.into_iter().enumerate() {
            if at > 0 {
                out.push(",");
            }
            self.blank(&mut out);
            out.push(&key);
            self.blank(&mut out);
            out.push(":");
            self.blank(&mut out);
            out.append(value);
            self.blank(&mut out);
        }
        out.push("}");
        out
    }

    fn few(&mut self) -> usize {
        self.rng.usize(..4)
    }

    fn envelope(&mut self, mut members: Vec<Member>) -> Template {
        members.push(("jsonrpc", Template::text("\"2.0\"")));
        members.push(("x-tag", Template::text(format!("\"{}\"", self.tag))));
        let odd = self.few();
        self.object(members, odd)
    }

    /// `_meta` of a client's message.
    fn meta(&mut self, token: bool, modern: bool) -> Template {
        let mut members = Vec::new();
        if token {
            members.push(("progressToken", Template::hole(Slot::Token)));
        }
        if modern {
            let version = Template::text(format!("\"{MODERN}\""));
            members.push(("io.modelcontextprotocol/protocolVersion", version));
            let capabilities = self.object(Vec::new(), 2);
            members.push(("io.modelcontextprotocol/clientCapabilities", capabilities));
        }
        let odd = self.few();
        self.object(members, odd)
    }

    /// A request of the client.
    pub(crate) fn request(
        &mut self,
        method: &str,
        mut params: Vec<Member>,
        token: bool,
        modern: bool,
    ) -> Template {
        if token || modern || self.chance(5) {
            let meta = self.meta(token, modern);
            params.push(("_meta", meta));
        }
        let odd = self.few();
        let params = self.object(params, odd);
        self.envelope(vec![
            ("id", Template::hole(Slot::Id)),
            ("method", Template::text(method)),
            ("params", params),
        ])
    }

    /// A notification of either side.
    pub(crate) fn note(&mut self, method: &str, mut params: Vec<Member>, modern: bool) -> Template {
        if modern {
            let meta = self.meta(false, true);
            params.push(("_meta", meta));
        }
        let odd = self.few();
        let mut members = vec![("method", Template::text(method))];
        if !params.is_empty() || odd > 0 {
            let params = self.object(params, odd);
            members.push(("params", params));
        }
        self.envelope(members)
    }

    /// A request of the server.
    pub(crate) fn question(&mut self) -> Template {
        let method = if self.chance(5) { "\"sampling/createMessage\"".to_owned() } else { self.odd_method() };
        let odd = self.few();
        let params = self.object(Vec::new(), odd);
        self.envelope(vec![
            ("id", Template::hole(Slot::Question)),
            ("method", Template::text(method)),
            ("params", params),
        ])
    }

    /// An answer with a result that has these members, and others.
    pub(crate) fn result(&mut self, id: Slot, members: Vec<Member>) -> Template {
        let odd = self.few();
        let result = self.object(members, odd);
        self.envelope(vec![("id", Template::hole(id)), ("result", result)])
    }

    /// Any answer; `kind` is what 2026-07-28 wants in a result.
    pub(crate) fn answer(&mut self, id: Slot, kind: Option<&str>) -> Template {
        if self.chance(2) {
            let message = self.text();
            let data = self.value();
            let code = ["-32602", "-32000", "7", "-1"][self.rng.usize(..4)];
            let members = vec![
                ("code", Template::text(code)),
                ("message", Template::text(message)),
                ("data", Template::text(data)),
            ];
            let odd = self.few();
            let error = self.object(members, odd);
            return self.envelope(vec![("id", Template::hole(id)), ("error", error)]);
        }
        let mut members = vec![("content", Template::text(self.value()))];
        if let Some(kind) = kind {
            members.push(("resultType", Template::text(format!("\"{kind}\""))));
        }
        self.result(id, members)
    }
}
