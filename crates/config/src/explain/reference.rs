//! The reference page, one section a block.

use crate::{
    decode::expects,
    schema::{Bare, Block, Def, Key, Kind, ROOT, Word},
};

const HEAD: &str = "# Configuration reference

Generated from the schema; `cargo test -p holdfast-config` fails when it is stale, and `UPDATE=1` writes it.

- Every key is optional unless its default says *required*. An unknown key is an error, with the nearest name.
- Several files merge in order: blocks deeply, a later list replaces an earlier one, and one key with two different values is an error.
- `${NAME}` in a value is an environment variable, put in after parsing; `$${` is a literal `${`. A variable that is not set is an error.
- A secret `token` may instead be given as `token_env: NAME`.
- Durations: `30s`, `1h30m`, `100ms` (`d h m s ms us ns`). Sizes: `64KiB`, `1MB`. Shares: `20%`. A bare number has the unit that the table names.
- `true`, `on`, `yes` and `false`, `off`, `no` are the words of a switch.
- A key marked *restart* takes effect when the process starts; every other key also on reload.
";

/// The page, in Markdown.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut queue: Vec<(&'static Block, Vec<String>)> = vec![(&ROOT, vec![String::new()])];
    let mut index = 0;
    while index < queue.len() {
        let (schema, places) = queue[index].clone();
        for key in schema.keys() {
            let inner = match key.kind {
                Kind::Block(inner) => Some((inner, "")),
                Kind::List { of: Kind::Block(inner), .. } => Some((*inner, "[]")),
                _ => None,
            };
            let Some((inner, suffix)) = inner else { continue };
            let here =
                places.iter().map(|place| crate::decode::join(place, &format!("{}{suffix}", key.name)));
            match queue.iter_mut().find(|(known, _)| std::ptr::eq(*known, inner)) {
                Some((_, places)) => places.extend(here),
                None => queue.push((inner, here.collect())),
            }
        }
        index += 1;
    }
    for (schema, places) in &queue {
        section(&mut page, schema, places);
    }
    page
}

fn section(page: &mut String, schema: &'static Block, places: &[String]) {
    put!(page, "\n## {}\n\n", if schema.name == "root" { "Root" } else { schema.name });
    let places: Vec<String> =
        places.iter().filter(|place| !place.is_empty()).map(|place| format!("`{place}`")).collect();
    if !places.is_empty() {
        put!(page, "At {}. ", places.join(", "));
    }
    put!(page, "{}\n\n| key | type | default | meaning |\n|---|---|---|---|\n", schema.doc);
    for key in schema.keys() {
        page.push_str(&row(key));
    }
}

fn row(key: &'static Key) -> String {
    let mut name = format!("`{}`", key.name);
    if key.has_env() {
        put!(name, ", `{}_env`", key.name);
    }
    for also in key.also {
        let unit = also.bare.map(|bare| format!(" ({})", unit(bare))).unwrap_or_default();
        put!(name, ", `{}`{unit}", also.name);
    }
    let mut meaning = key.doc.to_owned();
    let item = if let Kind::List { of, .. } = key.kind { *of } else { key.kind };
    if let Kind::Choice(words) = item {
        let told = words.iter().filter(|Word(_, doc)| !doc.is_empty());
        let told: Vec<String> =
            told.map(|Word(spellings, doc)| format!("{} = {doc}", spellings.map_code())).collect();
        if !told.is_empty() {
            put!(meaning, " {}.", told.join("; "));
        }
    }
    if key.restart {
        meaning.push_str(" *restart*");
    }
    let cells = [name, kind(&key.kind), default(key), meaning].map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

/// Spellings of a word, as code.
trait MapCode {
    fn map_code(&self) -> String;
}
impl MapCode for &[&str] {
    fn map_code(&self) -> String {
        self.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join("/")
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Def::None => "none".into(),
        Def::Text(text) => format!("`{text}`"),
        Def::Off => "`off`".into(),
        Def::Empty if matches!(key.kind, Kind::Block(_)) => "its own defaults".into(),
        Def::Empty => "empty".into(),
        Def::Rule(rule) => rule.into(),
        Def::Required => "*required*".into(),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Block(schema) => format!("block [{}](#{})", schema.name, anchor(schema)),
        Kind::List { of: Kind::Block(schema), .. } => {
            format!("list of [{}](#{})", schema.name, anchor(schema))
        }
        Kind::List { of, one: true, .. } => format!("list of, or one: {}", self::kind(of)),
        Kind::List { of, .. } => format!("list of: {}", self::kind(of)),
        Kind::Duration { bare, .. } | Kind::Ratio { bare } => {
            format!("{}; bare number: {}", expects(kind), unit(*bare))
        }
        Kind::Size { .. } => format!("{}; bare number: bytes", expects(kind)),
        _ => expects(kind),
    }
}

fn unit(bare: Bare) -> &'static str {
    match bare {
        Bare::Seconds => "seconds",
        Bare::Millis => "milliseconds",
        Bare::Percent => "percent",
        Bare::Share => "share",
    }
}

/// The anchor that Markdown renderers give to the section's heading.
fn anchor(schema: &Block) -> String {
    schema
        .name
        .to_ascii_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => Some(c),
            _ => None,
        })
        .collect()
}
