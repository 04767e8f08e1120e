//! The `holdfast` binary: arguments, exit codes, wiring. No logic lives here.

mod admin_client;
mod args;
mod check;
mod demo;
mod exit;
mod pins;
mod serve;
mod status;

use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoServer(args) => demo::server::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Pins(args) => pins::run(&args),
        Command::Schema => check::print_schema(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut script);
            std::io::stdout().write_all(&script).map_err(exit::Failure::from)
        }
    };
    exit::report(outcome)
}
