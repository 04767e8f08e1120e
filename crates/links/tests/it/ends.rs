//! What is left of a program: nothing.

use crate::support::{call, exists, lives, request, server, soon};
use http::Method;
use serde_json::json;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_program_begins_with_nothing_but_what_it_was_allowed() {
    let server =
        server(&["env: {TOKEN: hush}", "env_allow: [PATH, 'CARGO_PKG_N*']", "cwd: /", "max_open_files: 100"]);
    let answer = server.ask(None, &request(1, "world", &json!({}))).await;
    let world = answer.result();
    assert_eq!(world["env"]["TOKEN"], "hush");
    assert_eq!(world["env"]["CARGO_PKG_NAME"], "holdfast-links");
    assert!(world["env"].get("CARGO_PKG_VERSION").is_none() && world["env"].get("HOME").is_none(), "{world}");
    assert_eq!((&world["cwd"], &world["group"]), (&json!("/"), &json!(true)));
    assert_eq!((&world["files"], &world["core"]), (&json!(100), &json!(0)));
    assert_eq!(world["descriptors"], usual_descriptors());
}

/// Descriptors of a program that this process starts in the usual way: what its own launcher left open is among them.
fn usual_descriptors() -> serde_json::Value {
    let list = "import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd'))[:-1])";
    let mut python = std::process::Command::new("python3");
    let output = python.args(["-c", list]).stdin(std::process::Stdio::piped()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_program_that_ends_when_its_input_does_is_given_time_for_that() {
    let server = server(&[]);
    let pid = server.ask(None, &request(1, "world", &json!({}))).await.result()["pid"].clone();
    assert!(lives(&pid));
    assert!(server.links.finish(LONG).await);
    assert!(!exists(&pid), "and no zombie is left");
    assert_eq!(server.metric("holdfast_link_process_ends_total{server=\"s\",by=\"input\"}"), 1);
    let late = server.send(call(None, &request(1, "echo", &json!({})))).await.unwrap_err();
    assert!(late.to_string().contains("no endpoint") || late.to_string().contains("ended"), "{late}");
    soon("what came too late ends, too", || server.metric("holdfast_links_open{server=\"s\"}") == 0).await;
}

#[tokio::test]
async fn a_program_that_ignores_the_end_of_its_input_and_sigterm_is_killed() {
    let server = server(&["stop_grace: 100ms"]);
    let session = server.session().await;
    let answer = server.ask(Some(&session), &request(1, "stubborn", &json!({}))).await;
    let pid = answer.result()["pid"].clone();
    server.bare(Method::DELETE, &session).await;
    soon("it is gone", || !exists(&pid)).await;
    assert_eq!(server.metric("holdfast_link_process_ends_total{server=\"s\",by=\"sigkill\"}"), 1);
}

#[tokio::test]
async fn what_a_program_forked_ends_with_it_even_if_it_ignores_sigterm_and_holds_the_pipes() {
    let server = server(&["stop_grace: 100ms"]);
    for way in ["close", "die"] {
        let session = server.session().await;
        let answer = server.ask(Some(&session), &request(1, "fork", &json!({}))).await;
        let (pid, child) = (answer.result()["pid"].clone(), answer.result()["child"].clone());
        assert!(lives(&pid) && lives(&child));
        if way == "close" {
            server.bare(Method::DELETE, &session).await;
        } else {
            server.send(call(Some(&session), &request(2, "die", &json!({})))).await.unwrap_err();
        }
        soon("both are gone", || !exists(&pid) && !lives(&child)).await;
    }
    soon("no link is left", || server.metric("holdfast_links_open{server=\"s\"}") == 0).await;
}

#[tokio::test]
async fn a_process_of_no_session_ends_when_it_rests_and_one_of_a_session_does_not() {
    let server = server(&["idle: 300ms"]);
    let session = server.session().await;
    let world = request(1, "world", &json!({}));
    let of_session = server.ask(Some(&session), &world).await.result()["pid"].clone();
    let pid = server.ask(None, &world).await.result()["pid"].clone();
    soon("it rested long enough", || !exists(&pid)).await;
    assert!(lives(&of_session));
    assert_eq!(server.metric("holdfast_link_ends_total{server=\"s\",cause=\"idle\"}"), 1);
}

#[tokio::test]
async fn a_session_whose_client_never_came_back_after_its_first_message_ends() {
    let server = server(&["idle: 300ms"]);
    server.session().await;
    soon("its process is gone", || server.metric("holdfast_links_open{server=\"s\"}") == 0).await;
}

#[tokio::test]
async fn an_initialize_whose_client_leaves_leaves_no_process() {
    let server = server(&[]);
    let mut leaving = Box::pin(server.send(call(None, &request(0, "initialize", &json!({})))));
    assert!(futures_util::poll!(leaving.as_mut()).is_pending());
    drop(leaving);
    soon("nothing is left", || {
        server.links.view().links.is_empty() && server.metric("holdfast_links_open{server=\"s\"}") == 0
    })
    .await;
}
