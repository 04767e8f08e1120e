//! `holdfast status`: the admin API's `/status` as a table.

use crate::admin_client::{self, AdminAddress};
use crate::args::StatusArgs;
use crate::exit::Failure;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;
use std::io::Write as _;

/// Asks and prints.
pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let address = match &args.socket {
        Some(path) => AdminAddress::Unix(path),
        None => AdminAddress::Tcp(args.admin),
    };
    let token = std::env::var(&args.token_env).ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, body) =
        runtime.block_on(admin_client::request(&address, http::Method::GET, "/status", token.as_deref()))?;
    let text = String::from_utf8_lossy(&body);
    if status != http::StatusCode::OK {
        return Err(Failure::Failed(format!("the gateway answered {status}: {}", text.trim())));
    }
    if args.json {
        return Ok(writeln!(std::io::stdout(), "{text}")?);
    }
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::Failed(format!("the gateway's status is not JSON: {error}")))?;
    print(&value)
}

fn print(status: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    for name in ["phase", "version", "generation", "uptime_seconds", "pid"] {
        writeln!(out, "{:<16}{}", name.replace('_', " "), plain(&status[name]))?;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["upstream", "endpoint", "breaker", "health", "in flight", "weight", "latency ms"]);
    for upstream in status["upstreams"].as_array().into_iter().flatten() {
        for endpoint in upstream["endpoints"].as_array().into_iter().flatten() {
            let of = |name: &str| plain(&endpoint[name]);
            let name = plain(&upstream["name"]);
            table.add_row([
                name,
                of("endpoint"),
                of("breaker"),
                of("health"),
                of("in_flight"),
                of("weight"),
                of("latency_ms"),
            ]);
        }
    }
    for column in 4..=6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(writeln!(out, "{table}")?)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.1}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}
