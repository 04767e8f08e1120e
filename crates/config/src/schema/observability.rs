//! Metrics, logs, access records.

use super::{
    Block, Def, Kind, MINUTE, Names, SECOND, SHARE, Word, int, key, mcp::CLIENT_TLS, millis, rules::Rule,
    seconds,
};

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
        key("tracing", Kind::Block(&TRACING), Def::Empty, "OpenTelemetry spans, sent to a collector.")
            .restart(),
    ]],
    scalar: None,
    reserved: &[],
};

static METRICS: Block = Block {
    name: "observability.metrics",
    doc: "Prometheus metrics.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = `/metrics` answers 404."),
        key("port", int(0, 65535), Def::None, "Another name of `admin.port`.").moves_to("admin.port"),
        key("additional_labels", Kind::Labels, Def::Empty, "Labels on every series.").restart(),
        key(
            "max_names",
            int(0, 10_000),
            Def::Text("200"),
            "Most tools and prompts, of all servers together, that are a label of MCP operations. Others are counted as `_OTHER`.",
        )
        .restart(),
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

static TRACING: Block = Block {
    name: "observability.tracing",
    doc: "OpenTelemetry spans of requests and of what is asked of upstreams for them, sent by OTLP over HTTP.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("false"), "`true` = spans are recorded."),
        key("service_name", Kind::Text(Rule::Any), Def::Text("holdfast"), "`service.name` of the spans."),
        key(
            "sample_rate",
            SHARE,
            Def::Text("10%"),
            "Share of the traces that begin here. A caller's own decision goes before it; what fails is kept whatever it says.",
        ),
        key(
            "endpoint",
            Kind::Text(Rule::Url),
            Def::Rule("the variable `OTEL_EXPORTER_OTLP_ENDPOINT`, or else `http://localhost:4318`"),
            "The collector; `/v1/traces` is appended.",
        ),
        key(
            "headers",
            Kind::Secrets(Names::Header),
            Def::Empty,
            "Headers for the collector. The values are never shown.",
        ),
        key("tls", Kind::Block(&CLIENT_TLS), Def::Empty, "Client TLS, for an `https` endpoint."),
        key("timeout", seconds(100, MINUTE), Def::Text("10s"), "One message to the collector."),
        key("interval", millis(10, 60 * SECOND), Def::Text("1s"), "Longest wait before spans are sent."),
        key(
            "retry_for",
            seconds(0, 10 * MINUTE),
            Def::Text("1m"),
            "How long a message is tried again while the collector is away or busy; then its spans are lost.",
        ),
        key(
            "max_queue",
            int(16, 1 << 20),
            Def::Text("8192"),
            "Spans that wait at most; more are lost and counted.",
        ),
        key("max_batch", int(1, 8192), Def::Text("512"), "Spans of one message."),
        key("max_spans", int(1, 10_000), Def::Text("128"), "Spans kept of one request besides its own."),
    ]],
    scalar: Some("enabled"),
    reserved: &[],
};
