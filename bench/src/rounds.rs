//! Alternating rounds: every proxy in every round, in an order drawn anew, so that a slow minute hits all alike.

use crate::Error;
use crate::load::{self, Request, Seen};
use crate::peers::{self, Peer};
use crate::process::Process;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path as FilePath;
use std::process::Command;

/// How long and how hard.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds; each measures every proxy once
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds per proxy and round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Client connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Machine-readable result
    #[arg(long)]
    json: bool,
}

/// The way of a request that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A plain HTTP route.
    Http,
    /// MCP with a session.
    McpSession,
    /// MCP 2026-07-28.
    McpModern,
}

impl Path {
    /// Name in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP GET 1 KiB",
            Self::McpSession => "MCP tools/call (session)",
            Self::McpModern => "MCP tools/call (modern)",
        }
    }
}

impl Options {
    pub(crate) fn rounds(&self) -> u16 {
        self.rounds
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.seconds
    }

    pub(crate) fn connections(&self) -> u16 {
        self.connections
    }

    pub(crate) fn json(&self) -> bool {
        self.json
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, seconds, connections, json: _ } = self;
        write!(f, "{connections} connections, {rounds} rounds of {seconds} s in random order")
    }
}

/// A row: a proxy and what it is asked.
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) process: usize,
    pub(crate) request: Request,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) cpu_us: f64,
    pub(crate) seen: Seen,
}

/// HTTP/1.1, 1 KiB answers.
pub(crate) fn http(options: &Options) -> Result<(), Error> {
    let (binary, folder) = (peers::build_holdfast()?, tempfile::tempdir()?);
    let origin = peers::start_http_origin(1024, folder.path())?;
    let peers = [Peer::Nginx, Peer::Haproxy, Peer::Holdfast];
    let processes = start(&peers, origin.address, folder.path(), &binary)?;
    let rows = peers.iter().enumerate();
    let rows = rows.map(|(process, peer)| row(peer.name(), process, Request::get("/1k"))).collect();
    measure("HTTP/1.1 route, 1 KiB answers", options, folder.path(), &processes, rows)
}

/// MCP tools/call.
pub(crate) fn mcp(options: &Options) -> Result<(), Error> {
    let (binary, folder) = (peers::build_holdfast()?, tempfile::tempdir()?);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("mcp-origin");
    let origin = Process::start_announcing(command)?;
    let peers = [Peer::Nginx, Peer::Haproxy, Peer::Blind, Peer::Holdfast];
    let processes = start(&peers, origin.address, folder.path(), &binary)?;
    let mut rows = Vec::new();
    for (process, peer) in peers.iter().enumerate() {
        let path = if *peer == Peer::Holdfast { "/mcp/bench" } else { "/mcp" };
        let session = open_session(processes[process].address, path)?;
        rows.push(row(&format!("{} (modern)", peer.name()), process, modern(path)));
        rows.push(row(&format!("{} (session)", peer.name()), process, legacy(path, &session)));
    }
    measure("MCP tools/call", options, folder.path(), &processes, rows)
}

pub(crate) fn row(label: &str, process: usize, request: Request) -> Row {
    Row { label: label.to_owned(), process, request, samples: Vec::new() }
}

fn start(
    peers: &[Peer],
    origin: SocketAddr,
    folder: &FilePath,
    binary: &FilePath,
) -> Result<Vec<Process>, Error> {
    peers.iter().map(|peer| peer.start(origin, folder, binary)).collect()
}

fn measure(
    title: &str,
    options: &Options,
    folder: &FilePath,
    processes: &[Process],
    mut rows: Vec<Row>,
) -> Result<(), Error> {
    alternate(options, folder, processes, &mut rows)?;
    print(title, options, processes, &rows)
}

/// Fills the rows' samples.
pub(crate) fn alternate(
    options: &Options,
    folder: &FilePath,
    processes: &[Process],
    rows: &mut [Row],
) -> Result<(), Error> {
    let progress = bar(u64::from(options.rounds) * rows.len() as u64);
    let mut rng = fastrand::Rng::new();
    for row in rows.iter() {
        load::run(folder, processes[row.process].address, &row.request, options.connections, 1)?; // warm-up
    }
    for _ in 0..options.rounds {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        rng.shuffle(&mut order);
        for index in order {
            let row = &mut rows[index];
            let process = &processes[row.process];
            let before = process.cpu();
            let seen =
                load::run(folder, process.address, &row.request, options.connections, options.seconds)?;
            let cpu_us = process.cpu().saturating_sub(before).as_secs_f64() * 1e6 / seen.requests as f64;
            row.samples.push(Sample { cpu_us, seen });
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// A table of proxies, empty yet; `ratios` are the columns that compare their CPU with that of others.
pub(crate) fn table(ratios: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let before = ["proxy", "CPU us/request"];
    let behind = ["req/s", "p50 us", "p99 us", "RSS MiB", "errors"];
    table.set_header(before.iter().chain(ratios).chain(&behind));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn print(title: &str, options: &Options, processes: &[Process], rows: &[Row]) -> Result<(), Error> {
    let mut table = table(&["x nginx", "x blind"]);
    let mut objects = Vec::new();
    for row in rows {
        let suffix = row.label.split_once(" (").map_or(String::new(), |(_, rest)| format!(" ({rest}"));
        let ratio = |peer: Peer| {
            let label = format!("{}{suffix}", peer.name());
            let base = rows.iter().find(|other| other.label == label)?;
            Some(median(row.samples.iter().zip(&base.samples).map(|(a, b)| a.cpu_us / b.cpu_us)))
        };
        let of = |get: fn(&Sample) -> f64| median(row.samples.iter().map(get));
        let show = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (nginx, blind) = (ratio(Peer::Nginx), ratio(Peer::Blind));
        let (cpu, rate) = (of(|s| s.cpu_us), of(|s| s.seen.per_second));
        let (p50, p99) = (of(|s| s.seen.p50_us), of(|s| s.seen.p99_us));
        let errors: u64 = row.samples.iter().map(|s| s.seen.errors).sum();
        let mib = processes[row.process].resident_kib() as f64 / 1024.0;
        table.add_row([
            row.label.clone(),
            format!("{cpu:.1}"),
            show(nginx),
            show(blind),
            format!("{rate:.0}"),
            format!("{p50:.0}"),
            format!("{p99:.0}"),
            format!("{mib:.1}"),
            errors.to_string(),
        ]);
        objects
            .push(serde_json::json!({ "proxy": row.label, "cpu_us": cpu, "x_nginx": nginx, "x_blind": blind,
            "per_second": rate, "p50_us": p50, "p99_us": p99, "rss_mib": mib, "errors": errors }));
    }
    let mut out = std::io::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "title": title, "rows": objects }))?;
    } else {
        writeln!(out, "{title}: {options}; medians, ratios pair the same round")?;
        writeln!(out, "{table}")?;
    }
    Ok(())
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn bar(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40.cyan/blue} {pos}/{len} {eta}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn headers(extra: &[(&str, &str)]) -> Vec<(String, String)> {
    let common = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    common.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn modern(path: &str) -> Request {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":2,"b":40},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let extra = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "add")];
    Request { method: "POST", path: path.to_owned(), headers: headers(&extra), body: body.to_owned() }
}

pub(crate) fn legacy(path: &str, session: &str) -> Request {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":2,"b":40}}}"#;
    let extra = [("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", session)];
    Request { method: "POST", path: path.to_owned(), headers: headers(&extra), body: body.to_owned() }
}

/// Initialises over a plain socket and returns the session id.
pub(crate) fn open_session(address: SocketAddr, path: &str) -> Result<String, Error> {
    use std::io::Read as _;
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\naccept: application/json, \
         text/event-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        })
        .ok_or_else(|| format!("no session from {address}{path}: {answer}").into())
}
