//! User instructions per request: two runs of different length under callgrind, and their difference, so that start and
//! end cancel out. The same on every run of the same binary, whatever else the machine does.

use crate::Error;
use crate::peers;
use crate::process::{Process, free_address};
use crate::rounds::{self, Path as Way};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

/// Requests of the two runs.
const LENGTHS: [u64; 2] = [500, 2500];

/// Measures HTTP, MCP with a session, and MCP modern.
pub(crate) fn run(json: bool) -> Result<(), Error> {
    let (binary, folder) = (peers::build_holdfast()?, tempfile::tempdir()?);
    let mut results = Vec::new();
    for way in [Way::Http, Way::McpSession, Way::McpModern] {
        let mut totals = [0u64; 2];
        for (total, requests) in totals.iter_mut().zip(LENGTHS) {
            *total = one(way, requests, folder.path(), &binary)?;
        }
        let per_request = totals[1].saturating_sub(totals[0]) / (LENGTHS[1] - LENGTHS[0]);
        results.push((way.name(), per_request));
    }
    let mut out = std::io::stdout();
    if json {
        let rows: Vec<_> =
            results.iter().map(|(n, i)| serde_json::json!({ "path": n, "instructions": i })).collect();
        writeln!(out, "{}", serde_json::json!({ "rows": rows }))?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["path", "user instructions per request"]);
    for (name, instructions) in results {
        table.add_row([name.to_owned(), instructions.to_string()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn one(way: Way, requests: u64, folder: &Path, binary: &Path) -> Result<u64, Error> {
    let origin = match way {
        Way::Http => peers::start_http_origin(1024, folder)?,
        Way::McpSession | Way::McpModern => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("mcp-origin");
            Process::start_announcing(command)?
        }
    };
    let address = free_address()?;
    let counts = folder.join("callgrind.out");
    let config = peers::holdfast_config(address, free_address()?, origin.address, 1, folder);
    let file = folder.join("callgrind.yaml");
    std::fs::write(&file, config)?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet", &format!("--callgrind-out-file={}", counts.display())])
        .arg(binary)
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(folder.join("callgrind.log"))?);
    let process = Process::start(command, address)?;
    let request = match way {
        Way::Http => crate::load::Request::get("/1k"),
        Way::McpModern => rounds::modern("/mcp/bench"),
        Way::McpSession => rounds::legacy("/mcp/bench", &rounds::open_session(address, "/mcp/bench")?),
    };
    call(address, &request, requests)?;
    process.end_politely()?;
    let text = std::fs::read_to_string(&counts)?;
    text.lines()
        .find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")))
        .and_then(|count| count.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| "callgrind wrote no total".into())
}

/// Sends requests one after another on one connection.
fn call(address: SocketAddr, request: &crate::load::Request, requests: u64) -> Result<(), Error> {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    let wire = format!("{head}content-length: {}\r\n\r\n{}", request.body.len(), request.body);
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    for _ in 0..requests {
        stream.get_mut().write_all(wire.as_bytes())?;
        let mut length = 0;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if !line.contains(" 200 ") {
            return Err(format!("answered {line}").into());
        }
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
    }
    Ok(())
}
