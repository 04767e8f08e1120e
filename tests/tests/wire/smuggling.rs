//! Requests on whose end two parsers could disagree. Each must be refused with the right status and a closed
//! connection, and what is hidden behind it must never be answered.

use crate::{Site, raw};
use holdfast_tests::Result;

/// What an attacker hides behind a request with an ambiguous end.
const HIDDEN: &str = "GET /plain/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Statuses that refuse a malformed request.
const BAD: &[u16] = &[400];
/// Statuses that refuse a transfer coding nobody implements (RFC 9112 section 6.1).
const CODING: &[u16] = &[400, 501];
/// Statuses that refuse a version (RFC 9110 section 15.6.6).
const VERSION: &[u16] = &[400, 505];
/// Too much head (RFC 6585 section 5).
const LARGE: &[u16] = &[431];

struct Case {
    name: &'static str,
    request: String,
    refused: &'static [u16],
}

fn case(name: &'static str, refused: &'static [u16], request: &str) -> Case {
    Case { name, request: format!("{request}{HIDDEN}"), refused }
}

/// A head with `lines` besides Host, in front of a body.
fn post(lines: &str, body: &str) -> String {
    format!(
        "POST /mcp/tools HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}\r\n{body}"
    )
}

/// RFC 9112 sections 6.1 to 6.3: lengths that contradict each other or cannot be read.
fn lengths() -> Vec<Case> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    vec![
        case("length and chunks", BAD, &post(&format!("Content-Length: 5\r\n{chunked}"), "0\r\n\r\n")),
        case("chunks and length", BAD, &post(&format!("{chunked}Content-Length: 5\r\n"), "0\r\n\r\n")),
        case("two lengths", BAD, &post("Content-Length: 0\r\nContent-Length: 5\r\n", "")),
        case("the same length twice", BAD, &post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}")),
        case("a list of lengths", BAD, &post("Content-Length: 2, 2\r\n", "{}")),
        case("a length with a sign", BAD, &post("Content-Length: +2\r\n", "{}")),
        case("a negative length", BAD, &post("Content-Length: -2\r\n", "{}")),
        case("a hexadecimal length", BAD, &post("Content-Length: 0x2\r\n", "{}")),
        case("a length beyond 64 bits", BAD, &post("Content-Length: 99999999999999999999\r\n", "{}")),
        case("an unknown coding", CODING, &post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        case("chunked not last", CODING, &post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        case("chunked twice", CODING, &post(&format!("{chunked}{chunked}"), "0\r\n\r\n")),
        case("a coding with a tab", CODING, &post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        case(
            "chunks in HTTP/1.0",
            BAD,
            &format!("POST /plain/a HTTP/1.0\r\nHost: localhost\r\n{chunked}\r\n0\r\n\r\n"),
        ),
    ]
}

/// RFC 9112 sections 2.2, 3 and 5: lines that parsers read differently.
fn heads() -> Vec<Case> {
    let get = |lines: &str| format!("GET /plain/a HTTP/1.1\r\n{lines}\r\n");
    vec![
        case("bare line feeds", BAD, "GET /plain/a HTTP/1.1\nHost: localhost\n\n"),
        case("one bare line feed", BAD, &get("Host: localhost\r\nX-A: b\n")),
        case("a folded line", BAD, &get("Host: localhost\r\nX-A: b\r\n c\r\n")),
        case("a blank before the colon", BAD, &get("Host: localhost\r\nContent-Length : 5\r\n")),
        case("a zero byte", BAD, &get("Host: localhost\r\nX-A: b\0c\r\n")),
        case("a carriage return inside", BAD, &get("Host: localhost\r\nX-A: b\rc\r\n")),
        case("a line without a colon", BAD, &get("Host: localhost\r\nX-A\r\n")),
        case("no host", BAD, &get("")),
        case("two hosts", BAD, &get("Host: localhost\r\nHost: other\r\n")),
        case("an unknown version", VERSION, "GET /plain/a HTTP/3.7\r\nHost: localhost\r\n\r\n"),
        case("a target with a blank", BAD, "GET /plain/a b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        case("a long line", LARGE, &get(&format!("Host: localhost\r\nX-A: {}\r\n", "a".repeat(100_000)))),
        case("many lines", LARGE, &get(&format!("Host: localhost\r\n{}", "X-A: b\r\n".repeat(200)))),
    ]
}

/// RFC 9112 section 7.1: chunks that cannot be read.
fn chunks() -> Vec<Case> {
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    vec![
        case("a chunk size of letters", BAD, &chunked("zz\r\n")),
        case("a chunk size beyond 64 bits", BAD, &chunked("fffffffffffffffff\r\n")),
        case("a chunk size with a sign", BAD, &chunked("+2\r\n{}\r\n0\r\n\r\n")),
        case("an empty chunk size", BAD, &chunked("\r\n{}\r\n0\r\n\r\n")),
        case("a chunk longer than it says", BAD, &chunked("2\r\n{}xx\r\n0\r\n\r\n")),
        case("a bare line feed after a chunk size", BAD, &chunked("2\n{}\r\n0\r\n\r\n")),
        case("a bare line feed in an extension", BAD, &chunked("2;a\nb\r\n{}\r\n0\r\n\r\n")),
    ]
}

async fn refuse(cases: Vec<Case>) -> Result {
    let site = Site::start(&[]).await?;
    let crowd = site.neighbours().await?;
    let mut wrong = Vec::new();
    for case in cases {
        let answer = raw::until_closed(site.gateway.address, case.request.as_bytes()).await;
        let answer = answer.map_err(|why| format!("{}: {why}", case.name))?;
        let (statuses, text) = (raw::statuses(&answer), String::from_utf8_lossy(&answer));
        let refused = matches!(statuses.as_slice(), [one] if case.refused.contains(one));
        if !refused || text.contains("smuggled") {
            wrong.push(format!("{}: wanted one of {:?}, got {statuses:?}: {text}", case.name, case.refused));
        }
    }
    assert!(wrong.is_empty(), "not refused as it must be:\n{}", wrong.join("\n"));
    crate::unharmed("malformed requests", crowd, &site).await
}

#[tokio::test]
async fn ambiguous_lengths_are_refused() -> Result {
    refuse(lengths()).await
}

#[tokio::test]
async fn malformed_heads_are_refused() -> Result {
    refuse(heads()).await
}

#[tokio::test]
async fn malformed_chunks_are_refused() -> Result {
    refuse(chunks()).await
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> Result {
    let site = Site::start(&[]).await?;
    let requests = [0, 1, 2].map(|n| format!("GET /plain/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n")).concat();
    let done = |text: &str| text.contains("GET /plain/2\n");
    let answers = raw::until(site.gateway.address, requests.as_bytes(), done).await?;
    assert_eq!(raw::statuses(answers.as_bytes()), [200, 200, 200], "{answers}");
    let places = [0, 1, 2].map(|n| answers.find(&format!("GET /plain/{n}\n")));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{answers}");
    Ok(())
}

#[tokio::test]
async fn a_chunked_body_with_trailers_ends_where_it_says() -> Result {
    let site = Site::start(&[]).await?;
    let request = "POST /plain/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
                   2;name=value\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\nGET /plain/next HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let done = |text: &str| text.contains("GET /plain/next\n");
    let answers = raw::until(site.gateway.address, request.as_bytes(), done).await?;
    assert_eq!(raw::statuses(answers.as_bytes()), [200, 200], "{answers}");
    Ok(())
}
