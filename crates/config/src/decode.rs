//! A spanned tree to typed values, by the schema. Every problem is noted and decoding goes on.

mod scalar;
mod unite;
mod variable;

pub(crate) use scalar::{default_value, expects};
pub(crate) use unite::unite;

use crate::{
    diagnostic::Draft,
    schema::{Also, Block, Def, Key, Kind, Names},
    source::{At, Env},
    value::{BlockVal, Data, Origin, Val},
    yaml::{Node, NodeKind, clip},
};
use std::collections::BTreeMap;

/// Below this similarity a suggestion would only confuse.
const SIMILAR: f64 = 0.75;

/// State of one load: the environment, and what was found on the way.
pub(crate) struct Decoder<'a> {
    pub(crate) env: &'a dyn Env,
    pub(crate) drafts: Vec<Draft>,
    /// Places whose text must not be shown.
    pub(crate) secrets: Vec<At>,
}

impl Decoder<'_> {
    /// One document. The keys below `gateway` are the root's own.
    pub(crate) fn document(&mut self, root: &'static Block, node: &Node) -> BlockVal {
        let NodeKind::Map(entries) = &node.kind else {
            self.drafts.push(Draft {
                blind: true,
                ..Draft::error("", Some(node.at), format!("expected keys, found {}", node.describe()))
            });
            return BlockVal::new(root, Some(node.at));
        };
        let mut whole = BlockVal::new(root, Some(node.at));
        for entry in entries.iter().filter(|entry| entry.key != "gateway") {
            self.entry(&mut whole, "", entry);
        }
        for entry in entries.iter().filter(|entry| entry.key == "gateway") {
            let inner = self.block(root, "gateway", &entry.value);
            unite(&mut whole, inner, "", &mut self.drafts);
        }
        whole
    }

    fn block(&mut self, schema: &'static Block, path: &str, node: &Node) -> BlockVal {
        let mut block = BlockVal::new(schema, Some(node.at));
        match (&node.kind, schema.scalar.and_then(|name| schema.key(name))) {
            (NodeKind::Map(entries), _) => {
                for entry in entries {
                    self.entry(&mut block, path, entry);
                }
            }
            (NodeKind::Scalar { .. }, Some(key)) if !node.is_null() => {
                match self.value(key, None, path, node) {
                    Some(val) => block.set(key.name, val),
                    None => _ = block.refused.insert(key.name),
                }
            }
            _ => {
                let found = node.describe();
                self.hide(node);
                self.drafts.push(
                    Draft::error(path, Some(node.at), format!("expected a block of keys, found {found}"))
                        .help("to leave it out, delete the key"),
                );
            }
        }
        block
    }

    /// One entry of a block: finds the key, decodes, and unites it with another spelling of the same key.
    fn entry(&mut self, block: &mut BlockVal, path: &str, entry: &crate::yaml::Entry) {
        let Some((key, also, env)) = block.schema.spelled(&entry.key) else {
            self.hide(&entry.value);
            // Beyond what is shown, the search for a near name would only take time.
            let suggest = self.drafts.len() < crate::MAX_DIAGNOSTICS;
            self.drafts.push(unknown(block.schema, path, &entry.key, entry.key_at, suggest));
            return;
        };
        let path = join(path, &entry.key);
        let val = if env {
            self.variable(key, &path, &entry.value)
        } else {
            self.value(key, also, &path, &entry.value)
        };
        let Some(mut val) = val else {
            block.refused.insert(key.name);
            return;
        };
        // The key is what a person looks for, unless the value is a block with places of its own.
        if !matches!(val.data, Data::Block(_)) {
            val.at = Some(At { end: entry.value.at.end.max(entry.key_at.end), ..entry.key_at });
        }
        if matches!(val.data, Data::Secret(_)) && !env {
            self.secrets.push(entry.value.at);
        }
        match block.fields.get_mut(key.name) {
            None => _ = block.fields.insert(key.name, val),
            Some(first) => unite::values(first, val, &path, &mut self.drafts),
        }
    }

    /// A value of a key; `None` when it was refused, which is noted.
    fn value(&mut self, key: &'static Key, also: Option<&Also>, path: &str, node: &Node) -> Option<Val> {
        if node.is_null() {
            let help = match key.default {
                Def::Required => "give a value",
                _ => "give a value, or delete the key",
            };
            self.drafts.push(Draft::error(path, Some(node.at), "has no value").help(help));
            return None;
        }
        let data = match &key.kind {
            Kind::Block(schema) => Data::Block(self.block(schema, path, node)),
            Kind::List { .. } => self.list(key, path, node)?,
            Kind::Labels => self.labels(path, node)?,
            Kind::Secrets(names) => self.hidden(*names, path, node)?,
            _ => return self.scalar(key, also, path, node),
        };
        Some(Val { data, at: Some(node.at), origin: Origin::Given, written: None })
    }

    fn list(&mut self, key: &'static Key, path: &str, node: &Node) -> Option<Data> {
        let Kind::List { of, max, one } = key.kind else { return None };
        let single = std::slice::from_ref(node);
        let items: Vec<&Node> = match &node.kind {
            NodeKind::Seq(items) => items.iter().map(AsRef::as_ref).collect(),
            NodeKind::Scalar { .. } if one => single.iter().collect(),
            _ => {
                let message = format!("expected a list, found {}", node.describe());
                self.hide(node);
                self.drafts.push(Draft::error(path, Some(node.at), message));
                return None;
            }
        };
        if items.len() > max {
            self.drafts.push(Draft::error(path, Some(node.at), format!("has more than {max} entries")));
            return None;
        }
        let found = self.drafts.len();
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Kind::Block(schema) = of {
                let data = Data::Block(self.block(schema, &path, item));
                list.push(Val { data, at: Some(item.at), origin: Origin::Given, written: None });
            } else {
                list.extend(self.scalar_of(of, key.off, None, &path, item));
            }
        }
        // A list of blocks is kept with what is good in it, so that later checks see the rest.
        (matches!(of, Kind::Block(_)) || self.drafts.len() == found).then_some(Data::List(list))
    }

    fn labels(&mut self, path: &str, node: &Node) -> Option<Data> {
        let text = Kind::Text(crate::schema::Rule::Any);
        let named = self.named(&text, Names::Label, path, node)?;
        let labels = named.into_iter().filter_map(|(name, data)| match data {
            Data::Text(text) => Some((name, text)),
            _ => None,
        });
        Some(Data::Labels(labels.collect()))
    }

    fn hidden(&mut self, names: Names, path: &str, node: &Node) -> Option<Data> {
        // Also where it is no map: it is not known what it is.
        self.hide(node);
        let named = self.named(&Kind::Secret { min: 0 }, names, path, node)?;
        let secrets = named.into_iter().filter_map(|(name, data)| match data {
            Data::Secret(secret) => Some((name, secret)),
            _ => None,
        });
        Some(Data::Secrets(secrets.collect()))
    }

    /// Names with values of one kind.
    fn named(
        &mut self,
        kind: &Kind,
        names: Names,
        path: &str,
        node: &Node,
    ) -> Option<BTreeMap<String, Data>> {
        const MOST: usize = 64;
        let NodeKind::Map(entries) = &node.kind else {
            let message = format!("expected names with values, found {}", node.describe());
            self.drafts.push(Draft::error(path, Some(node.at), message));
            return None;
        };
        if entries.len() > MOST {
            self.drafts.push(Draft::error(path, Some(node.at), format!("has more than {MOST} entries")));
            return None;
        }
        let found = self.drafts.len();
        let mut all = BTreeMap::new();
        for entry in entries {
            let path = join(path, &entry.key);
            if !names.allows(&entry.key) {
                let (wrong, help) = names.expects();
                self.drafts.push(Draft::error(path, Some(entry.key_at), wrong).help(help));
                continue;
            }
            if let Some(val) = self.scalar_of(kind, false, None, &path, &entry.value) {
                all.insert(entry.key.clone(), val.data);
            }
        }
        (self.drafts.len() == found).then_some(all)
    }

    /// Nothing below this node is shown: it is not known what it is.
    fn hide(&mut self, node: &Node) {
        self.secrets.push(node.at);
    }
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { clip(name) } else { format!("{path}.{}", clip(name)) }
}

fn unknown(schema: &'static Block, path: &str, name: &str, at: At, suggest: bool) -> Draft {
    let path = join(path, name);
    if schema.reserved.contains(&name) {
        return Draft::error(path, Some(at), "unknown key: no code behind it yet")
            .help("it is planned; a key enters the schema together with the code that obeys it. Remove it.");
    }
    let draft = Draft::error(path, Some(at), "unknown key");
    if !suggest {
        return draft;
    }
    let spellings = schema.spellings();
    match nearest(name, spellings.iter().map(String::as_str)) {
        Some(near) => draft.help(format!("did you mean `{near}`?")),
        None => draft.help(format!(
            "known here: {}",
            schema.keys().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The most similar word, if it is similar at all.
pub(crate) fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 80;
    let word: String = word.chars().take(LONGEST).collect();
    among
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
