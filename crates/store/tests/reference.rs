//! The reference page in the tree is the one the table makes. `UPDATE=1 cargo test` rewrites it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path};

#[test]
fn the_table_of_keys_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/store-keys.md");
    let page = holdfast_store::reference_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reference/store-keys.md is stale: run `UPDATE=1 cargo test -p holdfast-store`"
    );
}
