//! The fixture's journal: which replica executed each nonce of `record`, across kills and restarts.

use crate::Result;
use std::{collections::HashMap, path::Path};

/// Reads a journal: replica by nonce. A nonce that is there twice is an error.
pub fn executed(journal: &Path) -> Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(journal)?;
    let mut found = HashMap::new();
    for line in text.lines() {
        let (nonce, replica) =
            line.split_once(' ').ok_or_else(|| format!("a torn line in the journal: {line:?}"))?;
        if let Some(first) = found.insert(nonce.to_owned(), replica.to_owned()) {
            return Err(format!("{nonce} ran twice: on {first} and on {replica}").into());
        }
    }
    Ok(found)
}
