//! What is refused, and how it is told: the place, the reason, the nearest name, and never a secret.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{EXAMPLES, environment, example, load_text, refused, refused_for};
use holdfast_config::{Role, Severity, Source, load};

/// Each text with parts of the report that it must give.
fn all(cases: &[(&str, &[&str])]) {
    for (text, parts) in cases {
        let report = refused(text);
        for part in *parts {
            assert!(report.contains(part), "{part:?} is not in the report of\n{text}\n{report}");
        }
    }
}

#[test]
fn every_key_of_every_example_is_strict() {
    let mut mutations = 0;
    for name in EXAMPLES {
        let text = example(name);
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let start = line.len() - line.trim_start_matches([' ', '-']).len();
            let (indent, rest) = line.split_at(start);
            if rest.is_empty() || rest.starts_with('#') {
                continue;
            }
            let mut changed = Vec::new();
            let key = rest
                .split_once(':')
                .filter(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            let is_leaf = key.is_none_or(|(_, value)| !value.trim().is_empty());
            if let Some((key, value)) = key {
                changed.push(format!("{indent}{key}!:{value}"));
            }
            if is_leaf {
                let before = key.map_or_else(String::new, |(key, _)| format!("{key}: "));
                for wrong in ["[[x]]", "{wrong_type: {x: 1}}", ""] {
                    changed.push(format!("{indent}{before}{wrong}"));
                }
            }
            for change in changed {
                let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                lines[index].clone_from(&change);
                let report = refused(&lines.join("\n"));
                assert!(report.contains(&format!("test.yaml:{}", index + 1)), "{name}: {change}\n{report}");
                mutations += 1;
            }
        }
    }
    assert!(mutations > 250, "{mutations} mutations");
}

#[test]
fn a_file_that_is_no_yaml_is_told_so_and_nothing_is_guessed_from_the_rest() {
    let broken = "server:\n  port: 80\n bad: [1\nmcp:\n  servers: []\n";
    for role in [Role::Any, Role::Serve] {
        // The second file says something that is wrong in itself: that is still told.
        for (other, expected) in [("", 1), ("routng: {}", 2)] {
            let sources = [("broken.yaml", broken), ("other.yaml", other)]
                .map(|(name, text)| Source::Text { name: name.into(), text: text.into() });
            let report = load(&sources, &environment(), role).unwrap_err().render(false);
            let told = report.lines().filter(|line| line.trim_start().starts_with(['×', '⚠'])).count();
            assert!(report.contains("broken.yaml:"), "{report}");
            assert_eq!(told, expected, "{role:?} {other:?}\n{report}");
        }
    }
}

#[test]
fn unknown_keys_get_the_nearest_name() {
    all(&[
        ("routng: {}", &["test.yaml:1:1: routng: unknown key", "did you mean `routing`?"]),
        (
            "server:\n  max_conections: 5",
            &["test.yaml:2:3: server.max_conections", "did you mean `max_connections`?"],
        ),
        ("routing:\n  strategy: least_con", &["test.yaml:2", "did you mean `least_conn`?"]),
        ("admin: {tokn_env: X}", &["did you mean `token_env`?"]),
        ("discovery: {provider: x}", &["discovery: unknown key: no code behind it yet"]),
        ("ha: {failover: {enabled: true}}", &["ha.failover", "no code behind it yet"]),
        (
            "observability: {metrics: {compat: true}}",
            &["observability.metrics.compat", "no code behind it yet"],
        ),
    ]);
}

#[test]
fn all_errors_are_shown_at_once() {
    let report = load_text(
        "server: {port: x}\nrouting: {timeout: y, zzz: 1}\nmcp: {servers: [{name: a__b}]}",
        Role::Any,
    )
    .unwrap_err();
    let paths: Vec<&str> = report.errors().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        ["server.port", "routing.timeout", "routing.zzz", "mcp.servers[0].endpoints", "mcp.servers[0].name"]
    );
    let json = report.to_json();
    assert_eq!(json["diagnostics"][0]["line"], 1);
    assert_eq!(json["diagnostics"][0]["column"], 16);
    assert_eq!(json["diagnostics"][0]["severity"], "error");
}

#[test]
fn two_spellings_must_mean_the_same() {
    load_text("circuit_breaker: {wait_duration: 60000, timeout_seconds: 60, timeout: 1m}", Role::Any)
        .unwrap();
    load_text("retry: {max_attempts: 4, max_retries: 3, initial_interval: 500, initial_delay: 500ms, max_delay: 1s}", Role::Any)
        .unwrap();
    load_text("observability: {metrics: {port: 9091}}\nadmin: {port: 9091}", Role::Any).unwrap();
    load_text("routing: {health_check_interval: 9s, health_check: {interval: 9s}}", Role::Any).unwrap();
    load_text("gateway: {server: {port: 1}}\nserver: {port: 1, host: ::1}", Role::Any).unwrap();
    all(&[
        (
            "circuit_breaker:\n  wait_duration: 60000\n  timeout_seconds: 61",
            &["given twice", "the other value: test.yaml:2:3"],
        ),
        ("retry: {max_attempts: 3, max_retries: 3}", &["given twice"]),
        ("observability: {metrics: {port: 9091}}\nadmin: {port: 9092}", &["given twice"]),
        ("gateway: {server: {port: 1}}\nserver: {port: 2}", &["given twice"]),
        ("gateway: {mcp: {allowed_hosts: [a]}}\nmcp: {allowed_hosts: [b]}", &["given twice"]),
        ("retry: {backoff: constant, multiplier: 3}", &["contradicts `multiplier`"]),
        ("server: {port: 1, port: 1}", &["`port` is given twice in one block", "first here"]),
    ]);
}

#[test]
fn several_files_merge_in_order() {
    let source = |name: &str, text: &str| Source::Text { name: name.into(), text: text.into() };
    let one = source(
        "one.yaml",
        "server: {port: 1}\nmcp: {allowed_hosts: [a, b]}\nobservability: {metrics: {additional_labels: {x: y}}}",
    );
    let two = source(
        "two.yaml",
        "server: {host: ::1, port: 1}\nmcp: {allowed_hosts: [c]}\nobservability: {metrics: {additional_labels: {z: y}}}",
    );
    let config = load(&[one.clone(), two], &environment(), Role::Any).unwrap().config;
    assert_eq!((config.listeners[0].host.to_string().as_str(), config.listeners[0].port), ("::1", 1));
    assert_eq!(config.mcp.allowed_hosts, ["c"], "a later list replaces");
    assert_eq!(config.observability.metrics.additional_labels.len(), 2, "maps merge");
    let other = source("other.yaml", "\nserver: {port: 2}");
    let report = load(&[one, other], &environment(), Role::Any).unwrap_err().render(false);
    assert!(
        report.contains("other.yaml:2:10") && report.contains("the other value: one.yaml:1:10"),
        "{report}"
    );
}

#[test]
fn files_are_read_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, "server: {port: 70000}").unwrap();
    let report = load(&[Source::File(path.clone())], &environment(), Role::Any).unwrap_err();
    assert_eq!(report.diagnostics()[0].place.as_ref().unwrap().file, path.display().to_string());
    let missing = load(&[Source::File(folder.path().join("b.yaml"))], &environment(), Role::Any).unwrap_err();
    assert!(missing.to_string().contains("b.yaml: cannot be opened"), "{missing}");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(
        load(&[Source::File(path.clone())], &environment(), Role::Any)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
    std::fs::write(&path, vec![b'#'; 4 * 1024 * 1024 + 1]).unwrap();
    assert!(
        load(&[Source::File(path)], &environment(), Role::Any)
            .unwrap_err()
            .to_string()
            .contains("larger than 4 MiB")
    );
}

#[test]
fn variables_stay_values() {
    let config = load_text(
        "server: {port: \"${PORT}\"}\nha: {region: \"a-${REGION}\", zone: \"$${REGION} $5\"}",
        Role::Any,
    )
    .unwrap()
    .config;
    assert_eq!(config.listeners[0].port, 9443);
    assert_eq!(config.ha.region.as_deref(), Some("a-eu: \"west\" # 1"));
    assert_eq!(config.ha.zone.as_deref(), Some("${REGION} $5"));
    all(&[
        (
            "ha: {region: \"${NOT_SET}\"}",
            &["test.yaml:1:14", "the environment variable `NOT_SET` is not set"],
        ),
        ("admin: {token_env: NOT_SET}", &["`NOT_SET` is not set"]),
        ("ha: {region: \"${REGION:-x}\"}", &["only `${NAME}` is supported"]),
        ("ha: {region: \"${REGION\"}", &["must be followed by the name of a variable"]),
        (&format!("ha: {{region: \"{}\"}}", "${REGION}".repeat(9000)), &["longer than 65536 bytes"]),
        ("server: {port: \"${REGION}\"}", &["the value of the variable is something else"]),
    ]);
}

#[test]
fn bombs_are_refused_quickly() {
    let unknown = |i: u32| format!("unknown{i}: 1\n");
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        let row = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs += &["a", &i.to_string(), ": &a", &i.to_string(), " [", &row, "]\n"].concat();
    }
    let deep = format!("server: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_blocks: String = (0..100).map(|i| " ".repeat(i) + "a:\n").collect();
    let mut chain = String::from("a0: &a0 [x]\n");
    for i in 1..80 {
        chain += &["a", &i.to_string(), ": &a", &i.to_string(), " [*a", &(i - 1).to_string(), "]\n"].concat();
    }
    let wide = format!("mcp: {{allowed_hosts: [{}]}}", "a, ".repeat(300_000));
    all(&[
        (&laughs, &["more than 200000 values, aliases expanded"]),
        (&deep, &["nested deeper than 64 levels"]),
        (&deep_blocks, &["nested deeper than 64 levels"]),
        (&chain, &["nested deeper than 64 levels, aliases expanded"]),
        (&wide, &["more than 200000 values"]),
        ("a: &x [*x]", &["inside the anchor that it names"]),
        ("server: *nothing", &["not YAML"]),
        ("server: {port: 1", &["not YAML"]),
        ("--- {}\n--- {}\n", &["one document"]),
        ("server: !!map {}", &["tags are not supported"]),
        ("? [a]\n: b", &["a key must be a word"]),
        ("x: &a {port: 1}\nserver:\n  <<: *a", &["merge keys"]),
        ("[1]", &["expected keys, found a list"]),
        ("text", &["expected keys"]),
    ]);
    let blanks = format!("server: {{{}port: x}}", " ".repeat(100_000));
    assert!(refused(&blanks).contains("test.yaml:1:"), "a column beyond 65535 is only a number");
    let many: String = (0..1000).map(unknown).collect();
    assert!(refused(&many).contains("and 900 more"));
    let endless: String = (0..90_000).map(unknown).collect();
    assert!(refused(&endless).contains("and 89900 more"));
}

#[test]
fn secrets_are_never_shown() {
    const SECRET: &str = "hunter2hunter2";
    let long = format!("{SECRET}{SECRET}{SECRET}");
    let cases = [
        format!("admin: {{token: {SECRET}}}"),
        format!("admin: {{token: [{SECRET}], portt: 1}}"),
        format!("admin: {{tokken: {SECRET}}}"),
        format!("admin: {{token: {long}, port: x}}"),
        format!("admin: {{token_env: \"{SECRET} {SECRET}\"}}"),
        format!("sessions:\n  keys:\n    - id: a\n      key: {long}{SECRET}\n"),
        format!(
            "sessions:\n  keys:\n    - id: a\n      key: |\n        {long}\n        {long}\n      kex: 1\n"
        ),
        format!("auth: {{jwt: {{issuer: a, audience: b, public_key: {long}, algorithm: RS256}}}}"),
        format!("auth: {{api_key: {{keys: [{{name: a, key: {long}}}, {{name: b, key: {long}}}]}}}}"),
        format!("apis: [{{name: a, path_prefix: /, endpoints: [\"http://u:{SECRET}@h\"]}}]"),
        format!(
            "apis: [{{name: a, path_prefix: /, endpoints: [\"http://h\"], upstream_auth: {{value: \"{SECRET}\\n{SECRET}\"}}}}]"
        ),
        format!("admin: {{token: {SECRET}\n"),
        format!("admin: {{token: &a {SECRET}}}\nserver: {{port: *a}}"),
        format!("admin: {{token: {SECRET}, token: {SECRET}}}"),
        SECRET.to_owned(),
        format!("admin: {{token: \"{long}${{}}\"}}"),
    ];
    for text in cases {
        let report = load_text(&text, Role::Any).unwrap_err();
        for shown in [
            report.render(false),
            report.render(true),
            report.to_json().to_string(),
            report.to_string(),
            format!("{report:?}"),
        ] {
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
    let loaded = load_text(&format!("admin: {{token: {long}}}"), Role::Any).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"), "Debug hides it too");
}

#[test]
fn words_and_types_of_yaml() {
    for word in ["true", "on", "yes", "True", "ON"] {
        assert!(
            load_text(
                &format!("mcp: {{servers: [{{name: a, endpoints: http://h, trust_hints: {word}}}]}}"),
                Role::Any
            )
            .unwrap()
            .config
            .mcp
            .servers[0]
                .trust_hints
        );
    }
    load_text("ssl_configuration: {minimum_version: 1.3}", Role::Any).unwrap();
    all(&[
        ("server: {port: \"8443\"}", &["found text in quotes"]),
        ("server: {port: 8_443}", &["expected a whole number"]),
        ("server: {port: 0x1F}", &["expected a whole number"]),
        ("ha: {zone: 1}", &["put it in quotes"]),
        ("ha: {zone: true}", &["put it in quotes"]),
        ("version: 2", &["from 1 to 1"]),
        ("server:", &["has no value"]),
        ("ha: {zone: ~}", &["has no value"]),
    ]);
}

#[test]
fn numbers_of_a_strange_size_are_warned_about() {
    for (text, part) in [
        ("circuit_breaker: {wait_duration: 5}", "5 milliseconds here, which is 5ms"),
        ("routing: {timeout: 30000}", "30000 seconds here, which is 8h20m"),
        ("circuit_breaker: {thresholds: {failure_rate: 0.5}}", "0.5 percent here, which is 0.5%"),
    ] {
        let warnings = load_text(text, Role::Any).unwrap().warnings;
        assert!(
            warnings.iter().any(|w| w.message.contains(part) && w.severity == Severity::Warning),
            "{warnings:?}"
        );
    }
    for text in [
        "circuit_breaker: {timeout_seconds: 4000}",
        "routing: {timeout: 5h}",
        "retry: {initial_interval: 10}",
    ] {
        assert!(load_text(text, Role::Any).unwrap().warnings.is_empty(), "{text}");
    }
}

#[test]
fn serve_demands_what_it_needs() {
    let mcp = "mcp: {servers: [{name: a, endpoints: http://127.0.0.1:1/mcp}]}\n";
    load_text(mcp, Role::Any).unwrap();
    load_text(&format!("{mcp}sessions: {{ephemeral_key: true}}"), Role::Serve).unwrap();
    for (text, part) in [
        (mcp.to_owned(), "need a key that seals session tokens"),
        (
            format!(
                "{mcp}sessions: {{ephemeral_key: on}}\nauth: {{api_key: {{keys: [{{name: a, key: 0123456789abcdef}}]}}}}"
            ),
            "`mcp.public_url` is missing",
        ),
        ("server: {tls: {enabled: true}}".into(), "there is no certificate"),
        ("server: {tls: {cert_file: /nonexistent/a, key_file: /nonexistent/b}}".into(), "cannot be opened"),
    ] {
        load_text(&text, Role::Any).unwrap();
        let report = refused_for(&text, Role::Serve);
        assert!(report.contains(part), "{part}\n{report}");
    }
    let warnings = load_text("", Role::Serve).unwrap().warnings;
    assert!(warnings.iter().any(|w| w.message.contains("nothing to serve")));
    assert!(warnings.iter().any(|w| w.message.contains("status, reload and drain cannot be reached")));
}

#[test]
fn names_in_a_map_are_those_of_their_kind() {
    let headers = |headers: &str| format!("observability: {{tracing: {{headers: {{{headers}}}}}}}");
    all(&[
        (&headers("x y: secret-1"), &["observability.tracing.headers.x y", "is no header name"]),
        (&headers("x: \"a\\nb\""), &["observability.tracing.headers.x", "is no header value"]),
        ("mcp: {servers: [{name: a, command: x, env: {A-B: c}}]}", &["env.A-B", "must be of `A-Za-z0-9_`"]),
    ]);
    assert!(!refused(&headers("x y: secret-1")).contains("secret-1"));
    assert!(load_text(&headers("x-api-key: a"), Role::Any).is_ok());
}
