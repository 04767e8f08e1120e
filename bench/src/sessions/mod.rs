//! Sessions: what sealing costs, what the shared store costs, and what a session that nobody uses costs.
//!
//! The same gateway with and without a real Redis takes turns with a proxy that looks at nothing. Beside each figure stands the
//! budget it has, if it has one.

mod figures;
mod gateways;
mod idle;
mod store;
mod token;

use crate::{Error, rounds::Options};
use figures::Figures;
use gateways::Setting;
use std::io::Write as _;

/// Where the whole of it runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    options: Options,
    /// Sessions that are opened and left alone
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    idle_sessions: u32,
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan) -> Result<(), Error> {
    let mut figures = Figures::default();
    token::measure(plan.options.rounds(), &mut figures)?;
    store::measure(&plan.options, &mut figures)?;
    let mut setting = Setting::start()?;
    let rows = setting.rounds(&plan.options, &mut figures)?;
    idle::measure(&setting, plan.idle_sessions, &mut figures)?;
    let mut out = std::io::stdout();
    if plan.options.json() {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "title": "sessions", "rows": rows.objects, "figures": figures.objects() })
        )?;
        return Ok(());
    }
    writeln!(out, "MCP tools/call with a session: {}; medians, ratios pair the same round", plan.options)?;
    writeln!(out, "{}", rows.table)?;
    writeln!(out, "{}", figures.table())?;
    Ok(())
}
