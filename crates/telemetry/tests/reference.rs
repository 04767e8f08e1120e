//! The reference page in the tree is the one the table makes. `UPDATE=1 cargo test` rewrites it.

use std::{fs, path::Path};

#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let page = holdfast_telemetry::metrics::reference_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reference/metrics.md is not what the table says; run with UPDATE=1 and commit it"
    );
}
