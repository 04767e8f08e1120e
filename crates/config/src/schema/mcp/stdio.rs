//! MCP servers that Holdfast runs.

use super::{Def, Key, Kind, Rule, int, key, mib, seconds};
use crate::schema::{MINUTE, Names};

pub(super) const COMMAND: &[Key] = &[
    key(
        "command",
        Kind::List { of: &Kind::Text(Rule::Any), max: 256, one: true },
        Def::Empty,
        "A program that speaks MCP over its standard input and output, or a list: the program and its first arguments. No shell. Of the policy keys `circuit_breaker`, `retry` and `max_requests` hold for it.",
    ),
    key(
        "args",
        Kind::List { of: &Kind::Text(Rule::Any), max: 256, one: true },
        Def::Empty,
        "Arguments of `command`.",
    ),
    key(
        "env",
        Kind::Secrets(Names::Variable),
        Def::Empty,
        "Variables that the program gets. The values are never shown.",
    ),
    key(
        "env_allow",
        Kind::List { of: &Kind::Text(Rule::Any), max: 256, one: true },
        Def::Text("[PATH, HOME, LANG, LC_*, TZ, TMPDIR]"),
        "Variables of this process that the program gets, too; a `*` at the end stands for anything. It gets no others.",
    ),
    key(
        "cwd",
        Kind::Text(Rule::Path),
        Def::None,
        "Working directory of the program. Absent = this process's.",
    ),
    key(
        "stop_grace",
        seconds(1, MINUTE),
        Def::Text("2s"),
        "A program that is to end has its input closed; it gets SIGTERM after this time, and SIGKILL after it once more, with all of its process group.",
    ),
    key(
        "max_processes",
        int(1, 10_000),
        Def::Text("64"),
        "Processes of the program at once, one for each session and one for each principal without. Beyond it 503.",
    ),
    key(
        "max_processes_per_principal",
        int(1, 10_000),
        Def::Text("8"),
        "Processes of the program at once for one principal. Beyond it 503.",
    ),
    key("max_open_files", int(16, 1 << 20), Def::Text("1024"), "Open files of one process."),
    key(
        "max_memory",
        Kind::Size { min: mib(16), max: 1 << 46 },
        Def::None,
        "Address space of one process, which for some runtimes is far more than what they use. Absent = no limit.",
    ),
];
