//! One scalar: variables, then the type that the schema says.

use super::{Decoder, nearest};
use crate::{
    diagnostic::Draft,
    schema::{Also, Bare, Def, Key, Kind, Rule, Word},
    source::At,
    text,
    value::{Data, Origin, SecretData, SecretFrom, Val},
    yaml::{Node, NodeKind, clip},
};
use std::time::Duration;

/// Most bytes of one value after variables are put in.
const MAX_VALUE: usize = 64 * 1024;

/// A scalar with its variables put in.
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so that `8080` is a number; also when it is a variable's value.
    plain: bool,
    /// Holds the value of a variable, which messages must not repeat.
    substituted: bool,
    /// The whole scalar is this variable.
    variable: Option<String>,
}

/// What a message says about a refused value, and the unit that a bare number was taken to have.
type Decoded = Result<(Data, Option<(Bare, String)>), String>;

impl Decoder<'_> {
    pub(super) fn scalar(
        &mut self,
        key: &'static Key,
        also: Option<&Also>,
        path: &str,
        node: &Node,
    ) -> Option<Val> {
        self.scalar_of(&key.kind, key.off, also, path, node)
    }

    pub(super) fn scalar_of(
        &mut self,
        kind: &Kind,
        off: bool,
        also: Option<&Also>,
        path: &str,
        node: &Node,
    ) -> Option<Val> {
        let secret = matches!(kind, Kind::Secret { .. });
        if secret {
            self.hide(node);
        }
        let NodeKind::Scalar { text: raw, plain } = &node.kind else {
            let message = format!("expected {}, found {}", expects(kind), node.describe());
            self.hide(node);
            self.drafts.push(Draft::error(path, Some(node.at), message));
            return None;
        };
        let scalar = self.substitute(raw, *plain, path, node.at)?;
        if secret {
            let from = scalar.variable.map_or(SecretFrom::File, SecretFrom::Variable);
            return self.secret(kind, &scalar.text, from, path, node.at);
        }
        let (data, bare) = match decode(kind, off, also, &scalar) {
            Ok(decoded) => decoded,
            Err(why) => {
                // A URL with a password in it is refused, and not shown.
                if matches!(kind, Kind::Text(Rule::Url | Rule::Origin)) && raw.contains('@') {
                    self.hide(node);
                }
                self.drafts.push(refusal(kind, &scalar, why, path, node.at));
                return None;
            }
        };
        if let Some((unit, number)) = &bare
            && !also.is_some_and(|also| also.name.ends_with("_seconds"))
        {
            self.warn_unit(*unit, number, &data, path, node.at);
        }
        let written = bare.map(|(unit, number)| format!("{number} {}", unit_name(unit)));
        Some(Val { data, at: Some(node.at), origin: Origin::Given, written })
    }

    pub(super) fn secret(
        &mut self,
        kind: &Kind,
        value: &str,
        from: SecretFrom,
        path: &str,
        at: At,
    ) -> Option<Val> {
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        let min = if let Kind::Secret { min } = kind { *min } else { 1 };
        let why = if value == "***" {
            Some("the secret is hidden here; put the value or a variable in its place".to_owned())
        } else if value.len() < min {
            Some(format!("the secret must have at least {min} bytes, and has {}", value.len()))
        } else {
            (value.len() > MAX_VALUE).then(|| format!("the secret is longer than {MAX_VALUE} bytes"))
        };
        if let Some(why) = why {
            self.drafts.push(Draft::error(path, Some(at), why));
            return None;
        }
        let data = Data::Secret(SecretData { value, from });
        Some(Val { data, at: Some(at), origin: Origin::Given, written: None })
    }

    /// Puts `${NAME}` in; `$${` is a literal `${`. It works on parsed scalars, so a value cannot become YAML.
    pub(super) fn substitute(&mut self, raw: &str, plain: bool, path: &str, at: At) -> Option<Scalar> {
        let mut text = String::new();
        let mut rest = raw;
        let (mut substituted, mut variable) = (false, None);
        while let Some(start) = rest.find("${").filter(|_| text.len() <= MAX_VALUE) {
            let (before, after) = rest.split_at(start);
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = &after[2..];
                continue;
            }
            text.push_str(before);
            let name = after[2..].split_once('}').map(|(name, _)| name).filter(|name| is_variable(name));
            let Some(name) = name else {
                self.hide_at(at);
                self.drafts.push(
                    Draft::error(path, Some(at), "`${` must be followed by the name of a variable and `}`")
                        .help("only `${NAME}` is supported; a literal `${` is written `$${`"),
                );
                return None;
            };
            let Some(value) = self.env.var(name) else {
                self.drafts.push(unset(path, at, name));
                return None;
            };
            text.push_str(&value);
            substituted = true;
            variable = (raw.len() == name.len() + 3).then(|| name.to_owned());
            rest = &after[name.len() + 3..];
        }
        text.push_str(rest);
        if text.len() > MAX_VALUE {
            self.drafts.push(Draft::error(path, Some(at), format!("is longer than {MAX_VALUE} bytes")));
            return None;
        }
        Some(Scalar { text, plain: plain || substituted, substituted, variable })
    }

    fn hide_at(&mut self, at: At) {
        self.secrets.push(at);
    }

    /// C4: a bare number whose unit is not in the key's name, and whose size suggests another unit.
    fn warn_unit(&mut self, unit: Bare, number: &str, data: &Data, path: &str, at: At) {
        let n = text::decimal(number).unwrap_or(0.0);
        let strange = match unit {
            Bare::Millis => n > 0.0 && n < 10.0,
            Bare::Seconds => n > 3600.0,
            Bare::Percent => n > 0.0 && n < 1.0,
            Bare::Share => false,
        };
        if strange {
            let shown = show(data);
            let message = format!("{number} means {number} {} here, which is {shown}", unit_name(unit));
            self.drafts.push(
                Draft::warning(path, Some(at), message).help(format!("write `{shown}` if that is meant")),
            );
        }
    }
}

/// The default of a key as a value; the schema test proves that each one decodes.
pub(crate) fn default_value(key: &'static Key) -> Option<Data> {
    let scalar = |text: &str| Scalar { text: text.into(), plain: true, substituted: false, variable: None };
    match (&key.default, &key.kind) {
        (Def::Off, _) => Some(Data::Off),
        (Def::Text(text), Kind::List { of, .. }) => {
            let items =
                text.trim_matches(['[', ']']).split(", ").map(|item| decode(of, false, None, &scalar(item)));
            let items: Result<Vec<_>, _> =
                items.map(|item| item.map(|(data, _)| Val::derived(data, Origin::Default))).collect();
            items.ok().map(Data::List)
        }
        (Def::Text(text), kind) => decode(kind, key.off, None, &scalar(text)).ok().map(|(data, _)| data),
        (Def::Empty, Kind::List { .. }) => Some(Data::List(Vec::new())),
        (Def::Empty, Kind::Labels) => Some(Data::Labels(std::collections::BTreeMap::new())),
        (Def::Empty, Kind::Secrets(_)) => Some(Data::Secrets(std::collections::BTreeMap::new())),
        _ => None,
    }
}

/// The value of a variable.
pub(super) fn decode_text(kind: &Kind, text: &str) -> Result<Data, String> {
    let scalar = Scalar { text: text.to_owned(), plain: true, substituted: true, variable: None };
    decode(kind, false, None, &scalar).map(|(data, _)| data)
}

fn decode(kind: &Kind, off: bool, also: Option<&Also>, scalar: &Scalar) -> Decoded {
    let text = scalar.text.as_str();
    if off && matches!(text, "off" | "none" | "Off" | "OFF") {
        return Ok((Data::Off, None));
    }
    let fail = || Err(format!("expected {}", expects(kind)));
    let bare_unit = |own: Bare| also.and_then(|also| also.bare).unwrap_or(own);
    match kind {
        Kind::Text(rule) => {
            if scalar.plain && !scalar.substituted && looks_typed(text) {
                return Err("expected text; put it in quotes if it is meant as text".into());
            }
            rule.check(text).map(|()| (Data::Text(text.to_owned()), None))
        }
        Kind::Choice(words) => word(words, text).map_or_else(fail, |word| Ok((Data::Word(word), None))),
        _ if !scalar.plain && is_number(kind) => {
            Err(format!("expected {}, found text in quotes", expects(kind)))
        }
        Kind::Bool => text::boolean(text).map_or_else(fail, |b| Ok((Data::Bool(b), None))),
        Kind::Int { min, max } => match text::whole(text) {
            Some(n) => {
                let n = n.saturating_add(also.map_or(0, |also| also.plus));
                if (*min..=*max).contains(&n) { Ok((Data::Int(n), None)) } else { fail() }
            }
            None => fail(),
        },
        Kind::Float { min, max } => match text::decimal(text) {
            Some(n) if (*min..=*max).contains(&n) => Ok((Data::Float(n), None)),
            _ => fail(),
        },
        Kind::Duration { bare, min, max } => duration(text, scalar.plain, bare_unit(*bare), *min, *max)
            .map_or_else(fail, |(d, bare)| Ok((Data::Duration(d), bare))),
        Kind::Size { min, max } => match text::size(text) {
            Some(n) if (*min..=*max).contains(&n) => Ok((Data::Size(n), None)),
            _ => fail(),
        },
        Kind::Ratio { bare } => {
            ratio(text, bare_unit(*bare)).map_or_else(fail, |(r, b)| Ok((Data::Ratio(r), b)))
        }
        Kind::Secret { .. } | Kind::List { .. } | Kind::Labels | Kind::Secrets(_) | Kind::Block(_) => fail(),
    }
}

type WithUnit<T> = Option<(T, Option<(Bare, String)>)>;

fn duration(text: &str, plain: bool, unit: Bare, min: u64, max: u64) -> WithUnit<Duration> {
    let bare_nanos = if unit == Bare::Millis { 1_000_000 } else { 1_000_000_000 };
    let bare = if plain { text::bare_duration(text, bare_nanos) } else { None };
    let duration = bare.or_else(|| text::duration(text))?;
    let fits = (Duration::from_millis(min)..=Duration::from_millis(max)).contains(&duration);
    fits.then(|| (duration, bare.map(|_| (unit, text.to_owned()))))
}

fn ratio(text: &str, unit: Bare) -> WithUnit<f64> {
    let bare = if unit == Bare::Percent { text::hundredths(text) } else { text::decimal(text) };
    let ratio = bare.or_else(|| text::percent(text))?;
    (0.0..=1.0).contains(&ratio).then(|| (ratio, bare.map(|_| (unit, text.to_owned()))))
}

fn word(words: &'static [Word], text: &str) -> Option<&'static str> {
    words.iter().find(|Word(spellings, _)| spellings.contains(&text)).map(|Word(spellings, _)| spellings[0])
}

/// YAML would read it as something else than text.
fn looks_typed(text: &str) -> bool {
    let number = text.trim_start_matches(['-', '+']);
    let digit = number.strip_prefix('.').unwrap_or(number).bytes().next().is_some_and(|b| b.is_ascii_digit());
    let special =
        ["true", "false", "null", "~", ".inf", ".nan"].contains(&text.to_ascii_lowercase().as_str());
    special
        || (digit && number.parse::<f64>().is_ok())
        || number.starts_with("0x")
        || number.starts_with("0o")
}

/// Types whose value stands without quotes. Durations, sizes and shares may be text.
fn is_number(kind: &Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Int { .. } | Kind::Float { .. })
}

/// What a key takes, for messages, the reference and the schema.
pub(crate) fn expects(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "`true` or `false`".into(),
        Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Float { min, max } => format!("a number from {min} to {max}"),
        Kind::Duration { min, max, .. } => format!(
            "a duration such as `30s` or `1h30m`, from {} to {}",
            text::show_duration(Duration::from_millis(*min)),
            text::show_duration(Duration::from_millis(*max))
        ),
        Kind::Size { min, max } => {
            format!("a size such as `64KiB`, from {} to {}", text::show_size(*min), text::show_size(*max))
        }
        Kind::Ratio { bare: Bare::Percent } => "a percentage such as `50%` or `50`".into(),
        Kind::Ratio { .. } => "a share such as `20%` or `0.2`, at most 100%".into(),
        Kind::Text(rule) => rule.expects().into(),
        Kind::Secret { min } => format!("a secret of at least {min} bytes"),
        Kind::Choice(words) => {
            let words: Vec<_> =
                words.iter().map(|Word(spellings, _)| format!("`{}`", spellings[0])).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::List { .. } => "a list".into(),
        Kind::Labels | Kind::Secrets(_) => "names with values".into(),
        Kind::Block(_) => "a block of keys".into(),
    }
}

fn refusal(kind: &Kind, scalar: &Scalar, why: String, path: &str, at: At) -> Draft {
    let mut draft = Draft::error(path, Some(at), why);
    if scalar.substituted {
        draft.message.push_str("; the value of the variable is something else");
    } else if !scalar.text.is_empty() && !matches!(kind, Kind::Text(_)) {
        draft.found = Some(clip(&scalar.text));
    }
    let Kind::Choice(words) = kind else { return draft };
    let all = words.iter().flat_map(|Word(spellings, _)| spellings.iter().copied());
    match nearest(&scalar.text, all) {
        Some(near) if !scalar.substituted => draft.help(format!("did you mean `{near}`?")),
        _ => draft,
    }
}

pub(super) fn unset(path: &str, at: At, name: &str) -> Draft {
    Draft::error(path, Some(at), format!("the environment variable `{name}` is not set"))
        .help("set it, or change the key")
}

pub(super) fn is_variable(name: &str) -> bool {
    name.len() <= 256
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unit_name(unit: Bare) -> &'static str {
    match unit {
        Bare::Seconds => "seconds",
        Bare::Millis => "milliseconds",
        Bare::Percent => "percent",
        Bare::Share => "as a share",
    }
}

fn show(data: &Data) -> String {
    match data {
        Data::Duration(d) => text::show_duration(*d),
        Data::Ratio(r) => text::show_share(*r),
        _ => String::new(),
    }
}
