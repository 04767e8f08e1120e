//! What several test targets need.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use holdfast_config::{Loaded, Report, Role, Source, load};
use std::{collections::BTreeMap, path::PathBuf};

pub const EXAMPLES: [&str; 6] = [
    "connection-tuning.yaml",
    "circuit-breaker-rate.yaml",
    "circuit-breaker-count.yaml",
    "retry.yaml",
    "ssl-configuration.yaml",
    "gateway.yaml",
];

pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub fn example(name: &str) -> String {
    std::fs::read_to_string(folder("tests/examples").join(name)).unwrap()
}

pub fn environment() -> BTreeMap<String, String> {
    [
        ("REGION", "eu: \"west\" # 1"),
        ("PORT", "9443"),
        ("JWT_SECRET_KEY", "jwt-secret-0123456789abcdef01234"),
        ("ADMIN_TOKEN", "admin-secret-0123456789"),
        ("SESSION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("SEARCH_TOKEN", "Bearer search-secret"),
        ("BILLING_KEY", "billing-secret-0123456789"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

pub fn load_text(text: &str, role: Role) -> Result<Loaded, Report> {
    load(&[Source::Text { name: "test.yaml".into(), text: text.into() }], &environment(), role)
}

/// The whole report of a text that must be refused.
pub fn refused(text: &str) -> String {
    refused_for(text, Role::Any)
}

pub fn refused_for(text: &str, role: Role) -> String {
    match load_text(text, role) {
        Ok(_) => panic!("accepted: {text}"),
        // Lines are not wrapped here.
        Err(report) => report.errors().fold(report.render(false), |text, error| format!("{text}{error}\n")),
    }
}
