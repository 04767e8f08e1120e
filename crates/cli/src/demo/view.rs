//! What the demo shows: a line that moves on a terminal, plain lines elsewhere, one object with `--json`.

use crate::exit::Failure;
use comfy_table::{CellAlignment, Table, presets};
use owo_colors::OwoColorize as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Latencies kept, newest win.
const SAMPLES_MAX: usize = 20_000;
/// Different errors kept for the verdict.
const ERRORS_MAX: usize = 5;

/// What happened so far.
#[derive(Default)]
pub(crate) struct Counts(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    answered: BTreeMap<String, u64>,
    failed: u64,
    in_flight: u64,
    cut: u64,
    errors: Vec<String>,
    samples: Vec<Duration>,
    next_sample: usize,
}

impl Counts {
    /// A correct answer, by the replica of that name.
    pub(crate) fn answered(&self, replica: &str, time: Duration) {
        let mut inner = self.lock();
        *inner.answered.entry(replica.to_owned()).or_default() += 1;
        if inner.samples.len() < SAMPLES_MAX {
            inner.samples.push(time);
        } else {
            let slot = inner.next_sample % SAMPLES_MAX;
            inner.samples[slot] = time;
        }
        inner.next_sample += 1;
    }

    /// Anything else.
    pub(crate) fn failed(&self, error: &str) {
        let mut inner = self.lock();
        inner.failed += 1;
        if inner.errors.len() < ERRORS_MAX && !inner.errors.iter().any(|known| known == error) {
            inner.errors.push(error.to_owned());
        }
    }

    /// A replica was killed in the middle of `in_flight` calls; the gateway lost the connection of `cut` of them.
    pub(crate) fn killed(&self, in_flight: u64, cut: u64) {
        let mut inner = self.lock();
        inner.in_flight += in_flight;
        inner.cut += cut;
    }

    /// Answers of one replica.
    pub(crate) fn of(&self, replica: &str) -> u64 {
        self.lock().answered.get(replica).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn calls(&self) -> u64 {
        self.answered.values().sum()
    }

    fn quantile(&self, q: f64) -> Duration {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(((last as f64) * q) as usize).copied().unwrap_or_default()
    }
}

/// The screen.
pub(crate) struct View {
    terminal: bool,
    json: bool,
}

impl View {
    pub(crate) fn new(json: bool) -> Self {
        Self { terminal: std::io::stdout().is_terminal(), json }
    }

    pub(crate) fn title(&self, text: &str) {
        self.line(&if self.terminal { format!("\n{}\n", text.bold()) } else { text.to_owned() });
    }

    pub(crate) fn fact(&self, name: &str, value: &str) {
        self.line(&format!("  {name:<10} {value}"));
    }

    pub(crate) fn scene(&self, text: &str) {
        self.line(&if self.terminal {
            format!("\n{} {}", "==>".cyan().bold(), text.bold())
        } else {
            format!("==> {text}")
        });
    }

    /// The line that moves; only on a terminal.
    pub(crate) fn progress(&self, counts: &Counts) {
        if self.terminal && !self.json {
            let mut out = std::io::stdout();
            // A screen that went away ends the demo at its next line, by SIGPIPE or here.
            let _ = write!(out, "\r\u{1b}[K{}", self.state(counts)).and_then(|()| out.flush());
        }
    }

    /// Leaves the moving line where it is, or prints it once where nothing moves.
    pub(crate) fn settle(&self, counts: &Counts) {
        if self.terminal { self.line("") } else { self.line(&self.state(counts)) }
    }

    fn state(&self, counts: &Counts) -> String {
        let inner = counts.lock();
        let failed = match (self.terminal, inner.failed) {
            (false, failed) => failed.to_string(),
            (true, 0) => "0".green().to_string(),
            (true, failed) => failed.red().bold().to_string(),
        };
        let each: Vec<String> =
            inner.answered.iter().map(|(replica, calls)| format!("{replica} {calls:<8}")).collect();
        let (calls, each, p99) = (inner.calls(), each.concat(), inner.quantile(0.99).as_secs_f64() * 1e3);
        format!("  {calls:>8} calls   {failed} failed   {each}p99 {p99:.1} ms")
    }

    /// The totals, and whether the promise held.
    pub(crate) fn verdict(&self, counts: &Counts) -> Result<(), Failure> {
        let inner = counts.lock();
        let (p50, p99) = (inner.quantile(0.5).as_secs_f64() * 1e3, inner.quantile(0.99).as_secs_f64() * 1e3);
        if self.json {
            let object = json!({ "calls": inner.calls(), "failed": inner.failed, "answered": inner.answered,
                "in_flight_at_kill": inner.in_flight, "cut_by_kill": inner.cut, "p50_ms": p50, "p99_ms": p99, "errors": inner.errors });
            writeln!(std::io::stdout(), "{object}")?;
        } else {
            let mut table = Table::new();
            table.load_style(presets::UTF8_BORDERS_ONLY);
            for (replica, calls) in &inner.answered {
                table.add_row([format!("answered by {replica}"), calls.to_string()]);
            }
            table.add_row(["calls in all".to_owned(), inner.calls().to_string()]);
            table.add_row(["in flight on the killed replica".to_owned(), inner.in_flight.to_string()]);
            table.add_row(["calls cut by the kill".to_owned(), inner.cut.to_string()]);
            table.add_row(["failed".to_owned(), inner.failed.to_string()]);
            table.add_row(["p50 / p99".to_owned(), format!("{p50:.1} / {p99:.1} ms")]);
            if let Some(column) = table.column_mut(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            self.line(&format!("\n{table}"));
        }
        if inner.failed > 0 {
            return Err(Failure::Failed(format!(
                "{} calls failed: {}",
                inner.failed,
                inner.errors.join("; ")
            )));
        }
        if inner.answered.len() < 2 {
            return Err(Failure::Failed("only one replica ever answered".to_owned()));
        }
        if inner.cut == 0 {
            return Err(Failure::Failed("the kill met no call, so it showed nothing".to_owned()));
        }
        Ok(())
    }

    fn line(&self, text: &str) {
        if !self.json {
            // See `progress`.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
