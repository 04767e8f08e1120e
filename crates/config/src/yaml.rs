//! YAML text to a tree whose every node knows its place. Types come later: a scalar is its text and whether it was quoted.
//!
//! YAML 1.2 through `granit-parser`, which only yields events; depth, size and alias expansion are bounded here.

use crate::{diagnostic::Draft, source::At};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};
use std::{collections::HashMap, rc::Rc};

/// Deepest nesting, aliases expanded.
pub const MAX_DEPTH: usize = 64;
/// Most nodes in one file, aliases expanded ("billion laughs").
pub const MAX_NODES: usize = 200_000;

/// A node and its place. An alias shares the anchored node, so it has the anchored place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) kind: NodeKind,
    size: usize,
    depth: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Scalar { text: String, plain: bool },
    Seq(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) value: Rc<Node>,
}

impl Node {
    /// What a person would call it.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Map(_) => "a block of keys",
            NodeKind::Seq(_) => "a list",
            NodeKind::Scalar { .. } if self.is_null() => "nothing",
            NodeKind::Scalar { plain: false, .. } => "text in quotes",
            NodeKind::Scalar { .. } => "a single value",
        }
    }

    /// An empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Parses one file. `None` = no document, or an empty one.
pub(crate) fn parse(text: &str, source: u16) -> Result<Option<Rc<Node>>, Box<Draft>> {
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
        emit_comments: false
    };
    let mut builder = Builder { source, stack: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| builder.syntax(&e))?;
        builder.event(event, span)?;
    }
    Ok(builder.root.filter(|root| !root.is_null()))
}

struct Builder {
    source: u16,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    nodes: usize,
}

struct Frame {
    at: At,
    anchor: usize,
    open: Open,
}

enum Open {
    Seq(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, seen: HashMap<String, At>, key: Option<(String, At)> },
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Draft>> {
        let at = self.at(span);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(error(at, "one file holds one document: remove the `---`, or split the file"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = tag.as_ref().is_some_and(|t| t.is_yaml_core_schema_tag("str"));
                if tag.is_some() && !text_tag {
                    return Err(error(at, "tags are not supported"));
                }
                let plain = style == ScalarStyle::Plain && !text_tag;
                let kind = NodeKind::Scalar { text: text.into_owned(), plain };
                self.node(Rc::new(Node { at, kind, size: 1, depth: 1 }), anchor, 1)
            }
            Event::SequenceStart(_, anchor, None) => self.open(at, anchor, Open::Seq(Vec::new())),
            Event::MappingStart(_, anchor, None) => {
                self.open(at, anchor, Open::Map { entries: Vec::new(), seen: HashMap::new(), key: None })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => Err(error(at, "tags are not supported")),
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(id) => match self.anchors.get(&id).map(Rc::clone) {
                Some(node) => {
                    let size = node.size;
                    self.node(node, 0, size)
                }
                None => Err(error(at, "this alias stands inside the anchor that it names")),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: At, anchor: usize, open: Open) -> Result<(), Box<Draft>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(error(at, too_deep()));
        }
        self.stack.push(Frame { at, anchor, open });
        Ok(())
    }

    fn close(&mut self, end: At) -> Result<(), Box<Draft>> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let at = At { end: end.end.max(frame.at.end), ..frame.at };
        let (kind, size, depth) = match frame.open {
            Open::Seq(items) => {
                let size = items.iter().map(|n| n.size).sum::<usize>();
                let depth = items.iter().map(|n| n.depth).max().unwrap_or(0);
                (NodeKind::Seq(items), size, depth)
            }
            Open::Map { entries, .. } => {
                let size = entries.iter().map(|e| e.value.size).sum::<usize>();
                let depth = entries.iter().map(|e| e.value.depth).max().unwrap_or(0);
                (NodeKind::Map(entries), size, depth)
            }
        };
        self.node(Rc::new(Node { at, kind, size: size + 1, depth: depth + 1 }), frame.anchor, 1)
    }

    /// Places a node. `counts` is 1 (what is inside has counted already), or for an alias all that it repeats.
    fn node(&mut self, node: Rc<Node>, anchor: usize, counts: usize) -> Result<(), Box<Draft>> {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.nodes = self.nodes.saturating_add(counts);
        if self.nodes > MAX_NODES {
            return Err(error(node.at, format!("more than {MAX_NODES} values, aliases expanded")));
        }
        if self.stack.len() + node.depth > MAX_DEPTH + 1 {
            return Err(error(node.at, format!("nested deeper than {MAX_DEPTH} levels, aliases expanded")));
        }
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::Seq(items)) => items.push(node),
            Some(Open::Map { entries, seen, key }) => match key.take() {
                Some((key, key_at)) => entries.push(Entry { key, key_at, value: node }),
                None => *key = Some(map_key(&node, seen)?),
            },
        }
        Ok(())
    }

    fn at(&self, span: Span) -> At {
        let range = span.byte_range().unwrap_or(0..0);
        At { source: self.source, start: range.start as u32, end: range.end as u32 }
    }

    fn syntax(&self, e: &ScanError) -> Box<Draft> {
        let start = e.marker().byte_offset().unwrap_or(0) as u32;
        let at = At { source: self.source, start, end: start };
        match e.kind() {
            ErrorKind::RecursionLimitExceeded => error(at, too_deep()),
            _ => error(at, format!("not YAML: {}", e.info())),
        }
    }
}

fn map_key(node: &Node, seen: &mut HashMap<String, At>) -> Result<(String, At), Box<Draft>> {
    let NodeKind::Scalar { text, plain } = &node.kind else {
        return Err(error(node.at, "a key must be a word, not a list or a block"));
    };
    if *plain && text == "<<" {
        return Err(error(node.at, "merge keys (`<<`) are not supported: give several files instead"));
    }
    if let Some(first) = seen.insert(text.clone(), node.at) {
        let mut draft = error(node.at, format!("`{}` is given twice in one block", clip(text)));
        draft.also.push((first, "first here".into()));
        return Err(draft);
    }
    Ok((text.clone(), node.at))
}

/// Text from a file, short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    let clean: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.len() < text.len() { format!("{clean}...") } else { clean }
}

fn too_deep() -> String {
    format!("nested deeper than {MAX_DEPTH} levels")
}

fn error(at: At, message: impl Into<String>) -> Box<Draft> {
    // Types are not known yet, so any value could be a secret.
    Box::new(Draft { blind: true, ..Draft::error("", Some(at), message) })
}
