//! The tables hold together: each default is legal, each key refuses what it must, each name is found.

use super::*;
use crate::{Role, Source, decode::default_value, load, restart::RESTART_KEYS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Every key with the way to it: block names, `true` where a list is on the way.
fn all_keys() -> Vec<(Vec<(&'static str, bool)>, &'static Key)> {
    fn visit(
        block: &'static Block,
        way: &[(&'static str, bool)],
        all: &mut Vec<(Vec<(&'static str, bool)>, &'static Key)>,
    ) {
        for key in block.keys() {
            all.push((way.to_vec(), key));
            let (inner, list) = match key.kind {
                Kind::Block(inner) => (inner, false),
                Kind::List { of: Kind::Block(inner), .. } => (*inner, true),
                _ => continue,
            };
            let mut way = way.to_vec();
            way.push((key.name, list));
            visit(inner, &way, all);
        }
    }
    let mut all = Vec::new();
    visit(&ROOT, &[], &mut all);
    all
}

/// A document with one key, and the path that messages give it.
fn document(way: &[(&'static str, bool)], name: &str, value: &Value) -> (String, String) {
    let mut path = name.to_owned();
    let mut document = json!({ name: value });
    for (block, list) in way.iter().rev() {
        path = format!("{block}{}.{path}", if *list { "[0]" } else { "" });
        document = if *list { json!({ *block: [document] }) } else { json!({ *block: document }) };
    }
    (document.to_string(), path)
}

/// Paths and messages of the errors of a document.
fn errors(text: &str) -> Vec<(String, String)> {
    let source = Source::Text { name: "t".into(), text: text.into() };
    match load(&[source], &BTreeMap::new(), Role::Any) {
        Ok(_) => Vec::new(),
        Err(report) => report.errors().map(|e| (e.path.clone(), e.message.clone())).collect(),
    }
}

fn wrong(kind: &Kind) -> Vec<Value> {
    let mut wrong = vec![json!([[1]]), json!({"wrong": {"type": 1}}), Value::Null];
    wrong.extend(match kind {
        Kind::Bool => vec![json!("maybe"), json!(1), json!("true!")],
        Kind::Int { max, .. } => {
            vec![json!("many"), json!(1.5), json!(-1), json!("1"), json!(u128::from(*max) + 1)]
        }
        Kind::Float { .. } => vec![json!("big"), json!(-1), json!(1e9), json!("2")],
        Kind::Duration { .. } => {
            vec![json!("soon"), json!(-1), json!("5 parsecs"), json!("90000000s"), json!("1s1s")]
        }
        Kind::Size { .. } => vec![json!("much"), json!(-1), json!("1 elephant"), json!("99999999TiB")],
        Kind::Ratio { .. } => vec![json!("half"), json!(-1), json!("101%"), json!(101)],
        Kind::Text(_) => vec![json!(1.5), json!(true), json!("")],
        Kind::Secret { min } => vec![json!("x".repeat(min - 1)), json!("***")],
        Kind::Choice(_) => vec![json!("nonsense"), json!(77)],
        Kind::List { one: false, .. } => vec![json!("one")],
        Kind::List { .. } => vec![json!([null])],
        Kind::Secrets(_) => vec![json!("text"), json!({"a b": "c"}), json!({"a": "***"})],
        Kind::Labels => vec![json!("text"), json!({"a b": "c"}), json!({"a": 1.5})],
        Kind::Block(_) => vec![json!([]), json!("nonsense")],
    });
    wrong
}

#[test]
fn every_key_refuses_the_wrong_type_at_its_own_path() {
    let mut count = 0;
    for (way, key) in all_keys() {
        let names = std::iter::once(key.name).chain(key.also.iter().map(|also| also.name));
        for (name, value) in
            names.flat_map(|name| wrong(&key.kind).into_iter().map(move |value| (name, value)))
        {
            let (text, path) = document(&way, name, &value);
            let found = errors(&text);
            assert!(found.iter().any(|(at, _)| at.starts_with(&path)), "{text}: {found:?}");
            count += 1;
        }
    }
    assert!(count > 1500, "{count} mutations");
}

#[test]
fn every_key_refuses_a_wrong_name_and_names_the_right_one() {
    for (way, key) in all_keys() {
        let (text, path) = document(&way, &format!("{}x", key.name), &json!("v"));
        assert!(
            errors(&text).iter().any(|(at, message)| *at == path && message.contains("unknown key")),
            "{text}"
        );
    }
}

#[test]
fn every_default_is_a_legal_value_of_its_key() {
    for (way, key) in all_keys() {
        if matches!(key.default, Def::Text(_) | Def::Off) {
            assert!(default_value(key).is_some(), "{way:?} {}", key.name);
        }
        if let (Def::Text(text), false) = (key.default, matches!(key.kind, Kind::List { .. })) {
            let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            let (document, path) = document(&way, key.name, &value);
            let fine = |(at, message): &(String, String)| *at != path || message.contains("is taken");
            assert!(errors(&document).iter().all(fine), "{document}");
        }
    }
}

#[test]
fn every_documented_key_without_code_is_refused_with_that_reason() {
    for name in ROOT.reserved {
        let found = errors(&format!("{name}: 1"));
        assert!(
            found.iter().any(|(at, message)| at == name && message.contains("no code behind it")),
            "{found:?}"
        );
    }
}

#[test]
fn no_two_keys_of_a_block_share_a_spelling() {
    let mut blocks: Vec<&'static Block> = vec![&ROOT];
    let mut index = 0;
    while index < blocks.len() {
        let block = blocks[index];
        let spellings = block.spellings();
        assert_eq!(spellings.iter().collect::<BTreeSet<_>>().len(), spellings.len(), "{}", block.name);
        assert!(block.reserved.iter().all(|name| !spellings.iter().any(|s| s == name)), "{}", block.name);
        for key in block.keys() {
            if let Kind::Block(inner) | Kind::List { of: &Kind::Block(inner), .. } = key.kind
                && !blocks.iter().any(|known| std::ptr::eq(*known, inner))
            {
                blocks.push(inner);
            }
        }
        index += 1;
    }
    let names: BTreeSet<_> = blocks.iter().map(|block| block.name).collect();
    assert_eq!(names.len(), blocks.len(), "block names differ");
}

#[test]
fn what_the_reference_marks_as_restart_is_what_a_reload_reports() {
    let marked: BTreeSet<String> = all_keys()
        .into_iter()
        .filter(|(_, key)| key.restart)
        .map(|(way, key)| match way[..] {
            [("server", _)] if key.name != "workers" => ".listeners".to_owned(),
            [("listeners", _)] => ".listeners".to_owned(),
            _ => way
                .iter()
                .map(|(block, _)| *block)
                .chain([key.name])
                .fold(String::new(), |path, name| path + "." + name),
        })
        .collect();
    assert_eq!(marked, RESTART_KEYS.iter().map(|(key, _)| (*key).to_owned()).collect());
}
