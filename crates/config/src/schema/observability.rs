//! Metrics, logs, access records.

use super::{Block, Def, Kind, Word, int, key, rules::Rule};

const FORMAT: Kind = Kind::Choice(&[
    Word(&["auto"], "text on a terminal, JSON elsewhere"),
    Word(&["json"], "one JSON object a line"),
    Word(&["text"], "for people"),
]);

pub(super) static OBSERVABILITY: Block = Block {
    name: "observability",
    doc: "What Holdfast tells about itself.",
    keys: &[&[
        key("metrics", Kind::Block(&METRICS), Def::Empty, "Prometheus metrics on the admin port."),
        key("logging", Kind::Block(&LOGGING), Def::Empty, "Operational log."),
        key("access_log", Kind::Block(&ACCESS_LOG), Def::Empty, "One record per request."),
    ]],
    scalar: None,
    reserved: &["tracing"],
};

static METRICS: Block = Block {
    name: "observability.metrics",
    doc: "Prometheus metrics.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = `/metrics` answers 404."),
        key("port", int(0, 65535), Def::None, "Another name of `admin.port`.").moves_to("admin.port"),
        key("additional_labels", Kind::Labels, Def::Empty, "Labels on every series.").restart(),
    ]],
    scalar: None,
    reserved: &["compat"],
};

static LOGGING: Block = Block {
    name: "observability.logging",
    doc: "Operational log, on standard error.",
    keys: &[&[
        key(
            "level",
            Kind::Text(Rule::Filter),
            Def::Text("info"),
            "Level, or a filter per module such as `info,holdfast_mcp=debug`.",
        )
        .restart(),
        key("format", FORMAT, Def::Text("auto"), "Format.").restart(),
        key("additional_fields", Kind::Labels, Def::Empty, "Fields on every line.").restart(),
    ]],
    scalar: None,
    reserved: &[],
};

static ACCESS_LOG: Block = Block {
    name: "observability.access_log",
    doc: "One record per request. Payloads and secrets are never in it.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = no records.").restart(),
        key("format", FORMAT, Def::Text("json"), "Format.").restart(),
        key("path", Kind::Text(Rule::File), Def::None, "File. Absent = standard output.").restart(),
    ]],
    scalar: Some("enabled"),
    reserved: &[],
};
