//! Sessions: what sealing costs, what the shared store costs, and what a session that nobody uses costs.
//!
//! The same gateway with and without a real Redis takes turns with a proxy that looks at nothing. Beside each figure stands the
//! budget it has, if it has one.

mod gateway;
mod gateways;
mod idle;
pub(crate) mod open;
mod server;
mod store;
mod token;

pub(crate) use gateway::{Gateway, PATH};
pub(crate) use server::Server;

use crate::{Error, figures::Figures, peers, rounds::Options};
use gateways::{Rows, Setting};
use std::io::Write as _;

/// Where the whole of it runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    options: Options,
    /// Sessions that are opened and left alone
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    idle_sessions: u32,
    /// Only what is held in memory
    #[arg(long)]
    memory: bool,
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan) -> Result<(), Error> {
    let mut figures = Figures::default();
    let rows = if plan.memory { None } else { Some(measure_calls(&plan.options, &mut figures)?) };
    let binary = peers::build_holdfast()?;
    idle::measure(&binary, plan.idle_sessions, &mut figures)?;
    let mut out = std::io::stdout();
    if plan.options.json() {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "title": "sessions", "rows": rows.map(|rows| rows.objects),
                "figures": figures.objects() })
        )?;
        return Ok(());
    }
    if let Some(rows) = rows {
        writeln!(
            out,
            "MCP tools/call with a session: {}; medians, ratios pair the same round",
            plan.options
        )?;
        writeln!(out, "{}", rows.table)?;
    }
    writeln!(out, "{}", figures.table())?;
    Ok(())
}

fn measure_calls(options: &Options, figures: &mut Figures) -> Result<Rows, Error> {
    token::measure(options.rounds(), figures)?;
    store::measure(options, figures)?;
    Setting::start()?.rounds(options, figures)
}
