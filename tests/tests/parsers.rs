//! Every parser of bytes from outside meets its corpus and mutations of it. A parser's entry point panics only when
//! Holdfast breaks a promise: that is the finding.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

use holdfast_tests::{Result, load, place, soak};
use std::{
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
    time::Instant,
};

/// Mutations tried of each corpus; `FUZZ_ROUNDS` overrides this and the numbers of the long form.
const ROUNDS: usize = 3_000;
/// After so many rounds the mutations start from the corpus again.
const ROUNDS_FROM_CORPUS: usize = 1_000;
/// One round in so many leaves its input in the pool, so that mutations pile up.
const KEPT_OF: usize = 16;
/// Largest input tried.
const INPUT_BYTES_MAX: usize = 8 << 10;

/// The tests, one a parser, and the list of their corpora. The last number: mutations in the long form, each some minutes
/// on one core.
macro_rules! parsers {
    ($($name:ident: $corpus:literal => $target:path, $soak:literal;)*) => {
        $(
            #[test]
            fn $name() -> Result {
                explore($corpus, $target, $soak)
            }
        )*

        const CORPORA: &[&str] = &[$($corpus),*];
    };
}

parsers! {
    configurations_survive: "config/fuzz/corpus/config" => holdfast_config::fuzz_load, 1_500_000;
    request_framing_survives: "edge/fuzz/corpus/guard" => holdfast_edge::fuzz_guard, 20_000_000;
    proxy_headers_survive: "edge/fuzz/corpus/proxy_v2" => holdfast_edge::fuzz_proxy_v2, 50_000_000;
    mcp_frames_survive: "mcp/fuzz/corpus/frame" => holdfast_mcp::fuzz::frame, 40_000_000;
    mcp_headers_survive: "mcp/fuzz/corpus/headers" => holdfast_mcp::fuzz::headers, 20_000_000;
    event_streams_survive: "mcp/fuzz/corpus/sse" => holdfast_mcp::fuzz::sse, 15_000_000;
    http_responses_survive: "upstream/fuzz/corpus/h1_response" => holdfast_upstream::fuzz_http1_response, 20_000_000;
    peer_hellos_survive: "peers/fuzz/corpus/hello" => holdfast_peers::fuzz::hello, 10_000_000;
    peer_notes_survive: "peers/fuzz/corpus/notes" => holdfast_peers::fuzz::notes, 20_000_000;
    peer_questions_survive: "peers/fuzz/corpus/question" => holdfast_peers::fuzz::question, 10_000_000;
    peer_frames_survive: "peers/fuzz/corpus/frame" => holdfast_peers::fuzz::frame, 20_000_000;
    websocket_frames_survive: "websocket/fuzz/corpus/websocket" => holdfast_websocket::fuzz::websocket, 10_000_000;
    tokens_survive: "mcp/fuzz/corpus/token" => holdfast_mcp::fuzz::token, 8_000_000;
}

/// The inputs in one folder below `crates`, in the order of their names.
fn inputs(corpus: &str) -> Result<Vec<Vec<u8>>> {
    let folder = place::root().join("crates").join(corpus);
    let entries = std::fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    assert!(files.len() >= 5, "the corpus {corpus} is too small to mean anything");
    files.iter().map(|file| Ok(std::fs::read(file)?)).collect()
}

fn rounds(long: usize) -> Result<usize> {
    match std::env::var("FUZZ_ROUNDS") {
        Ok(text) => text.parse().map_err(|why| format!("FUZZ_ROUNDS={text}: {why}").into()),
        Err(_) => Ok(if soak() { long } else { ROUNDS }),
    }
}

/// Replays the corpus and then mutations of it: the same ones each time, so that a finding can be met again.
fn explore(corpus: &str, target: fn(&[u8]), long: usize) -> Result {
    let (seeds, rounds, begin) = (inputs(corpus)?, rounds(long)?, Instant::now());
    for seed in &seeds {
        attempt(corpus, target, seed)?;
    }
    let mut rng = fastrand::Rng::with_seed(0x486f_6c64);
    let mut pool = seeds.clone();
    for round in 0..rounds {
        if round % ROUNDS_FROM_CORPUS == 0 {
            pool.clone_from(&seeds);
        }
        let place = rng.usize(..pool.len());
        let mut input = pool[place].clone();
        for _ in 0..rng.usize(1..6) {
            mutate(&mut input, &seeds, &mut rng);
        }
        input.truncate(INPUT_BYTES_MAX);
        attempt(corpus, target, &input)?;
        if rng.usize(..KEPT_OF) == 0 {
            pool[place] = input;
        }
    }
    load::total(&format!(
        "parser {corpus}: {} inputs of the corpus and {rounds} mutations in {:.0} s",
        seeds.len(),
        begin.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn attempt(corpus: &str, target: fn(&[u8]), input: &[u8]) -> Result {
    panic::catch_unwind(AssertUnwindSafe(|| target(input))).map_err(|_| {
        format!("{corpus}: a promise broke with this input:\nb\"{}\"", input.escape_ascii()).into()
    })
}

/// One small change: a byte that means something, any byte, a bit, a cut, a piece of another input, a piece again.
fn mutate(data: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut fastrand::Rng) {
    let at = rng.usize(..=data.len());
    match rng.u8(..7) {
        0 => data.insert(at, b"\"\\{}[],:\n\r \0\xff.=?0"[rng.usize(..17)]),
        1 if at < data.len() => data[at] = rng.u8(..),
        2 if at < data.len() => data[at] ^= 1 << rng.u8(..8),
        3 => drop(data.drain(at..(at + rng.usize(..8)).min(data.len()))),
        4 if rng.u8(..4) == 0 => data.truncate(at),
        5 => {
            let end = (at + rng.usize(..40)).min(data.len());
            let piece = data[at..end].to_vec();
            data.splice(at..at, piece);
        }
        _ => {
            let other = &seeds[rng.usize(..seeds.len())];
            let from = rng.usize(..=other.len());
            let to = (from + rng.usize(..40)).min(other.len());
            data.splice(at..at, other[from..to].iter().copied());
        }
    }
}

#[test]
fn every_corpus_has_its_test() -> Result {
    let mut found = BTreeSet::new();
    for room in std::fs::read_dir(place::root().join("crates"))? {
        let room = room?;
        let Ok(corpora) = std::fs::read_dir(room.path().join("fuzz/corpus")) else { continue };
        for corpus in corpora {
            let (room, corpus) = (room.file_name(), corpus?.file_name());
            found.insert(format!("{}/fuzz/corpus/{}", room.to_string_lossy(), corpus.to_string_lossy()));
        }
    }
    let known: BTreeSet<String> = CORPORA.iter().map(|&corpus| corpus.to_owned()).collect();
    assert_eq!(found, known, "add a row above for each corpus");
    Ok(())
}

#[test]
#[should_panic(expected = "a promise broke with this input")]
fn a_finding_is_an_error_that_shows_its_input() {
    fn picky(data: &[u8]) {
        assert!(!data.is_empty(), "found");
    }
    if let Err(why) = attempt("none", picky, b"") {
        panic!("{why}");
    }
}
