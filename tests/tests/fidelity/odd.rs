//! JSON that a careless reader would change: huge numbers, odd Unicode, lone surrogates, keys twice, blanks.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// White space between tokens.
pub(crate) const BLANKS: [&str; 8] = ["", "", "", "", " ", "\n", "\r\n\t", " \r "];

/// A number that no double holds, or that is written as nobody would.
fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?"
}

/// A string, written with its usual escapes or with others. Lone surrogates are among them.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| quoted(&text)),
        "\"(\\\\u[0-9a-fA-F]{4}|\\\\[bfnrt\"\\\\/]|[a-zé漢🙈\u{85}\u{2028}\u{feff}\u{7f}]){0,24}\"",
    ]
}

/// A string that stands for a text: every escape has its other half.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| quoted(&text)),
        "\"([a-zé漢🙈\u{2028}]|\\\\u00[2-7][0-9a-fA-F]|\\\\/|\\\\ud83d\\\\ude48|\\\\n){1,16}\"",
    ]
}

/// Any JSON value.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0".to_owned()),
        number(),
        string(),
        string()
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let blank = || proptest::sample::select(&BLANKS[..]);
        let spaced =
            (blank(), inner, blank()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        // A few names only: keys occur twice.
        let key = prop_oneof![string(), "\"[a-c]\"", Just("\"_meta\"".to_owned()), Just("\"id\"".to_owned())];
        let member =
            (key, blank(), spaced.clone()).prop_map(|(key, blank, value)| format!("{key}{blank}:{value}"));
        prop_oneof![
            proptest::collection::vec(spaced, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

/// A key that no version of the protocol knows.
fn key() -> impl Strategy<Value = String> {
    string().prop_map(|text| format!("\"x{}", &text[1..]))
}

/// What one step of a conversation is made of.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    /// Unknown members, as raw key and raw value.
    pub(crate) members: Vec<(String, String)>,
    pub(crate) values: Vec<String>,
    pub(crate) texts: Vec<String>,
    /// Decides the rest: order, blanks, what happens.
    pub(crate) seed: u64,
}

fn draw() -> impl Strategy<Value = Draw> {
    let some = 4..12;
    (
        proptest::collection::vec((key(), value()), some.clone()),
        proptest::collection::vec(value(), some.clone()),
        proptest::collection::vec(text(), some),
        any::<u64>(),
    )
        .prop_map(|(members, values, texts, seed)| Draw { members, values, texts, seed })
}

/// Draws, all of them decided by a seed.
pub(crate) struct Lots {
    runner: TestRunner,
}

impl Lots {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self { runner: TestRunner::new_with_rng(Config::default(), rng) }
    }

    pub(crate) fn next(&mut self) -> holdfast_tests::Result<Draw> {
        let tree = draw().new_tree(&mut self.runner);
        Ok(tree.map_err(|why| format!("no draw: {why}"))?.current())
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
