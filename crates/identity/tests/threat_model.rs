//! Every test that the threat model names exists.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                sources(&path, text);
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// `room `name`` as the tables write it.
fn named(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 2);
    let cells = rows.filter_map(|row| row.rsplit(" | ").next());
    cells
        .flat_map(|cell| {
            let parts: Vec<&str> = cell.split('`').collect();
            let pairs = parts.chunks(2).filter_map(|pair| match pair {
                [before, name] => {
                    Some((before.split_whitespace().next_back()?.to_owned(), (*name).to_owned()))
                }
                _ => None,
            });
            pairs.collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 50, "the tables are not read any more: {} names", named.len());
    let mut rooms: HashMap<String, String> = HashMap::new();
    let mut missing = Vec::new();
    for (room, name) in named {
        let text = rooms.entry(room.clone()).or_insert_with(|| {
            let folder = if room == "tests" { root.join("tests") } else { root.join("crates").join(&room) };
            let mut text = String::new();
            sources(&folder, &mut text);
            text
        });
        if !text.contains(&format!("fn {name}(")) {
            missing.push(format!("{room} `{name}`"));
        }
    }
    assert!(missing.is_empty(), "named in docs/threat-model.md, but gone: {missing:#?}");
}
