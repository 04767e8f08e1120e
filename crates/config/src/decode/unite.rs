//! Several spellings, several files and the `gateway` wrapper: maps merge deep, a later file's list replaces,
//! and one leaf with two values is an error that names both places.

use crate::{
    diagnostic::Draft,
    value::{BlockVal, Data, Val},
};

/// Merges `later` into `block`.
pub(crate) fn unite(block: &mut BlockVal, later: BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    block.at = block.at.or(later.at);
    block.refused.extend(later.refused);
    for (name, val) in later.fields {
        match block.fields.get_mut(name) {
            None => _ = block.fields.insert(name, val),
            Some(first) => values(first, val, &super::join(path, name), drafts),
        }
    }
}

/// Merges `later` into `first`, both of one key.
pub(super) fn values(first: &mut Val, later: Val, path: &str, drafts: &mut Vec<Draft>) {
    let other_file = first.at.map(|at| at.source) != later.at.map(|at| at.source);
    match (&mut first.data, later.data) {
        (Data::Block(block), Data::Block(later)) => unite(block, later, path, drafts),
        (Data::Labels(labels), Data::Labels(more)) => {
            for (name, value) in more {
                if labels.get(&name).is_some_and(|old| *old != value) {
                    drafts.push(twice(first.at, later.at, &super::join(path, &name)));
                }
                labels.insert(name, value);
            }
        }
        (Data::Secrets(secrets), Data::Secrets(more)) => {
            for (name, value) in more {
                if secrets.get(&name).is_some_and(|old| *old != value) {
                    drafts.push(twice(first.at, later.at, &super::join(path, &name)));
                }
                secrets.insert(name, value);
            }
        }
        (Data::List(list), Data::List(later)) if other_file => *list = later,
        (data, later_data) if *data == later_data => {}
        _ => drafts.push(twice(first.at, later.at, path)),
    }
}

fn twice(first: Option<crate::source::At>, later: Option<crate::source::At>, path: &str) -> Draft {
    Draft::error(path, later, "given twice, with different values")
        .help("keep one of them, or make them equal")
        .also(first, "the other value")
}
