//! `<key>_env`: the name of a variable in place of the value.

use super::{
    Decoder,
    scalar::{decode_text, is_variable, unset},
};
use crate::{
    diagnostic::Draft,
    schema::{Key, Kind},
    value::{Data, Origin, SecretFrom, Val},
    yaml::{Node, NodeKind},
};

impl Decoder<'_> {
    /// `<key>_env`: the variable that holds the value; a list is written with commas.
    pub(super) fn variable(&mut self, key: &'static Key, path: &str, node: &Node) -> Option<Val> {
        let NodeKind::Scalar { text: raw, plain } = &node.kind else {
            let message = format!("expected the name of a variable, found {}", node.describe());
            self.hide(node);
            self.drafts.push(Draft::error(path, Some(node.at), message));
            return None;
        };
        let name = self.substitute(raw, *plain, path, node.at)?.text;
        if !is_variable(&name) {
            // Somebody may have put the secret itself here.
            self.hide(node);
            self.drafts.push(
                Draft::error(path, Some(node.at), "expected the name of an environment variable")
                    .help("`*_env` keys name a variable; the value itself goes to the key without `_env`"),
            );
            return None;
        }
        let Some(value) = self.env.var(&name) else {
            self.drafts.push(unset(path, node.at, &name));
            return None;
        };
        if matches!(key.kind, Kind::Secret { .. }) {
            return self.secret(&key.kind, &value, SecretFrom::EnvKey(name), path, node.at);
        }
        match plain_value(key, &value) {
            Ok(data) => Some(Val { data, at: Some(node.at), origin: Origin::Given, written: None }),
            Err(why) => {
                let message = format!("{why}; the value of `{name}` is something else");
                self.drafts.push(Draft::error(path, Some(node.at), message));
                None
            }
        }
    }
}

fn plain_value(key: &'static Key, value: &str) -> Result<Data, String> {
    let Kind::List { of, max, .. } = key.kind else {
        return decode_text(&key.kind, value.trim_end_matches(['\r', '\n']));
    };
    let items: Vec<&str> = value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if items.len() > max {
        return Err(format!("has more than {max} entries"));
    }
    let items = items.into_iter().map(|item| Ok(Val::derived(decode_text(of, item)?, Origin::Given)));
    items.collect::<Result<_, _>>().map(Data::List)
}
