//! Entry point of the fuzz target. The corpus is replayed by a normal test.

use crate::{Loaded, PrintOptions, Report, Role, SecretText, Source, load};
use std::collections::BTreeMap;

/// Separates the files of one input.
const NEXT_FILE: &str = "\n%%\n";

/// Loads arbitrary bytes. It must not panic, and what it accepts must print to text that loads to the same configuration,
/// with and without defaults; what it refuses must render.
///
/// # Panics
/// When one of these does not hold: that is the finding.
pub fn fuzz_load(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let texts: Vec<&str> = text.split(NEXT_FILE).take(4).collect();
    match load_texts(&texts) {
        Ok(loaded) => {
            for defaults in [true, false] {
                let printed = loaded.print(PrintOptions { defaults, secrets: SecretText::Shown });
                let again = load_texts(&[&printed]);
                let same = again.as_ref().is_ok_and(|again| again.config == loaded.config);
                assert!(same, "the print differs (defaults: {defaults}):\n{printed}\n{:?}", again.err());
            }
        }
        Err(report) => {
            assert!(report.errors().next().is_some(), "refused without an error");
            assert!(!report.render(false).is_empty() && report.to_json().is_object());
        }
    }
}

fn load_texts(texts: &[&str]) -> Result<Loaded, Report> {
    let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "b: \"#${A}".to_owned())]);
    let sources: Vec<Source> =
        texts.iter().map(|text| Source::Text { name: "fuzz".into(), text: (*text).into() }).collect();
    load(&sources, &env, Role::Any)
}
