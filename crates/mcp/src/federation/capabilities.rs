//! What several servers say of themselves, as one.

use serde_json::{Map, Value};

/// Characters of all instructions together: they go into a model's context.
const INSTRUCTIONS_MAX: usize = 16 * 1024;

/// What one member said in its answer to `initialize` or `server/discover`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// `capabilities`
    pub capabilities: Map<String, Value>,
    /// `instructions`
    pub instructions: Option<String>,
}

impl Said {
    /// From a `result`. What has not the right form is as if it had not been said.
    pub fn read(result: &[u8]) -> Self {
        let Ok(Value::Object(mut result)) = serde_json::from_slice(result) else { return Self::default() };
        let capabilities = match result.remove("capabilities") {
            Some(Value::Object(capabilities)) => capabilities,
            _ => Map::new(),
        };
        let instructions = match result.remove("instructions") {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Self { capabilities, instructions }
    }
}

/// Capabilities that some member has: whoever calls reaches that member. A flag is set if one member sets it; objects are united;
/// of two other values that differ, the earlier member's stands.
pub fn capabilities<'s>(members: impl IntoIterator<Item = &'s Said>) -> Map<String, Value> {
    let mut all = Map::new();
    for member in members {
        unite(&mut all, &member.capabilities);
    }
    all
}

fn unite(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (None, value) => {
                into.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(into)), Value::Object(from)) => unite(into, from),
            (Some(Value::Bool(into)), Value::Bool(from)) => *into |= from,
            (Some(_), _) => {}
        }
    }
}

/// The members' instructions, each under its member's name; cut at a whole paragraph if they are too many.
pub fn instructions<'s>(members: impl IntoIterator<Item = (&'s str, &'s Said)>) -> Option<String> {
    let mut all = String::new();
    for (name, said) in members {
        let Some(text) = said.instructions.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            continue;
        };
        if all.len() + name.len() + text.len() + 4 > INSTRUCTIONS_MAX {
            break;
        }
        if !all.is_empty() {
            all.push_str("\n\n");
        }
        all.push_str(name);
        all.push_str(": ");
        all.push_str(text);
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_member_can_the_whole_can() {
        let one = Said::read(
            br#"{"capabilities":{"tools":{"listChanged":false},"logging":{}},"instructions":" be kind "}"#,
        );
        let two = Said::read(
            br#"{"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"x":1},"instructions":"and fast"}"#,
        );
        let all = Value::Object(capabilities([&one, &two, &Said::default()]));
        let expected = serde_json::json!({
            "tools": {"listChanged": true}, "logging": {}, "resources": {"subscribe": true}, "x": 1
        });
        assert_eq!(all, expected);
        let text = instructions([("a", &one), ("none", &Said::default()), ("b", &two)]);
        assert_eq!(text.as_deref(), Some("a: be kind\n\nb: and fast"));
    }

    #[test]
    fn instructions_are_bounded_and_nonsense_says_nothing() {
        let long = Said { instructions: Some("x".repeat(INSTRUCTIONS_MAX)), ..Said::default() };
        let short = Said { instructions: Some("y".to_owned()), ..Said::default() };
        assert_eq!(instructions([("a", &long)]), None);
        assert_eq!(instructions([("b", &short), ("a", &long)]).as_deref(), Some("b: y"));
        for text in [&b"[]"[..], b"{\"capabilities\":3,\"instructions\":[]}", b"nonsense"] {
            assert_eq!(Said::read(text), Said::default());
        }
    }
}
