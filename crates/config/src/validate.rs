//! What no single key can know: clashes, dangling references, contradictions, and what a role demands.

mod auth;
mod ha;
mod listeners;
mod policy;
mod redis;
mod tracing;
mod upstreams;

pub(crate) use redis::url_differs as redis_url_differs;

use crate::{
    Role,
    diagnostic::Draft,
    source::At,
    value::{BlockVal, Origin},
};
use std::collections::HashMap;

/// Notes every error and warning of a document with all its effective values.
pub(crate) fn validate(root: &BlockVal, role: Role, drafts: &mut Vec<Draft>) {
    let mut check = Check { root, role, drafts };
    listeners::check(&mut check);
    auth::check(&mut check);
    redis::check(&mut check);
    upstreams::check(&mut check);
    policy::check(&mut check);
    ha::check(&mut check);
    tracing::check(&mut check);
}

struct Check<'a> {
    root: &'a BlockVal,
    role: Role,
    drafts: &'a mut Vec<Draft>,
}

impl Check<'_> {
    fn error(&mut self, path: impl Into<String>, at: Option<At>, message: impl Into<String>) -> &mut Draft {
        self.push(Draft::error(path, at, message))
    }

    fn warning(&mut self, path: impl Into<String>, at: Option<At>, message: impl Into<String>) -> &mut Draft {
        self.push(Draft::warning(path, at, message))
    }

    fn push(&mut self, draft: Draft) -> &mut Draft {
        let index = self.drafts.len();
        self.drafts.push(draft);
        &mut self.drafts[index]
    }

    /// Names that must differ.
    fn unique(&mut self, what: &str, names: &mut Names, name: &str, path: String, at: Option<At>) {
        if let Some(first) = names.get(name) {
            let first = *first;
            let draft = Draft::error(path, at, format!("{what} is taken")).also(first, "by this one");
            self.drafts.push(draft.help("names and prefixes must differ"));
        } else {
            names.insert(name.to_owned(), at);
        }
    }

    /// `low` must not be above `high`. What is inherited as it stands has been checked where it is given.
    fn ordered<T: PartialOrd>(
        &mut self,
        block: &BlockVal,
        path: &str,
        low: (&str, Option<T>),
        high: (&str, Option<T>),
    ) {
        let own = |name: &str| block.get(name).is_some_and(|val| val.origin == Origin::Given);
        let (Some(small), Some(large)) = (low.1, high.1) else { return };
        if small > large && (own(low.0) || own(high.0)) {
            let name = if own(low.0) { low.0 } else { high.0 };
            let other = if own(low.0) { high.0 } else { low.0 };
            let message = format!("`{}` must not be above `{}`", low.0, high.0);
            let draft = Draft::error(format!("{path}.{name}"), block.at_key(name), message);
            self.drafts.push(draft.also(block.get(other).and_then(|val| val.at), "the other one"));
        }
    }

    /// Both or none.
    fn pair(&mut self, block: &BlockVal, path: &str, names: [&str; 2]) {
        for (have, lack) in [(names[0], names[1]), (names[1], names[0])] {
            if block.mentions(have) && !block.mentions(lack) {
                self.error(format!("{path}.{have}"), block.at_key(have), format!("`{have}` needs `{lack}`"));
            }
        }
    }

    /// A file that `serve` must be able to read.
    fn readable(&mut self, block: &BlockVal, path: &str, names: &[&str]) {
        if self.role != Role::Serve {
            return;
        }
        for name in names {
            let Some(file) = block.text(name) else { continue };
            if let Err(e) = std::fs::File::open(file) {
                self.error(format!("{path}.{name}"), block.at_key(name), format!("cannot be opened: {e}"))
                    .help = Some("`serve` reads this file at start".into());
            }
        }
    }
}

/// Names seen so far, with their places.
type Names = HashMap<String, Option<At>>;
