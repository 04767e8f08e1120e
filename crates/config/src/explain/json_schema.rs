//! The JSON Schema (2020-12) of a configuration file, for editors. The loader is stricter: it also knows what keys mean together.

use crate::{
    decode::{default_value, expects},
    schema::{Bare, Block, Key, Kind, ROOT, Rule, Word},
    value::Data,
};
use serde_json::{Map, Value, json};

/// The schema of one file. Every file is legal alone, so little is required.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert(
        "variable".into(),
        json!({"type": "string", "pattern": "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}", "description": "A value with `${NAME}`."}),
    );
    block(&ROOT, &mut definitions);
    let mut root = definitions.remove(&id(&ROOT)).unwrap_or_default();
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        let wrapped =
            json!({"$ref": "#/$defs/root", "description": "Wrapper: any root key may stand in here."});
        properties.insert("gateway".into(), wrapped);
    }
    definitions.insert("root".into(), root);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Holdfast configuration",
        "$ref": "#/$defs/root",
        "$defs": definitions,
    })
}

fn id(block: &Block) -> String {
    block.name.replace([' ', '(', ')', '[', ']', '.'], "_").trim_end_matches('_').replace("__", "_")
}

fn block(schema: &'static Block, definitions: &mut Map<String, Value>) {
    let id = id(schema);
    if definitions.contains_key(&id) {
        return;
    }
    definitions.insert(id.clone(), Value::Null);
    let mut properties = Map::new();
    for key in schema.keys() {
        properties.insert(key.name.into(), property(key, None, definitions));
        for also in key.also {
            properties.insert(also.name.into(), property(key, Some(also.name), definitions));
        }
        if key.has_env() {
            let doc = format!("Name of the environment variable that holds `{}`.", key.name);
            properties.insert(format!("{}_env", key.name), json!({"type": "string", "description": doc}));
        }
    }
    let object = json!({
        "type": "object", "description": schema.doc, "properties": properties, "additionalProperties": false,
    });
    let definition = match schema.scalar.and_then(|name| schema.key(name)) {
        Some(short) => {
            json!({"anyOf": [object, kind(&short.kind, short.off, definitions)], "description": schema.doc})
        }
        None => object,
    };
    definitions.insert(id, definition);
}

fn property(key: &'static Key, alias: Option<&str>, definitions: &mut Map<String, Value>) -> Value {
    let mut value = kind(&key.kind, key.off, definitions);
    if let Some(object) = value.as_object_mut() {
        let doc = match alias {
            Some(_) => format!("Another name of `{}`. {}", key.name, key.doc),
            None => key.doc.to_owned(),
        };
        object.insert("description".into(), json!(doc));
        if let Some(data) = default_value(key).filter(|_| alias.is_none()) {
            object.insert("default".into(), default(&data));
        }
    }
    value
}

fn kind(kind: &'static Kind, off: bool, definitions: &mut Map<String, Value>) -> Value {
    let variable = json!({"$ref": "#/$defs/variable"});
    let mut forms = match kind {
        Kind::Block(schema) => {
            block(schema, definitions);
            return json!({"$ref": format!("#/$defs/{}", id(schema))});
        }
        Kind::List { of, max, one } => {
            let item = self::kind(of, false, definitions);
            let list = json!({"type": "array", "items": item, "maxItems": max});
            return if *one { json!({"anyOf": [list, item]}) } else { list };
        }
        Kind::Labels | Kind::Secrets(_) => {
            return json!({"type": "object", "additionalProperties": {"type": "string"}});
        }
        Kind::Bool => vec![json!({"type": "boolean"}), json!({"enum": ["on", "off", "yes", "no"]}), variable],
        Kind::Int { min, max } => vec![json!({"type": "integer", "minimum": min, "maximum": max}), variable],
        Kind::Float { min, max } => vec![json!({"type": "number", "minimum": min, "maximum": max}), variable],
        Kind::Duration { .. } => vec![
            json!({"type": "number", "minimum": 0}),
            json!({"type": "string", "pattern": "^([0-9.]+(d|h|m|s|ms|us|ns))+$"}),
            variable,
        ],
        Kind::Size { min, max } => vec![
            json!({"type": "integer", "minimum": min, "maximum": max}),
            json!({"type": "string", "pattern": "^[0-9.]+ ?([KkMmGgTt][Ii]?)?[Bb]$"}),
            variable,
        ],
        Kind::Ratio { bare } => vec![
            json!({"type": "number", "minimum": 0, "maximum": if *bare == Bare::Percent { 100 } else { 1 }}),
            json!({"type": "string", "pattern": "^[0-9.]+ ?%$"}),
            variable,
        ],
        Kind::Text(Rule::Any | Rule::File) => vec![json!({"type": "string", "minLength": 1})],
        Kind::Text(rule) => vec![json!({"type": "string", "minLength": 1, "title": rule.expects()})],
        Kind::Secret { .. } => vec![json!({"type": "string", "title": expects(kind)})],
        Kind::Choice(words) => {
            let spellings = words.iter().flat_map(|Word(spellings, _)| spellings.iter());
            // `off` and `1.2` are legal without quotes, where a generic reader sees something else than text.
            let plain = spellings.flat_map(|word| {
                let typed = serde_json::from_str::<Value>(word).ok().filter(|value| !value.is_string());
                std::iter::once(json!(word)).chain(typed)
            });
            vec![json!({"enum": plain.collect::<Vec<_>>()}), variable]
        }
    };
    if off {
        forms.push(json!({"enum": ["off", "none"]}));
    }
    match (forms.pop(), forms.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            forms.extend(last);
            json!({"anyOf": forms})
        }
    }
}

fn default(data: &Data) -> Value {
    match data {
        Data::Bool(b) => json!(b),
        Data::Int(n) => json!(n),
        Data::Float(n) => json!(n),
        Data::Text(text) => json!(text),
        Data::Word(word) => json!(word),
        Data::List(items) => items.iter().map(|item| default(&item.data)).collect(),
        Data::Labels(_) | Data::Secrets(_) | Data::Block(_) => json!({}),
        data => json!(super::print::scalar(data)),
    }
}
