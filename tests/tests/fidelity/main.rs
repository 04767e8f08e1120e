//! Whatever a client or a server says arrives as it was said: ten thousand odd messages through every pair of transports, compared byte
//! by byte after exactly the rules of `docs/reference/fidelity.md`.

#![allow(clippy::print_stdout, reason = "prints the table that people read")]

mod clients;
mod headers;
mod listen;
mod odd;
mod pieces;
mod rules;
mod scribe;
mod servers;
mod steps;
mod talk;

use clients::Client;
use holdfast_tests::{
    Result,
    gateway::{Config, Gateway},
    place, soak,
};
use rules::{Rule, Tally, Transport};
use servers::Board;
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use talk::{Pair, Talk};

/// Messages of each pair and era.
const MESSAGES: usize = 300;
/// The same in the long form.
const SOAK_MESSAGES: usize = 10_000;
/// Conversations at once: those of 2026-07-28 share their links.
const AT_ONCE: u64 = 2;

struct Site {
    board: Arc<Board>,
    gateway: Gateway,
    mcp: String,
}

async fn site() -> Result<Site> {
    let board = Arc::<Board>::default();
    let mcp = servers::start(&board).await?;
    let gateway = Gateway::start(&Config::default().root(&format!("mcp:\n{mcp}"))).await?;
    Ok(Site { board, gateway, mcp })
}

/// Conversations one after the other, until `most` messages were compared.
async fn converse(site: &Site, pair: Pair, seed: u64, most: usize) -> Result<Tally> {
    let mut all = Tally::default();
    let mut number = seed;
    while all.messages < most {
        let tag = servers::tag(number);
        let heard = site.board.join(&tag);
        let client = Client::open(pair.client, &site.gateway, &site.mcp, pair.server).await?;
        let mut talk = Talk::new(pair, client, heard, tag, number);
        let ended = talk.run(most - all.messages).await;
        ended.map_err(|why| format!("{pair:?}, conversation {number}: {why}"))?;
        all.add(&talk.tally);
        site.board.keep(talk.subscribed.take());
        talk.client.leave().await?;
        number = number.wrapping_add(AT_ONCE);
    }
    Ok(all)
}

/// All servers and both eras behind one kind of client.
async fn pairs(client: Transport) -> Result {
    let site = site().await?;
    let most = if soak() { SOAK_MESSAGES } else { MESSAGES };
    let mut table = comfy_table::Table::new();
    let head = ["client", "server", "era", "messages", "seconds"];
    table.set_header(head.into_iter().chain(Rule::ALL.iter().map(|rule| rule.name())));
    let (mut sum, mut seed) = (Tally::default(), fastrand::u64(..));
    for server in Transport::ALL {
        for modern in [false, true] {
            let (pair, began) = (Pair { client, server, modern }, Instant::now());
            let (one, two) = tokio::try_join!(
                converse(&site, pair, seed, most / 2), //
                converse(&site, pair, seed.wrapping_add(1), most - most / 2)
            )
            .map_err(|why| format!("{why}\nthe gateway's log:\n{}", site.gateway.log()))?;
            seed = seed.wrapping_add(1 << 32);
            let mut tally = one;
            tally.add(&two);
            let first = [
                client.name().to_owned(),
                server.name().to_owned(),
                pair.era().to_owned(),
                tally.messages.to_string(),
                format!("{:.1}", began.elapsed().as_secs_f64()),
            ];
            table.add_row(first.into_iter().chain(Rule::ALL.iter().map(|rule| tally.of(*rule).to_string())));
            sum.add(&tally);
        }
    }
    println!("\nmessages that arrived as they were said, and how often a rule was needed for it\n{table}");
    let strays = site.board.strays();
    assert!(strays.is_empty(), "messages that nobody had said: {strays:#?}");
    let unused: Vec<_> = Rule::ALL.iter().filter(|rule| sum.of(**rule) == 0).collect();
    assert!(unused.is_empty(), "rules that nothing needs: {unused:?}");
    Ok(())
}

#[tokio::test]
async fn what_streamable_http_clients_say_and_hear_is_what_was_said() -> Result {
    pairs(Transport::Http).await
}

#[tokio::test]
async fn what_sse_clients_say_and_hear_is_what_was_said() -> Result {
    pairs(Transport::Sse).await
}

#[tokio::test]
async fn what_websocket_clients_say_and_hear_is_what_was_said() -> Result {
    pairs(Transport::WebSocket).await
}

#[tokio::test]
async fn what_stdio_clients_say_and_hear_is_what_was_said() -> Result {
    pairs(Transport::Stdio).await
}

#[test]
fn the_page_names_the_rules_that_this_test_follows() -> Result {
    let page = std::fs::read_to_string(place::root().join("docs/reference/fidelity.md"))?;
    let table = page.lines().skip_while(|line| !line.starts_with("| rule |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let named: BTreeSet<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let known: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(named, known);
    Ok(())
}
