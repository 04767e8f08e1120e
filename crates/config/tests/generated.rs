//! The reference page and the JSON Schema in the repository are what the schema says. `UPDATE=1` writes them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{EXAMPLES, example, folder};
use holdfast_config::{json_schema, reference_markdown};
use serde_json::Value;

fn check(path: &str, fresh: &str) {
    let path = folder("../..").join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, fresh).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == fresh, "{} is stale: run `UPDATE=1 cargo test -p holdfast-config`", path.display());
}

#[test]
fn the_reference_page_is_fresh() {
    check("docs/reference/config.md", &reference_markdown());
}

#[test]
fn the_json_schema_is_fresh() {
    check("schema/holdfast.schema.json", &(serde_json::to_string_pretty(&json_schema()).unwrap() + "\n"));
}

#[test]
fn every_reference_in_the_json_schema_resolves() {
    fn walk(value: &Value, schema: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    assert!(schema.pointer(&target[1..]).is_some_and(|found| !found.is_null()), "{target}");
                }
                map.values().for_each(|value| walk(value, schema));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, schema)),
            _ => {}
        }
    }
    let schema = json_schema();
    walk(&schema, &schema);
}

/// Every key of every example is a property of the schema, at its place.
#[test]
fn the_json_schema_knows_the_keys_of_the_examples() {
    let schema = json_schema();
    for name in EXAMPLES {
        let text = example(name);
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((key, _)) = line.trim_start_matches([' ', '-']).split_once(':') else { continue };
            let known = schema["$defs"].as_object().unwrap().values().any(|block| {
                let object = if block["anyOf"].is_array() { &block["anyOf"][0] } else { block };
                !object["properties"][key].is_null()
            });
            let labels = ["region", "deployment", "http", "https"];
            assert!(known || labels.contains(&key), "{name}: {key}");
        }
    }
}

/// Each anchor of the page leads to a heading of the page.
#[test]
fn the_links_of_the_reference_lead_somewhere() {
    let page = reference_markdown();
    let slug = |heading: &str| -> String {
        heading
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || "_-".contains(c) => Some(c),
                _ => None,
            })
            .collect()
    };
    let headings: Vec<String> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(slug).collect();
    assert_eq!(
        headings.len(),
        headings.iter().collect::<std::collections::BTreeSet<_>>().len(),
        "headings differ"
    );
    for (_, rest) in page.match_indices("](#").map(|(i, m)| (i, &page[i + m.len()..])) {
        let anchor = rest.split(')').next().unwrap().to_owned();
        assert!(headings.contains(&anchor), "{anchor}");
    }
}
