//! The binary as a person meets it: commands, exit codes, the demo.

use holdfast_tests::{Result, place};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

fn run(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(place::holdfast()?).args(arguments).env_remove("HOLDFAST_CONFIG").output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(folder: &Path, name: &str, content: &str) -> Result<String> {
    let file = folder.join(name);
    std::fs::write(&file, content)?;
    Ok(file.display().to_string())
}

const GOOD: &str = "
sessions: {ephemeral_key: true}
mcp:
  servers:
    - name: files
      endpoints: [http://127.0.0.1:3000/mcp]
";

#[test]
fn alone_the_demo_kills_a_replica_in_the_middle_of_calls_and_fails_none() -> Result {
    let output = run(&["demo", "--once", "--json"])?;
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let verdict: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(verdict["failed"], 0, "{verdict}");
    // Without these the kill would have shown nothing.
    assert!(verdict["in_flight_at_kill"].as_u64() > Some(0), "{verdict}");
    assert!(verdict["cut_by_kill"].as_u64() > Some(0), "{verdict}");
    assert!(verdict["calls"].as_u64() > Some(1000), "{verdict}");
    for replica in ["replica-1", "replica-2"] {
        assert!(verdict["answered"][replica].as_u64() > Some(0), "{verdict}");
    }
    Ok(())
}

#[test]
fn check_prints_a_form_that_checks_again() -> Result {
    let folder = tempfile::tempdir()?;
    let first = run(&["check", "--for", "serve", &write(folder.path(), "a.yaml", GOOD)?])?;
    assert!(first.status.success(), "{}", text(&first.stderr));
    let effective = text(&first.stdout);
    assert!(effective.contains("# default"), "defaults are marked: {effective}");
    let second = run(&["check", "--for", "serve", &write(folder.path(), "b.yaml", &effective)?])?;
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert_eq!(without_marks(&effective), without_marks(&text(&second.stdout)));
    Ok(())
}

fn without_marks(document: &str) -> String {
    document.lines().map(|line| line.trim_end_matches("# default").trim_end()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_wrong_key_is_an_error_with_line_name_and_code_2() -> Result {
    let folder = tempfile::tempdir()?;
    let file = write(folder.path(), "c.yaml", "server:\n  max_conections: 5\n")?;
    let output = run(&["check", &file])?;
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("c.yaml:2:3") && message.contains("max_connections"), "{message}");
    assert!(output.stdout.is_empty(), "errors go to standard error");
    let serve = run(&["serve", "--config", &file])?;
    assert_eq!(serve.status.code(), Some(2), "serve refuses what check refuses");
    Ok(())
}

#[test]
fn flags_stand_for_a_file_that_checks() -> Result {
    let folder = tempfile::tempdir()?;
    let output = run(&[
        "serve",
        "--print-config",
        "--mcp",
        "files=http://127.0.0.1:3000/mcp",
        "--http",
        "/api=http://127.0.0.1:8000",
    ])?;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = write(folder.path(), "d.yaml", &text(&output.stdout))?;
    let checked = run(&["check", "--for", "serve", "--quiet", &file])?;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    Ok(())
}

#[test]
fn nothing_to_serve_says_what_to_give() -> Result {
    let output = run(&["serve"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--mcp NAME=URL"), "{}", text(&output.stderr));
    Ok(())
}

#[test]
fn a_taken_port_is_code_3_and_named() -> Result {
    let folder = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let config = format!("server: {{host: 127.0.0.1, port: {port}}}\nadmin: {{enabled: false}}\n{GOOD}");
    let output = run(&["serve", "--config", &write(folder.path(), "e.yaml", &config)?])?;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(&format!("127.0.0.1:{port}")), "{}", text(&output.stderr));
    Ok(())
}

#[test]
fn schema_and_completions_are_what_they_say() -> Result {
    let schema: Value = serde_json::from_slice(&run(&["schema"])?.stdout)?;
    let root = schema["$ref"].as_str().and_then(|at| schema.pointer(at.trim_start_matches('#')));
    let keys = root.map(|root| &root["properties"]).ok_or("no root block")?;
    for key in ["server", "mcp", "apis", "routing", "gateway"] {
        assert!(keys[key].is_object(), "{key}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(&["completions", shell])?.stdout);
        assert!(script.contains("holdfast") && script.contains("serve"), "{shell}");
    }
    Ok(())
}

#[test]
fn status_of_nobody_is_code_1() -> Result {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let output = run(&["status", "--admin", &free.to_string()])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no gateway answers"), "{}", text(&output.stderr));
    Ok(())
}
