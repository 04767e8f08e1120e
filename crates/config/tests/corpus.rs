//! Replays the fuzz corpus, and mutations of it: no input panics, and what is accepted survives its print.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use holdfast_config::fuzz_load;
use proptest::prelude::*;

fn corpus() -> Vec<Vec<u8>> {
    let folder = common::folder("fuzz/corpus/config");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut inputs: Vec<_> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    inputs.extend(common::EXAMPLES.map(|name| common::example(name).into_bytes()));
    inputs
}

#[test]
fn the_corpus_holds() {
    let corpus = corpus();
    assert!(corpus.len() >= 15, "{} inputs", corpus.len());
    for input in &corpus {
        fuzz_load(input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_inputs_hold(
        index in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\n]{0,3}", 0usize..4), 1..6),
    ) {
        let corpus = corpus();
        let mut input = corpus[index.index(corpus.len())].clone();
        for (at, text, remove) in cuts {
            if input.is_empty() {
                break;
            }
            let at = at.index(input.len());
            let end = (at + remove).min(input.len());
            input.splice(at..end, text.into_bytes());
        }
        fuzz_load(&input);
    }
}
