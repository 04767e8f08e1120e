//! Benchmarks: Holdfast beside its peers on the same machine, in the same run, in alternating rounds.
//!
//! The steady figure is CPU time per request of the proxy alone; requests per second depend on who else uses the machine.
//! Nothing here is asserted: it prints tables.

mod blind;
mod callgrind;
mod federation;
mod figures;
mod load;
mod origin;
mod peers;
mod process;
mod rounds;
mod sessions;
mod streams;
mod transports;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What went wrong, for a person.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Benchmarks beside nginx and HAProxy, which `./test setup` installs. Needs wrk too, redis-server for `sessions`, and
/// valgrind for `instructions`: the Debian packages have these names.
#[derive(Debug, Parser)]
#[command(name = "holdfast-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// HTTP/1.1 route, 1 KiB answers, all features on
    Http(rounds::Options),
    /// MCP tools/call, with a legacy session and modern, beside proxies that do not look inside; then by every client transport
    Mcp(rounds::Options),
    /// What sessions cost, with and without a real Redis: requests, tokens, journal, event log, idle sessions
    Sessions(sessions::Plan),
    /// What an open stream costs that says nothing, of every kind of client
    Streams(streams::Plan),
    /// The merged endpoint: tools/list of many servers, all healthy, with one that hangs, with one that is dead
    Federation(federation::Plan),
    /// User instructions per request under callgrind, as the difference of two run lengths
    Instructions {
        /// Machine-readable result
        #[arg(long)]
        json: bool,
    },
    /// A small MCP server that answers at once
    #[command(hide = true)]
    McpOrigin {
        /// As a program, over standard input and output
        #[arg(long)]
        stdio: bool,
    },
    /// A reverse proxy of hyper and nothing else
    #[command(hide = true)]
    BlindProxy {
        /// Where everything goes
        origin: std::net::SocketAddr,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Http(options) => rounds::http(&options),
        Command::Mcp(options) => rounds::mcp(&options).and_then(|()| transports::run(&options)),
        Command::Sessions(plan) => sessions::run(&plan),
        Command::Streams(plan) => streams::run(&plan),
        Command::Federation(plan) => federation::run(&plan),
        Command::Instructions { json } => callgrind::run(json),
        Command::McpOrigin { stdio: false } => origin::run(),
        Command::McpOrigin { stdio: true } => origin::run_stdio(),
        Command::BlindProxy { origin } => blind::run(origin),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // A closed standard error leaves only the exit code.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
