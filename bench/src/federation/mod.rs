//! The merged endpoint: what a list of many servers costs, and what one that hangs or is dead changes.

mod members;

use crate::{
    Error,
    figures::{Budget, Figures},
    peers,
    process::{Process, free_address},
};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use members::{Members, Mode};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Issue and DESIGN: a member that is dead or hangs costs the others' list at most this much.
const WORSE: Budget = Budget { most: 1.2, words: "1.2" };
/// Lists that are thrown away after a member changes.
const WARM_UP: u32 = 50;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Servers behind the merged endpoint
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=200))]
    servers: u16,
    /// Tools of each
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    tools: u16,
    /// Rounds: in each all are healthy, then one hangs, then one is dead
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Lists in each part of a round
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    lists: u32,
    /// Machine-readable result
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan) -> Result<(), Error> {
    let (binary, folder) = (peers::build_holdfast()?, tempfile::tempdir()?);
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(one_of_many(plan, &binary, folder.path(), &mut figures))?;
    runtime.block_on(ten_thousand(plan, &binary, folder.path(), &mut figures))?;
    let mut out = std::io::stdout();
    if plan.json {
        writeln!(out, "{}", json!({ "title": "federation", "figures": figures.objects() }))?;
    } else {
        writeln!(
            out,
            "tools/list of {} servers with {} tools each, 2026-07-28, one client",
            plan.servers, plan.tools
        )?;
        writeln!(out, "{}", figures.table())?;
    }
    Ok(())
}

/// All healthy, one hanging, one dead, in turns.
async fn one_of_many(plan: &Plan, binary: &Path, folder: &Path, figures: &mut Figures) -> Result<(), Error> {
    let tools = usize::from(plan.tools);
    let members = Members::start(plan.servers.into(), tools, tools)?;
    let gateway = gateway(binary, folder, &members)?;
    let lists = Lists::of(&gateway);
    let all = usize::from(plan.servers) * tools;
    let mut seen = [Histogram::<u64>::new(3)?, Histogram::new(3)?, Histogram::new(3)?];
    let mut cpu = [Duration::ZERO; 3];
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for round in 0..plan.rounds {
        let victim = usize::from(round % plan.servers);
        let mut p99 = [0.0; 3];
        for (part, mode) in [Mode::Healthy, Mode::Hanging, Mode::Dead].into_iter().enumerate() {
            members.set(victim, mode);
            lists.measure(WARM_UP, all).await?;
            let before = gateway.cpu();
            let times = lists.measure(plan.lists, all).await?;
            cpu[part] += gateway.cpu().saturating_sub(before);
            p99[part] = times.value_at_quantile(0.99) as f64;
            seen[part].add(times)?;
        }
        ratios[0].push(p99[1] / p99[0]);
        ratios[1].push(p99[2] / p99[0]);
        members.set(victim, Mode::Healthy);
        lists.measure(WARM_UP, all).await?;
    }
    let asked = f64::from(plan.lists) * f64::from(plan.rounds);
    for ((name, times), cpu) in ["all healthy", "one hangs", "one is dead"].into_iter().zip(&seen).zip(cpu) {
        figures.add(format!("{name}: p50"), times.value_at_quantile(0.5) as f64 / 1000.0, "ms");
        figures.add(format!("{name}: p99"), times.value_at_quantile(0.99) as f64 / 1000.0, "ms");
        figures.add(format!("{name}: CPU of the gateway, a list"), cpu.as_secs_f64() * 1e6 / asked, "us");
    }
    for (name, ratios) in ["one hangs", "one is dead"].into_iter().zip(&mut ratios) {
        ratios.sort_by(f64::total_cmp);
        figures.judge(
            format!("{name}: p99 beside all healthy (median of rounds)"),
            ratios[ratios.len() / 2],
            "x",
            WORSE,
        );
    }
    Ok(())
}

/// 10,000 tools, page by page.
async fn ten_thousand(plan: &Plan, binary: &Path, folder: &Path, figures: &mut Figures) -> Result<(), Error> {
    let each = 10_000_usize.div_ceil(plan.servers.into());
    let members = Members::start(plan.servers.into(), each, 100)?;
    let gateway = gateway(binary, folder, &members)?;
    let lists = Lists::of(&gateway);
    let began = Instant::now();
    let (mut cursor, mut tools, mut pages) = (None, 0, 0);
    loop {
        let result = lists.page(cursor.as_deref()).await?;
        tools += result["tools"].as_array().map_or(0, Vec::len);
        pages += 1;
        match result["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    if tools != each * usize::from(plan.servers) {
        return Err(format!("{tools} tools listed, {} are there", each * usize::from(plan.servers)).into());
    }
    figures.add("many tools: listed", tools as f64, "tools");
    figures.add("many tools: pages", f64::from(pages), "pages");
    figures.add("many tools: all pages", began.elapsed().as_secs_f64() * 1000.0, "ms");
    figures.add("many tools: RSS of the gateway after", gateway.resident_kib() as f64 / 1024.0, "MiB");
    Ok(())
}

fn gateway(binary: &Path, folder: &Path, members: &Members) -> Result<Process, Error> {
    let (address, admin) = (free_address()?, free_address()?);
    let mut config = format!(
        "server: {{host: 127.0.0.1, port: {}, workers: 2, drain_delay: 0s}}\nadmin: {{port: {}}}\nsessions: {{ephemeral_key: true}}\n\
         observability: {{access_log: {{path: {}}}}}\nmcp:\n  servers:\n",
        address.port(),
        admin.port(),
        folder.join("access.log").display(),
    );
    for (number, address) in members.addresses.iter().enumerate() {
        writeln!(config, "    - {{name: s{number:03}, era: modern, endpoints: ['http://{address}/mcp']}}")?;
    }
    let file = folder.join("federation.yaml");
    std::fs::write(&file, config)?;
    let log = File::create(folder.join("holdfast.log"))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(file).stdout(Stdio::null()).stderr(log);
    Process::start(command, address)
}

/// A client that lists tools, one list after the other.
struct Lists {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: String,
}

impl Lists {
    fn of(gateway: &Process) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, uri: format!("http://{}/mcp", gateway.address) }
    }

    /// Times of so many lists in microseconds. An error or a list without all `tools` ends it.
    async fn measure(&self, count: u32, tools: usize) -> Result<Histogram<u64>, Error> {
        let mut times = Histogram::new(3)?;
        for _ in 0..count {
            let began = Instant::now();
            let body = self.ask(None).await?;
            times.record(u64::try_from(began.elapsed().as_micros())?)?;
            let found = body.windows(8).filter(|window| window == b"{\"name\":").count();
            // serde_json sorts the members of an object: `description` comes first.
            let described = body.windows(15).filter(|window| window == b"{\"description\":").count();
            if found.max(described) != tools {
                return Err(format!("{} tools listed, {tools} are there", found.max(described)).into());
            }
        }
        Ok(times)
    }

    async fn page(&self, cursor: Option<&str>) -> Result<Value, Error> {
        let mut answer: Value = serde_json::from_slice(&self.ask(cursor).await?)?;
        Ok(answer["result"].take())
    }

    async fn ask(&self, cursor: Option<&str>) -> Result<Bytes, Error> {
        let mut params = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {} } });
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list")
            .body(Full::from(body))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body)
    }
}
