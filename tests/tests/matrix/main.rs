//! Every client at every server, through the gateway: each SDK over each transport it has, on both sides.

mod clients;
mod servers;

use clients::{Client, clients};
use comfy_table::Table;
use futures_util::stream::{StreamExt as _, iter};
use holdfast_tests::Result;
use servers::{Server, Site};
use std::collections::HashMap;

/// Clients that run at once.
const AT_ONCE: usize = 3;
/// The version that needs no handshake.
const MODERN: &str = "2026-07-28";

/// The version that the two agree on: the newest that both speak.
fn agreed<'v>(client: &Client, server: &Server) -> &'v str {
    if client.modern && server.modern { MODERN } else { client.newest.min(server.newest) }
}

/// Short, for the table: the year and month of a version.
fn shown(cell: &str) -> String {
    match cell.split(' ').next().and_then(|version| version.strip_prefix("20")?.get(..5)) {
        Some(version) => version.to_owned(),
        None => "wrong".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_every_client_at_every_server() -> Result {
    let site = Site::start().await?;
    let clients = clients();
    let visits = clients.iter().map(async |client| (client, client.visit(&site).await));
    let seen: Vec<(&Client, Result<HashMap<String, String>>)> =
        iter(visits).buffered(AT_ONCE).collect().await;
    let mut table = Table::new();
    let heads = site.servers.iter().map(|server| server.name.replace('_', ".").replace('-', "\n"));
    table.set_header(std::iter::once("client \\ server".to_owned()).chain(heads));
    let (mut wrong, mut cells) = (Vec::new(), 0);
    for (client, seen) in seen {
        let seen = seen.map_err(|why| format!("{}: {why}", client.name))?;
        let mut row = vec![client.name.clone()];
        for server in &site.servers {
            let nothing = String::from("nothing");
            let cell = seen.get(server.name).unwrap_or(&nothing);
            cells += 1;
            if *cell != format!("{} one", agreed(client, server)) {
                wrong.push(format!(
                    "{} at {}: {cell}, not {}",
                    client.name,
                    server.name,
                    agreed(client, server)
                ));
            }
            row.push(shown(cell));
        }
        table.add_row(row);
    }
    println!(
        "The version each client agreed on with each server, through the gateway (year and month):\n{table}"
    );
    println!("total: {cells} pairs of client and server, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), site.gateway.log());
    Ok(())
}
