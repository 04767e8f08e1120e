//! Command line: what can be said, with the help that stands beside it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the command ran and its answer is no (a call failed, the process cannot be reached)
  2  the configuration or the arguments are wrong (nothing was started)
  3  the machine said no (an address in use, a file unreadable, too few file descriptors)";

/// A highly available gateway for MCP servers and HTTP APIs.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, about, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway, from a file or from flags alone
    Serve(ServeArgs),
    /// Validate configuration files and print their effective form
    Check(CheckArgs),
    /// Show it: a gateway, two MCP replicas and a client; one replica is killed, no call fails
    Demo(DemoArgs),
    /// Ask a running gateway how it is
    Status(StatusArgs),
    /// Ask MCP servers for their tools and print the `pins` that hold each to its definition
    Pins(PinsArgs),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// One replica of the demo's MCP server
    #[command(hide = true)]
    DemoServer(DemoServerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Configuration files, merged in order
    #[arg(short, long = "config", value_name = "FILE", env = "HOLDFAST_CONFIG", value_delimiter = ',')]
    pub(crate) config: Vec<PathBuf>,
    /// An MCP server: its name and the URL of one endpoint (the same name again adds an endpoint), or a command to run,
    /// such as 'files=npx -y server-files /data'
    #[arg(long, value_name = "NAME=URL|COMMAND", value_parser = server)]
    pub(crate) mcp: Vec<(String, String)>,
    /// An HTTP route: its path prefix and the URL of one endpoint; the same prefix again adds an endpoint
    #[arg(long, value_name = "/PREFIX=URL", value_parser = pair)]
    pub(crate) http: Vec<(String, String)>,
    /// Address of the first listener when only flags are given
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// Speak MCP over standard input and output to the one client that started this process, and listen nowhere: no --listen, no admin
    /// port, no access log on standard output. Which server and as whom: mcp.stdio in the configuration
    #[arg(long)]
    pub(crate) stdio: bool,
    /// When ready, write the bound addresses and the process id to this file (JSON, renamed into place)
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Print the configuration that the flags stand for, and exit
    #[arg(long)]
    pub(crate) print_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, merged in order
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Demand what a role needs; without it every fragment is legal alone
    #[arg(long = "for", value_enum, value_name = "ROLE")]
    pub(crate) role: Option<RoleArg>,
    /// Warnings are errors
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// Print nothing but errors and warnings
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print only what the files say, without defaults
    #[arg(long)]
    pub(crate) no_defaults: bool,
    /// Machine-readable result
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// The data plane, `holdfast serve`
    Serve,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Tell the story once; exit code 0 only if no call failed
    #[arg(long)]
    pub(crate) once: bool,
    /// Port of the gateway (0 = any free one)
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Clients that call at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub(crate) clients: u16,
    /// Machine-readable result (with --once)
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoServerArgs {
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Admin address of the gateway
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090")]
    pub(crate) admin: SocketAddr,
    /// Admin Unix socket, instead of the address
    #[arg(long, value_name = "PATH", conflicts_with = "admin")]
    pub(crate) socket: Option<PathBuf>,
    /// Environment variable that holds the admin token
    #[arg(long, value_name = "VAR", default_value = "HOLDFAST_ADMIN_TOKEN")]
    pub(crate) token_env: String,
    /// Machine-readable answer
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  every server answered; its pins are printed
  1  a server did not answer, or a tool cannot be pinned (what could be had is printed)
  2  the configuration or the arguments are wrong, or no server has the name
  3  the machine said no")]
pub(crate) struct PinsArgs {
    /// One server of the configuration; absent = all
    #[arg(value_name = "SERVER")]
    pub(crate) server: Option<String>,
    /// Configuration files, merged in order: servers are asked as the gateway would, whatever rules and pins they have now
    #[arg(short, long = "config", value_name = "FILE", env = "HOLDFAST_CONFIG", value_delimiter = ',')]
    pub(crate) config: Vec<PathBuf>,
    /// A server that is in no configuration yet: a name and a URL or a command, as for `serve`
    #[arg(long, value_name = "NAME=URL|COMMAND", value_parser = server)]
    pub(crate) mcp: Vec<(String, String)>,
    /// Machine-readable answer
    #[arg(long)]
    pub(crate) json: bool,
}

/// A name with a URL or a command.
fn server(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    match holdfast_config::split_command(&value) {
        Some(_) => Ok((name, value)),
        None => Err(format!("'{value}' has a quote without its other half")),
    }
}

/// `left=right`, both non-empty.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err(format!("'{text}' is not of the form NAME=URL, such as files=http://127.0.0.1:3000/mcp")),
    }
}
