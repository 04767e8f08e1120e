use super::{LineLimits, carry};
use crate::Conversation;
use crate::conversation::testing::{MODERN, json, opening, result};
use futures_util::FutureExt as _;
use holdfast_telemetry::metrics::ConversationEnd;
use std::{future::pending, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
};

const LIMITS: LineLimits =
    LineLimits { line_max: 1000, write_timeout: Duration::from_mins(1), grace: Duration::from_secs(30) };

struct Pipes {
    input: DuplexStream,
    output: DuplexStream,
    run: JoinHandle<ConversationEnd>,
}

/// A server that answers each request after a second, over two lines.
fn pipes(output_buffer: usize) -> Pipes {
    let (opening, _script) = opening(|seen| {
        let id = serde_json::from_str::<serde_json::Value>(&seen.body)
            .map_or_else(|_| "0".to_owned(), |v| v["id"].to_string());
        if seen.body.contains("subscriptions/listen") {
            // Nothing comes, and no end.
            return pending().boxed();
        }
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            json(result(&id).replace(",\"result\"", ",\r\n\"result\""))
        }
        .boxed()
    });
    let (input, theirs) = duplex(1 << 16);
    let (output, ours) = duplex(output_buffer);
    let run = tokio::spawn(carry(Conversation::new(opening), (theirs, ours), LIMITS, pending()));
    Pipes { input, output, run }
}

async fn rest(mut output: DuplexStream) -> Vec<serde_json::Value> {
    let mut text = String::new();
    output.read_to_string(&mut text).await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn request(id: u32) -> String {
    MODERN.replace("\"id\":8", &format!("\"id\":{id}"))
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_end_of_the_input_is_answered_a_line_each() {
    let Pipes { mut input, output, run } = pipes(1 << 16);
    let text = format!("{}\n\n  \n{}\r\n{}\n{{\"cut\":", request(1), request(2), request(3));
    for piece in text.as_bytes().chunks(11) {
        input.write_all(piece).await.unwrap();
    }
    drop(input);
    let mut ids: Vec<_> = rest(output).await.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(run.await.unwrap(), ConversationEnd::Whole);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_is_answered_with_one_error_and_the_next_one_counts() {
    let Pipes { mut input, output, run } = pipes(1 << 16);
    let long = "x".repeat(50_000);
    input.write_all(format!("{long}\n{}\n{}\n", "y".repeat(1001), request(4)).as_bytes()).await.unwrap();
    drop(input);
    let answers = rest(output).await;
    let codes: Vec<_> = answers.iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [Some(-31020), Some(-31020), None]);
    assert_eq!(answers[2]["id"], 4);
    assert_eq!(run.await.unwrap(), ConversationEnd::Whole);
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_does_not_hold_up_the_end() {
    let Pipes { mut input, output, run } = pipes(1 << 16);
    let listen = request(1).replace("tools/call", "subscriptions/listen");
    input.write_all(format!("{listen}\n{}\n", request(2)).as_bytes()).await.unwrap();
    let began = tokio::time::Instant::now();
    drop(input);
    assert_eq!(rest(output).await.len(), 1);
    assert_eq!(run.await.unwrap(), ConversationEnd::Whole);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_output_that_nobody_reads_ends_it() {
    let Pipes { mut input, output, run } = pipes(1);
    input.write_all(format!("{}\n", request(1)).as_bytes()).await.unwrap();
    assert_eq!(run.await.unwrap(), ConversationEnd::Gone);
    drop(output);
    let Pipes { mut input, output, run } = pipes(1);
    drop(output);
    input.write_all(format!("{}\n", request(1)).as_bytes()).await.unwrap();
    assert_eq!(run.await.unwrap(), ConversationEnd::Gone);
}
