//! Decoded values: typed by the schema, with their place and where they come from.

use crate::{
    schema::{Block, Key},
    source::At,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A value of one key.
#[derive(Clone, Debug)]
pub(crate) struct Val {
    pub(crate) data: Data,
    pub(crate) at: Option<At>,
    pub(crate) origin: Origin,
    /// The spelling in the file, where it differs from the canonical print: a bare number and its unit.
    pub(crate) written: Option<String>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Given,
    Default,
    /// From the block of this name.
    Inherited(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Off,
    Bool(bool),
    Int(u64),
    Float(f64),
    Duration(Duration),
    Size(u64),
    Ratio(f64),
    Text(String),
    /// The canonical word of a closed list.
    Word(&'static str),
    Secret(SecretData),
    List(Vec<Val>),
    Labels(BTreeMap<String, String>),
    Secrets(BTreeMap<String, SecretData>),
    Block(BlockVal),
}

/// A secret, and how it may be written down again.
#[derive(Clone)]
pub(crate) struct SecretData {
    pub(crate) value: String,
    pub(crate) from: SecretFrom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretFrom {
    /// It stands in the file.
    File,
    /// `<key>_env` names this variable.
    EnvKey(String),
    /// The scalar is exactly `${NAME}`.
    Variable(String),
}

/// A decoded block: fields by canonical name.
#[derive(Clone, Debug)]
pub(crate) struct BlockVal {
    pub(crate) schema: &'static Block,
    pub(crate) at: Option<At>,
    pub(crate) fields: BTreeMap<&'static str, Val>,
    /// Keys whose value was refused: present, so not missing.
    pub(crate) refused: BTreeSet<&'static str>,
}

/// Two values are the same if they mean the same, wherever they stand.
impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}
impl PartialEq for BlockVal {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.schema, other.schema) && self.fields == other.fields
    }
}
impl PartialEq for SecretData {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "*** ({:?})", self.from)
    }
}

impl Val {
    pub(crate) fn derived(data: Data, origin: Origin) -> Self {
        Self { data, at: None, origin, written: None }
    }
    pub(crate) fn block(&self) -> Option<&BlockVal> {
        if let Data::Block(block) = &self.data { Some(block) } else { None }
    }
    pub(crate) fn block_mut(&mut self) -> Option<&mut BlockVal> {
        if let Data::Block(block) = &mut self.data { Some(block) } else { None }
    }
}

impl BlockVal {
    pub(crate) fn new(schema: &'static Block, at: Option<At>) -> Self {
        Self { schema, at, fields: BTreeMap::new(), refused: BTreeSet::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Val> {
        self.fields.get(name)
    }

    /// Sets a key that the schema has; any other name is ignored.
    pub(crate) fn set(&mut self, name: &str, val: Val) {
        if let Some(key) = self.schema.key(name) {
            self.fields.insert(key.name, val);
        }
    }

    /// Given or refused, so that nobody has to say it again.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.fields.contains_key(name) || self.refused.contains(name)
    }

    /// Present and not by default.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.get(name).is_some_and(|val| val.origin != Origin::Default)
    }

    pub(crate) fn block(&self, name: &str) -> Option<&BlockVal> {
        self.get(name)?.block()
    }
    pub(crate) fn block_mut(&mut self, name: &str) -> Option<&mut BlockVal> {
        self.fields.get_mut(name)?.block_mut()
    }
    pub(crate) fn list(&self, name: &str) -> &[Val] {
        match self.get(name).map(|val| &val.data) {
            Some(Data::List(items)) => items,
            _ => &[],
        }
    }
    pub(crate) fn list_mut(&mut self, name: &str) -> &mut [Val] {
        match self.fields.get_mut(name).map(|val| &mut val.data) {
            Some(Data::List(items)) => items,
            _ => &mut [],
        }
    }
    /// The blocks of a list of blocks, with their index.
    pub(crate) fn blocks(&self, name: &str) -> impl Iterator<Item = (usize, &BlockVal)> {
        self.list(name).iter().enumerate().filter_map(|(i, val)| Some((i, val.block()?)))
    }
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }
    pub(crate) fn word(&self, name: &str) -> Option<&'static str> {
        match self.get(name)?.data {
            Data::Word(word) => Some(word),
            _ => None,
        }
    }
    pub(crate) fn int(&self, name: &str) -> Option<u64> {
        match self.get(name)?.data {
            Data::Int(n) => Some(n),
            _ => None,
        }
    }
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name)?.data {
            Data::Bool(b) => Some(b),
            _ => None,
        }
    }
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        match self.get(name)?.data {
            Data::Duration(d) => Some(d),
            _ => None,
        }
    }
    /// The place of a key, or of the block.
    pub(crate) fn at_key(&self, name: &str) -> Option<At> {
        self.get(name).and_then(|val| val.at).or(self.at)
    }

    /// The block at a dotted path, made if absent.
    pub(crate) fn reach(&mut self, path: &[&str]) -> Option<&mut Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let key: &'static Key = self.schema.key(first)?;
        let crate::schema::Kind::Block(schema) = key.kind else { return None };
        self.fields
            .entry(key.name)
            .or_insert_with(|| Val::derived(Data::Block(BlockVal::new(schema, None)), Origin::Given))
            .block_mut()?
            .reach(rest)
    }
}
