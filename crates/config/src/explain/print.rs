//! The effective configuration as YAML that loads again to the same [`crate::Config`].

use crate::{
    Loaded,
    schema::{Key, Kind},
    text,
    value::{BlockVal, Data, Origin, SecretData, SecretFrom, Val},
};

/// Longest list of single values on one line.
const LINE: usize = 90;

/// What [`Loaded::print`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintOptions {
    /// Also what is not given: defaults end in `# default`, inherited values in `# from ...`.
    pub defaults: bool,
    /// Secrets that stand in a file themselves. One that comes from a variable is shown by the variable's name.
    pub secrets: SecretText,
}

/// How a secret that stands in a file is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretText {
    /// As `***`. Such a print does not load until the value is put back.
    Hidden,
    /// As it is. For tests and for moving a configuration, never for a log.
    Shown,
}

impl Default for PrintOptions {
    fn default() -> Self {
        Self { defaults: true, secrets: SecretText::Hidden }
    }
}

impl Loaded {
    /// The canonical form: aliases resolved, short forms written out, keys in the order of the reference.
    pub fn print(&self, options: PrintOptions) -> String {
        let mut printer = Printer { options, text: String::new() };
        printer.block(&self.tree, 0, false);
        if printer.text.is_empty() { "{}\n".into() } else { printer.text }
    }
}

struct Printer {
    options: PrintOptions,
    text: String,
}

impl Printer {
    /// The fields of a block. `started`: the first one follows a `- ` on the same line.
    fn block(&mut self, block: &BlockVal, indent: usize, started: bool) {
        let (mut started, options) = (started, self.options);
        let fields = block.schema.keys().filter_map(|key| Some((key, block.get(key.name)?)));
        for (key, val) in fields.filter(|(_, val)| options.show(val)) {
            if !std::mem::take(&mut started) {
                self.pad(indent);
            }
            self.field(key, val, indent);
        }
    }

    fn field(&mut self, key: &'static Key, val: &Val, indent: usize) {
        let note = note(val);
        match &val.data {
            Data::Block(block) => {
                let empty = !block.fields.values().any(|val| self.options.show(val));
                self.text.push_str(key.name);
                self.text.push_str(if empty { ": {}\n" } else { ":\n" });
                if !empty {
                    self.block(block, indent + 2, false);
                }
            }
            Data::List(items) if items.is_empty() => self.line(key.name, "[]", &note),
            Data::List(items) if matches!(key.kind, Kind::List { of: Kind::Block(_), .. }) => {
                put!(self.text, "{}:\n", key.name);
                for block in items.iter().filter_map(Val::block) {
                    self.pad(indent + 2);
                    self.text.push_str("- ");
                    let before = self.text.len();
                    self.block(block, indent + 4, true);
                    if self.text.len() == before {
                        self.text.push_str("{}\n");
                    }
                }
            }
            Data::List(items) => self.items(key.name, items, &note, indent),
            Data::Labels(labels) if labels.is_empty() => self.line(key.name, "{}", &note),
            Data::Labels(labels) => {
                put!(self.text, "{}:\n", key.name);
                for (name, value) in labels {
                    self.pad(indent + 2);
                    self.line(name, &quote(value), &note);
                }
            }
            Data::Secrets(secrets) if secrets.is_empty() => self.line(key.name, "{}", &note),
            Data::Secrets(secrets) => {
                put!(self.text, "{}:\n", key.name);
                for (name, secret) in secrets {
                    self.pad(indent + 2);
                    self.secret(name, secret);
                }
            }
            Data::Secret(secret) => self.secret(key.name, secret),
            data => self.line(key.name, &scalar(data), &note),
        }
    }

    /// Single values: on one line if they fit.
    fn items(&mut self, name: &str, items: &[Val], note: &str, indent: usize) {
        let texts: Vec<String> = items.iter().map(|item| scalar(&item.data)).collect();
        let flow = format!("[{}]", texts.join(", "));
        if flow.len() <= LINE {
            return self.line(name, &flow, note);
        }
        self.line(name, "", note);
        for text in texts {
            self.pad(indent + 2);
            put!(self.text, "- {text}\n");
        }
    }

    fn secret(&mut self, name: &str, secret: &SecretData) {
        match (&secret.from, self.options.secrets) {
            (SecretFrom::EnvKey(variable), _) => self.line(&format!("{name}_env"), variable, ""),
            (SecretFrom::Variable(variable), _) => self.line(name, &format!("${{{variable}}}"), ""),
            (SecretFrom::File, SecretText::Hidden) => self.line(name, "\"***\"", " # hidden"),
            (SecretFrom::File, SecretText::Shown) => self.line(name, &quoted(&secret.value), ""),
        }
    }

    fn line(&mut self, name: &str, value: &str, note: &str) {
        let space = if value.is_empty() { "" } else { " " };
        put!(self.text, "{name}:{space}{value}{note}\n");
    }

    fn pad(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }
}

impl PrintOptions {
    /// A block that exists by default is shown for what is in it.
    fn show(self, val: &Val) -> bool {
        match val.block() {
            Some(block) if val.origin != Origin::Given => block.fields.values().any(|val| self.show(val)),
            _ => self.defaults || val.origin == Origin::Given,
        }
    }
}

fn note(val: &Val) -> String {
    match (val.origin, &val.written) {
        (Origin::Default, _) => " # default".into(),
        (Origin::Inherited(from), _) => format!(" # from {from}"),
        (Origin::Given, Some(written)) => format!(" # written as {written}"),
        (Origin::Given, None) => String::new(),
    }
}

/// The canonical text of one value, as it stands in YAML.
pub(super) fn scalar(data: &Data) -> String {
    match data {
        Data::Off => "off".into(),
        Data::Bool(b) => b.to_string(),
        Data::Int(n) => n.to_string(),
        Data::Float(n) => n.to_string(),
        Data::Duration(d) => text::show_duration(*d),
        Data::Size(n) => text::show_size(*n),
        Data::Ratio(r) => text::show_share(*r),
        Data::Text(text) => quote(text),
        Data::Word(word) => quote(word),
        Data::Secret(_) => "\"***\"".into(),
        Data::List(items) => {
            format!("[{}]", items.iter().map(|item| scalar(&item.data)).collect::<Vec<_>>().join(", "))
        }
        Data::Labels(_) | Data::Secrets(_) | Data::Block(_) => "{}".into(),
    }
}

/// Text as a YAML scalar: plain where nobody could read it as anything else, in lists too.
pub(crate) fn quote(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"_./:-".contains(&b);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/');
    let word =
        text::boolean(text).is_some() || ["null", "none"].contains(&text.to_ascii_lowercase().as_str());
    if first && !word && !text.ends_with(':') && text.bytes().all(safe) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// In double quotes (YAML 1.2, 5.7), variables kept literal.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c if (c as u32) < 0x100 => put!(quoted, "\\x{:02x}", c as u32),
            c if (c as u32) < 0x1_0000 => put!(quoted, "\\u{:04x}", c as u32),
            c => put!(quoted, "\\U{:08x}", c as u32),
        }
    }
    quoted.push('"');
    quoted
}
