//! House rules that no lint knows: how long files and functions may be, and what must not be written in them.

use holdfast_tests::{Result, place, process};
use std::{path::PathBuf, process::Command};

/// A source file has fewer lines. The number may only be lowered.
const FILE_LINES: usize = 400;
/// A function has fewer lines. The number may only be lowered.
const FUNCTION_LINES: usize = 70;
/// Largest file of any kind; a bigger one is an artefact.
const FILE_BYTES: u64 = 256 << 10;

/// Marks of unfinished work, put together here so that this file does not contain them.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

/// Every file that git knows or would add.
fn files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(place::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let names = process::run(&mut git)?;
    Ok(names.lines().map(|name| place::root().join(name)).filter(|file| file.is_file()).collect())
}

/// Files of text with their content, those with one of the extensions, or all.
fn texts(extensions: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let fits = |file: &PathBuf| {
        let extension = file.extension().and_then(|end| end.to_str()).unwrap_or_default();
        extensions.is_empty() || extensions.contains(&extension)
    };
    let read = |file: PathBuf| std::fs::read_to_string(&file).ok().map(|text| (file, text));
    Ok(files()?.into_iter().filter(fits).filter_map(read).collect())
}

fn complain(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn source_files_stay_short() -> Result {
    let long = texts(&["rs", "py", "mjs", "sh"])?.into_iter().filter_map(|(file, text)| {
        let lines = text.lines().count();
        (lines >= FILE_LINES).then(|| format!("{}: {lines} lines", file.display()))
    });
    complain(
        &format!("a file has fewer than {FILE_LINES} lines; split these by idea"),
        &long.collect::<Vec<_>>(),
    );
    Ok(())
}

#[test]
fn functions_stay_short() -> Result {
    let mut long = Vec::new();
    for (file, text) in texts(&["rs"])? {
        for function in functions(&text).into_iter().filter(|function| function.lines >= FUNCTION_LINES) {
            long.push(format!("{}:{}: {} lines", file.display(), function.line, function.lines));
        }
    }
    complain(&format!("a function has fewer than {FUNCTION_LINES} lines; split these"), &long);
    Ok(())
}

#[test]
fn nothing_is_left_for_later() -> Result {
    let mut found = Vec::new();
    for (file, text) in texts(&["rs", "py", "mjs", "sh", "md", "toml", "yaml", "yml"])? {
        for (line, content) in text.lines().enumerate() {
            let marked =
                |mark: &str| content.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == mark);
            if UNFINISHED.iter().any(|mark| marked(mark)) {
                found.push(format!("{}:{}: {}", file.display(), line + 1, content.trim()));
            }
        }
    }
    complain("do it now or write an issue", &found);
    Ok(())
}

#[test]
fn nothing_names_the_machine_it_was_written_on() -> Result {
    let home = std::env::var("HOME").unwrap_or_default();
    let homes =
        [place::root().display().to_string(), home].map(|home| format!("{}/", home.trim_end_matches('/')));
    // The root folder itself is in every path.
    let places: Vec<&str> = homes.iter().map(String::as_str).filter(|place| place.len() > 1).collect();
    let mut found = Vec::new();
    for (file, text) in texts(&[])? {
        for (line, content) in text.lines().enumerate() {
            if places.iter().any(|place| content.contains(place)) {
                found.push(format!("{}:{}: {}", file.display(), line + 1, content.trim()));
            }
        }
    }
    complain("a path of this machine", &found);
    Ok(())
}

#[test]
fn text_has_no_trailing_blanks_and_no_tabs_in_code() -> Result {
    let mut found = Vec::new();
    for (file, text) in texts(&["rs", "py", "mjs", "toml", "md", "sh"])? {
        for (line, content) in text.lines().enumerate() {
            if content.ends_with([' ', '\t'])
                || (content.starts_with('\t') && !text.starts_with("#!/usr/bin/make"))
            {
                found.push(format!("{}:{}", file.display(), line + 1));
            }
        }
    }
    complain("blanks at the end or tabs at the start of a line", &found);
    Ok(())
}

#[test]
fn no_file_is_an_artefact() -> Result {
    let big = files()?.into_iter().filter_map(|file| {
        let bytes = file.metadata().ok()?.len();
        (bytes > FILE_BYTES && !file.ends_with("Cargo.lock"))
            .then(|| format!("{}: {bytes} bytes", file.display()))
    });
    complain("too big for a source file", &big.collect::<Vec<_>>());
    Ok(())
}

/// Lines of one function: where it starts and how many it has.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    line: usize,
    lines: usize,
}

/// Finds functions by the layout that rustfmt gives: the closing brace stands alone at the indentation of the `fn`.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if !opens_function(code) {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let end = format!("{indent}}}");
        let closes = |line: &&str| **line == *end || ends_here(line, indent);
        let body = lines[start..].iter().position(closes);
        if let Some(length) = body {
            found.push(Function { line: start + 1, lines: length + 1 });
        }
    }
    found
}

/// A function of one line, or a declaration without a body: it ends at its own indentation.
fn ends_here(line: &str, indent: &str) -> bool {
    let own = line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' '));
    own && (line.ends_with(';') || (line.ends_with('}') && line.contains('{')))
}

fn opens_function(code: &str) -> bool {
    let mut words = code.split_whitespace().skip_while(|word| {
        matches!(*word, "pub" | "const" | "async" | "unsafe" | "default" | "extern" | "\"C\"")
            || word.starts_with("pub(")
    });
    words.next() == Some("fn")
}

#[test]
fn functions_are_measured_from_their_head_to_their_brace() {
    let text = "impl A {\n    pub(crate) async fn long(\n        &self,\n    ) {\n        x();\n    }\n\n    fn one() {}\n}\n\ntrait T {\n    fn bare(&self);\n}\n";
    let found = functions(text);
    assert_eq!(found[0], Function { line: 2, lines: 5 });
    assert_eq!(found[1..], [Function { line: 8, lines: 1 }, Function { line: 12, lines: 1 }]);
    assert!(!opens_function("let fn_name = 1;"));
}

/// A target that the script does not name is one that nobody runs.
#[test]
fn the_script_runs_every_target() -> Result {
    let read = |file: &str| std::fs::read_to_string(place::root().join(file));
    let (manifest, script) = (read("tests/Cargo.toml")?, read("test")?);
    let targets = manifest.split("[[test]]").skip(1).filter_map(|block| block.split('"').nth(1));
    let run: Vec<&str> = script
        .lines()
        .filter_map(|line| line.split_once("end_to_end "))
        .flat_map(|(_, names)| names.split_whitespace())
        .collect();
    let forgotten: Vec<String> = targets.filter(|name| !run.contains(name)).map(str::to_owned).collect();
    complain("add these targets of tests/Cargo.toml to ./test", &forgotten);
    Ok(())
}
