//! How upstreams are called.

use super::{
    Also, Bare, Block, DAY, Def, HOUR, Key, Kind, PERCENT, SHARE, Word, also, also_in, int, key, mib, millis,
    rules::Rule, seconds,
};

const STRATEGY: Kind = Kind::Choice(&[
    Word(
        &["p2c_ewma", "p2c", "ewma", "peak_ewma"],
        "the better of two, by latency and requests in flight; failures count as slow",
    ),
    Word(
        &["least_connections", "least_conn", "leastconn", "least-connections", "least_requests"],
        "fewest requests in flight",
    ),
    Word(
        &["round_robin", "weighted", "roundrobin", "round-robin", "weighted_round_robin"],
        "in turn, smooth by weight",
    ),
    Word(&["random"], "by chance, by weight"),
    Word(&["ip_hash", "ip-hash", "source"], "ring hash on the client address"),
    Word(&["ring_hash", "ring-hash"], "ring hash on the session, or else the client address"),
    Word(&["maglev"], "Maglev table on the same key"),
]);

/// What `routing` sets for all and an upstream's own block overrides, field by field.
pub(crate) const POLICY: &[Key] = &[
    key("strategy", STRATEGY, Def::Text("p2c_ewma"), "Balancer."),
    key(
        "health_check",
        Kind::Block(&HEALTH_CHECK),
        Def::Empty,
        "Active probes. A single value is the interval.",
    ),
    key("circuit_breaker", Kind::Block(&CIRCUIT_BREAKER), Def::Empty, "Breaker per endpoint."),
    key("outlier_detection", Kind::Block(&OUTLIER), Def::Empty, "Passive ejection.")
        .alias(&[also("outlier")]),
    key("retry", Kind::Block(&RETRY), Def::Empty, "Retries, all inside `timeout`."),
    key("connect_timeout", seconds(1, HOUR), Def::Text("2s"), "TCP plus TLS connect."),
    key("timeout", seconds(1, DAY), Def::Text("30s"), "From request to response head, over all attempts.")
        .alias(&[also_in("timeout_seconds", Bare::Seconds)]),
    key(
        "body_idle_timeout",
        seconds(1, DAY),
        Def::Text("1m"),
        "Longest pause inside a response body that is no stream.",
    ),
    key(
        "panic_threshold",
        SHARE,
        Def::Text("50%"),
        "Below this share of available endpoints health is ignored. 0 = never.",
    ),
    key(
        "slow_start",
        seconds(0, HOUR),
        Def::Rule("30s for 3 or more endpoints, else 0s"),
        "Ramp of a joining or returning endpoint. 0s = none.",
    ),
    key(
        "max_requests",
        int(1, 100_000_000),
        Def::Text("10000"),
        "Requests in flight per upstream; beyond it 503 at once.",
    ),
];

pub(super) static ROUTING: Block = Block {
    name: "routing",
    doc: "How upstreams are called, unless one says otherwise.",
    keys: &[
        POLICY,
        &[
            key(
                "health_check_interval",
                seconds(100, DAY),
                Def::None,
                "Short for `health_check: {interval: ...}`.",
            )
            .moves_to("routing.health_check.interval"),
            key(
                "process_retry_budget",
                Kind::Block(&PROCESS_BUDGET),
                Def::Empty,
                "Retries of all upstreams together.",
            ),
            key(
                "block_link_local",
                Kind::Bool,
                Def::Text("true"),
                "Refuse endpoints that resolve to link-local or cloud metadata addresses.",
            ),
        ],
    ],
    scalar: None,
    reserved: &["rate_limit"],
};

static HEALTH_CHECK: Block = Block {
    name: "health_check",
    doc: "Active probes, on connections of their own.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = no probes."),
        key(
            "type",
            Kind::Choice(&[
                Word(&["tcp"], "a connect is enough"),
                Word(&["http"], "GET `path`; 2xx and 3xx are healthy"),
            ]),
            Def::Rule("`http` if `path` is given, else `tcp`"),
            "How a probe asks.",
        ),
        key("path", Kind::Text(Rule::Path), Def::None, "Path to ask, for `type: http`."),
        key("port", int(1, 65535), Def::None, "Other port than the endpoint's.").or_off(),
        key("interval", seconds(100, DAY), Def::Text("5s"), "Pause between probes, jittered by 10 %."),
        key("timeout", seconds(1, HOUR), Def::Text("2s"), "One probe."),
        key(
            "healthy_threshold",
            int(1, 1000),
            Def::Text("2"),
            "Successes in a row before an endpoint is in.",
        )
        .alias(&[also("rise")]),
        key("unhealthy_threshold", int(1, 1000), Def::Text("3"), "Failures in a row before it is out.")
            .alias(&[also("fall"), also("threshold")]),
    ]],
    scalar: Some("interval"),
    reserved: &["url"],
};

pub(super) static CIRCUIT_BREAKER: Block = Block {
    name: "circuit_breaker",
    doc: "A breaker per endpoint with two trip conditions; either opens it.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = never refuse."),
        key(
            "failure_threshold",
            int(1, 1_000_000),
            Def::Text("5"),
            "Failures in a row that open it. `off` = not counted.",
        )
        .or_off(),
        key("thresholds", Kind::Block(&THRESHOLDS), Def::Empty, "The rate condition."),
        key("sliding_window", Kind::Block(&SLIDING_WINDOW), Def::Empty, "Over what the rates are taken."),
        key(
            "timeout",
            seconds(1, DAY),
            Def::Text("10s"),
            "Time open before probing; doubles per re-open up to `max_timeout`, jittered.",
        )
        .alias(&[also_in("timeout_seconds", Bare::Seconds), also_in("wait_duration", Bare::Millis)]),
        key(
            "max_timeout",
            seconds(1, DAY),
            Def::Rule("5m, or `timeout` if that is more"),
            "Longest time open.",
        ),
        key(
            "success_threshold",
            int(1, 1_000_000),
            Def::Text("2"),
            "Successes in a row while half open that close it.",
        ),
        key("half_open_requests", int(1, 1_000_000), Def::Text("1"), "Probe calls at once while half open.")
            .alias(&[also("half_open_max_requests")]),
        key(
            "permitted_calls_in_half_open_state",
            int(1, 1_000_000),
            Def::Off,
            "Probe calls in total, after which the rates decide. `off` = `success_threshold` decides.",
        )
        .or_off(),
        key(
            "max_half_open",
            seconds(100, DAY),
            Def::Text("30s"),
            "A half-open state without a verdict goes back to open.",
        ),
    ]],
    scalar: Some("enabled"),
    reserved: &[],
};

static THRESHOLDS: Block = Block {
    name: "circuit_breaker.thresholds",
    doc: "Shares of the sliding window. A bare number is a percentage.",
    keys: &[&[
        key(
            "failure_rate",
            PERCENT,
            Def::Text("50%"),
            "Trip at or above. `off` = no rate condition, slow calls included.",
        )
        .or_off(),
        key("slow_call_rate", PERCENT, Def::Text("100%"), "Trip at or above this share of slow calls."),
        key(
            "slow_call_duration_threshold",
            millis(1, HOUR),
            Def::Off,
            "What is slow, until the first byte. `off` = slow calls are not counted.",
        )
        .or_off(),
        key(
            "minimum_calls",
            int(1, 1_000_000),
            Def::Rule("20, or `sliding_window.size` if that is less"),
            "Calls in the window before a rate means anything.",
        )
        .alias(&[also("minimum_number_of_calls")]),
    ]],
    scalar: None,
    reserved: &[],
};

static SLIDING_WINDOW: Block = Block {
    name: "circuit_breaker.sliding_window",
    doc: "Over what the rates are taken.",
    keys: &[&[
        key(
            "type",
            Kind::Choice(&[
                Word(&["time_based", "TIME_BASED"], "the last `duration`, in 10 buckets"),
                Word(&["count_based", "COUNT_BASED"], "the last `size` calls"),
            ]),
            Def::Rule("`count_based` if `size` is given, else `time_based`"),
            "Kind of window.",
        ),
        key("size", int(1, 100_000), Def::Rule("100, with `count_based`"), "Calls, with `count_based`."),
        key("duration", seconds(1000, HOUR), Def::Rule("10s, with `time_based`"), "Time, with `time_based`."),
    ]],
    scalar: None,
    reserved: &[],
};

static OUTLIER: Block = Block {
    name: "outlier_detection",
    doc: "Ejects an endpoint that fails real requests.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = no ejection."),
        key("consecutive_errors", int(1, 1_000_000), Def::Text("5"), "Failures in a row before ejection.")
            .alias(&[also("max_fails")]),
        key(
            "base_ejection_time",
            seconds(100, DAY),
            Def::Text("30s"),
            "First ejection; times the number of ejections.",
        )
        .alias(&[also("fail_timeout")]),
        key(
            "max_ejection_time",
            seconds(100, DAY),
            Def::Rule("5m, or `base_ejection_time` if that is more"),
            "Longest ejection.",
        ),
        key(
            "max_ejection_share",
            SHARE,
            Def::Text("50%"),
            "Share of endpoints that may be out at once; one always stays.",
        )
        .alias(&[also_in("max_ejection_percent", Bare::Percent)]),
    ]],
    scalar: Some("enabled"),
    reserved: &[],
};

pub(super) static RETRY: Block = Block {
    name: "retry",
    doc: "Retries with full jitter, before the first response byte, of what is safe to repeat.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = one attempt."),
        key(
            "max_attempts",
            int(1, 100),
            Def::Text("3"),
            "Attempts including the first. `max_retries: 3` is `max_attempts: 4`.",
        )
        .alias(&[also("attempts"), Also { name: "max_retries", bare: None, plus: 1 }]),
        key(
            "backoff",
            Kind::Choice(&[
                Word(&["exponential"], "`multiplier: 2` unless given"),
                Word(&["constant", "fixed"], "`multiplier: 1`"),
            ]),
            Def::None,
            "Short for a `multiplier`.",
        ),
        key("initial_delay", seconds(0, HOUR), Def::Text("25ms"), "Upper bound of the first pause.")
            .alias(&[also_in("initial_interval", Bare::Millis)]),
        key(
            "multiplier",
            Kind::Float { min: 1.0, max: 100.0 },
            Def::Text("2"),
            "Growth of the pause per attempt.",
        ),
        key(
            "max_delay",
            seconds(0, HOUR),
            Def::Rule("250ms, or `initial_delay` if that is more"),
            "Longest pause.",
        )
        .alias(&[also_in("max_interval", Bare::Millis)]),
        key(
            "per_try_timeout",
            seconds(1, DAY),
            Def::Off,
            "One attempt until the response head. `off` = `timeout` alone.",
        )
        .or_off(),
        key(
            "retry_on",
            Kind::List {
                of: &Kind::Choice(&[
                    Word(
                        &["connection_error", "ConnectionError"],
                        "connect, TLS, reset before anything was sent, GOAWAY",
                    ),
                    Word(&["timeout_error", "TimeoutError"], "`per_try_timeout`"),
                    Word(&["transient_error", "TransientError"], "429, 502, 503, 504"),
                ]),
                max: 16,
                one: true,
            },
            Def::Text("[connection_error, timeout_error, transient_error]"),
            "What is retried.",
        )
        .alias(&[also("retryable_exceptions")]),
        key("budget", Kind::Block(&BUDGET), Def::Empty, "Retries of one upstream together, over 10 s."),
        key(
            "replay_buffer",
            Kind::Size { min: 0, max: mib(16) },
            Def::Text("64KiB"),
            "Larger bodies are not kept for a retry.",
        ),
    ]],
    scalar: Some("enabled"),
    reserved: &[],
};

const RATIO_KEY: Key = key("ratio", SHARE, Def::Text("20%"), "Share of requests.");

static BUDGET: Block = Block {
    name: "retry.budget",
    doc: "Retries beyond both are not made.",
    keys: &[&[
        RATIO_KEY,
        key("min_per_second", int(0, 1_000_000), Def::Text("10"), "Retries per second always allowed."),
    ]],
    scalar: None,
    reserved: &[],
};

static PROCESS_BUDGET: Block = Block {
    name: "routing.process_retry_budget",
    doc: "Retries of all upstreams beyond both are not made.",
    keys: &[&[
        RATIO_KEY,
        key("min_per_second", int(0, 1_000_000), Def::Text("100"), "Retries per second always allowed."),
    ]],
    scalar: None,
    reserved: &[],
};
