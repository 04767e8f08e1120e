//! `tools/call` by every client transport, in alternating rounds: the same load generator for all, so that they can be compared.

mod http;
mod load;
mod site;
mod sse;
mod stdio;
mod websocket;

pub(crate) use websocket::connect;

use crate::{
    Error,
    load::Seen,
    rounds::{self, Options, median},
};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use site::Site;
use std::{io::Write as _, time::Duration};

/// How a client speaks to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Http,
    Sse,
    WebSocket,
    Stdio,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    Session,
    Modern,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Http,
    /// A program behind its standard input and output.
    Program,
}

/// One line of the table.
struct Row {
    client: Client,
    era: Era,
    server: Server,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    cpu_us: f64,
    seen: Seen,
}

impl Client {
    const ALL: [Self; 4] = [Self::Http, Self::Sse, Self::WebSocket, Self::Stdio];

    fn name(self) -> &'static str {
        match self {
            Self::Http => "Streamable HTTP",
            Self::Sse => "HTTP+SSE",
            Self::WebSocket => "WebSocket",
            Self::Stdio => "stdio",
        }
    }
}

impl Row {
    /// A session with a program is a process of its own: programs are asked without.
    fn all() -> Vec<Self> {
        let kinds =
            [(Era::Modern, Server::Http), (Era::Session, Server::Http), (Era::Modern, Server::Program)];
        let row = |client, (era, server)| Self { client, era, server, samples: Vec::new() };
        kinds.iter().flat_map(|kind| Client::ALL.map(|client| row(client, *kind))).collect()
    }

    fn kind(&self) -> &'static str {
        match (self.era, self.server) {
            (Era::Modern, Server::Http) => "modern",
            (Era::Session, Server::Http) => "session",
            (Era::Modern, Server::Program) => "modern, of a program",
            (Era::Session, Server::Program) => "session, of a program",
        }
    }

    async fn measure(&self, site: &Site, connections: u16, wanted: Duration) -> Result<Sample, Error> {
        let runner = match self.client {
            Client::Stdio => {
                load::Runner::Program(Box::new(stdio::Program::start(site, self, connections).await?))
            }
            Client::Http | Client::Sse | Client::WebSocket => {
                let mut callers = Vec::new();
                for _ in 0..connections {
                    callers.push(load::Caller::open(site, self).await?);
                }
                load::Runner::Callers(callers)
            }
        };
        runner.measure(site, wanted).await
    }
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let site = Site::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Row::all();
    let progress = rounds::bar(u64::from(options.rounds()) * rows.len() as u64);
    let wanted = Duration::from_secs(options.seconds());
    for row in &rows {
        // Warm-up.
        runtime.block_on(row.measure(&site, options.connections(), Duration::from_millis(500)))?;
    }
    for _ in 0..options.rounds() {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        fastrand::shuffle(&mut order);
        for index in order {
            let row = &mut rows[index];
            let sample = runtime.block_on(row.measure(&site, options.connections(), wanted))?;
            row.samples.push(sample);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    print(options, &rows)
}

fn print(options: &Options, rows: &[Row]) -> Result<(), Error> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["client", "", "CPU us/call", "x HTTP", "calls/s", "p50 us", "p99 us", "errors"]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut objects = Vec::new();
    for row in rows {
        let of = |get: fn(&Sample) -> f64| median(row.samples.iter().map(get));
        let http = rows.iter().find(|other| other.client == Client::Http && other.kind() == row.kind());
        let pairs = row.samples.iter().zip(http.map_or(&[][..], |http| &http.samples));
        let ratio = median(pairs.map(|(row, http)| row.cpu_us / http.cpu_us));
        let (cpu, rate) = (of(|s| s.cpu_us), of(|s| s.seen.per_second));
        let (p50, p99) = (of(|s| s.seen.p50_us), of(|s| s.seen.p99_us));
        let errors: u64 = row.samples.iter().map(|sample| sample.seen.errors).sum();
        table.add_row([
            row.client.name().to_owned(),
            row.kind().to_owned(),
            format!("{cpu:.1}"),
            format!("{ratio:.2}"),
            format!("{rate:.0}"),
            format!("{p50:.0}"),
            format!("{p99:.0}"),
            errors.to_string(),
        ]);
        objects
            .push(json!({ "client": row.client.name(), "kind": row.kind(), "cpu_us": cpu, "x_http": ratio,
            "per_second": rate, "p50_us": p50, "p99_us": p99, "errors": errors }));
    }
    let mut out = std::io::stdout();
    if options.json() {
        writeln!(out, "{}", json!({ "title": "client transports", "rows": objects }))?;
    } else {
        writeln!(
            out,
            "MCP tools/call by every client transport: {options}; medians, ratios pair the same round"
        )?;
        writeln!(out, "{table}")?;
    }
    Ok(())
}
