//! What keys mean together.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{load_text, refused};
use holdfast_config::{Auth, PrintOptions, Role, RouteAuth, SecretText, Transport};

const ROUTE: &str = "name: a, path_prefix: /a, endpoints: [http://127.0.0.1:1]";
const KEY: &str = "api_key: {keys: [{name: a, key: 0123456789abcdef}]}";

fn fails(cases: &[(&str, &str)]) {
    for (text, part) in cases {
        let text = text.replace("ROUTE", ROUTE).replace("KEY", KEY);
        let report = refused(&text);
        assert!(report.contains(part), "{part:?} is not in the report of\n{text}\n{report}");
    }
}

#[test]
fn names_prefixes_and_ports_do_not_clash() {
    fails(&[
        ("apis: [{ROUTE}, {ROUTE}]", "this prefix is taken"),
        ("apis: [{ROUTE}, {ROUTE}]", "this name is taken"),
        ("apis: [{ROUTE}]\nmcp: {servers: [{name: a, endpoints: http://h}]}", "this name is taken"),
        ("listeners: [{name: server, port: 1}]", "this listener name is taken"),
        ("listeners: [{name: b, port: 8443}]", "port 8443 is taken by `server`"),
        ("listeners: [{name: b, port: 8443, host: 127.0.0.1}]", "port 8443 is taken by `server`"),
        ("admin: {port: 8443}", "port 8443 is taken by `server`"),
        (
            "listeners: [{name: b, port: 1, host: ::1}, {name: c, port: 1, host: '::'}]",
            "port 1 is taken by `listeners[0]`",
        ),
        (
            "apis: [{name: a, path_prefix: /mcp/x, endpoints: [http://h]}]\nmcp: {servers: [{name: b, endpoints: http://h}]}",
            "belongs to the MCP endpoints",
        ),
        (
            "apis: [{name: a, path_prefix: /ready, endpoints: [http://h]}]",
            "Holdfast answers this path itself",
        ),
        ("mcp: {path: /, servers: [{name: b, endpoints: http://h}]}", "must be a path of its own"),
        ("apis: [{name: a, path_prefix: /a, endpoints: [http://h, http://h]}]", "this endpoint is taken"),
        ("apis: [{name: a, path_prefix: /a, endpoints: []}]", "at least one endpoint"),
    ]);
    load_text(
        "listeners: [{name: b, port: 8443, host: ::1}, {name: c, port: 0}, {name: d, port: 0}]",
        Role::Any,
    )
    .unwrap();
    load_text("apis: [{name: a, path_prefix: /mcpx, endpoints: [http://h]}]\nmcp: {servers: [{name: b, endpoints: http://h}]}", Role::Any)
        .unwrap();
}

#[test]
fn a_server_is_a_program_or_has_endpoints() {
    let server = |keys: &str| format!("mcp: {{servers: [{{name: a, {keys}}}]}}");
    for (keys, part) in [
        ("session: pinned", "needs `endpoints`, or a `command` to run"),
        ("command: x, endpoints: http://h", "either a `command` or `endpoints`"),
        ("endpoints: http://h, args: [x]", "has no effect on a server without `command`"),
        ("endpoints: http://h, max_processes: 3", "has no effect on a server without `command`"),
        ("command: x, upstream_auth: {value: y}", "has no effect on a server without `endpoints`"),
        ("command: x, pool: 2", "means something with `shared: true` only"),
        ("command: x, max_processes: 2, max_processes_per_principal: 3", "max_processes"),
        ("command: x, env: {'a b': c}", "the name of a variable must be of"),
    ] {
        let report = refused(&server(keys));
        assert!(report.contains(part), "{part:?} is not in the report of {keys}\n{report}");
    }
    let loaded = load_text(
        &server("command: [x, -y], args: z, env: {TOKEN: hush}, shared: true, pool: 2, cwd: /"),
        Role::Any,
    )
    .unwrap();
    let command = loaded.config.mcp.servers[0].command.as_ref().unwrap();
    assert_eq!((&*command.program, &*command.args), ("x", &["-y".to_owned(), "z".to_owned()][..]));
    assert_eq!(command.env["TOKEN"].expose(), "hush");
    assert_eq!(command.env_allow, ["PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR"]);
    let blanks = load_text(&server("command: x y"), Role::Any).unwrap();
    assert!(blanks.warnings.iter().any(|warning| warning.message.contains("blanks included")));
}

#[test]
fn a_server_speaks_what_its_urls_or_its_transport_say() {
    let server = |keys: &str| format!("mcp: {{servers: [{{name: a, {keys}}}]}}");
    for (keys, part) in [
        ("endpoints: [ws://h, http://i]", "is not the URL of a WebSocket, and others of this server are"),
        ("endpoints: ws://h, transport: sse", "is the URL of a WebSocket, and `transport` says otherwise"),
        (
            "endpoints: http://h, shared: true",
            "without `command`, `transport: websocket` or `transport: sse`",
        ),
        (
            "endpoints: http://h, max_links: 3",
            "without `command`, `transport: websocket` or `transport: sse`",
        ),
        ("endpoints: http://h, transport: sse, link_ping_interval: 3s", "without `transport: websocket`"),
        ("command: x, transport: sse", "has no effect on a server without `endpoints`"),
        ("command: x, max_links: 3", "has no effect on a server without `endpoints`"),
        ("endpoints: ws://h, max_links: 2, max_links_per_principal: 3", "max_links"),
        ("endpoints: ftp://h", "must start with `http://` or `https://` or `ws://` or `wss://`"),
    ] {
        let report = refused(&server(keys));
        assert!(report.contains(part), "{part:?} is not in the report of {keys}\n{report}");
    }
    for (keys, transport, url) in [
        ("endpoints: http://h", Transport::StreamableHttp, "http://h"),
        ("endpoints: ws://h:1/a", Transport::WebSocket, "http://h:1/a"),
        ("endpoints: [wss://h, ws://i], transport: websocket", Transport::WebSocket, "https://h"),
        ("endpoints: https://h, transport: ws", Transport::WebSocket, "https://h"),
        (
            "endpoints: http://h/sse, transport: sse, shared: true, max_links: 7",
            Transport::Sse,
            "http://h/sse",
        ),
    ] {
        let loaded = load_text(&server(keys), Role::Any).unwrap();
        let server = &loaded.config.mcp.servers[0];
        assert_eq!((server.transport, &*server.upstream.endpoints[0].url), (transport, url), "{keys}");
        assert!(server.links.max_links_per_principal == server.links.max_links, "{keys}");
    }
    let report = refused("apis: [{name: a, path_prefix: /a, endpoints: ws://h}]");
    assert!(report.contains("must start with `http://` or `https://`"), "{report}");
}

#[test]
fn a_variable_of_a_program_is_never_shown_and_comes_back() {
    let text = "mcp: {servers: [{name: a, command: x, env: {TOKEN: hush, OTHER: 'hush, too'}}]}";
    let loaded = load_text(text, Role::Any).unwrap();
    let hidden = loaded.print(PrintOptions { defaults: true, secrets: SecretText::Hidden });
    assert!(hidden.contains("TOKEN: \"***\"") && !hidden.contains("hush"), "{hidden}");
    let shown = loaded.print(PrintOptions { defaults: true, secrets: SecretText::Shown });
    assert_eq!(load_text(&shown, Role::Any).unwrap().config, loaded.config, "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("hush"));
    let report = refused("mcp: {servers: [{name: a, command: x, env: {TOKEN: hush, B: [hush]}}]}");
    assert!(!report.contains("hush"), "{report}");
}

#[test]
fn names_paths_and_urls_are_checked() {
    for prefix in ["a", "/a/", "/a//b", "/a?b", "/a#b", "/a/../b", "/a b"] {
        fails(&[(
            &format!("apis: [{{name: a, path_prefix: \"{prefix}\", endpoints: [http://h]}}]"),
            "apis[0].path_prefix",
        )]);
    }
    for url in [
        "h:1",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:70000",
        "http://h?x=1",
        "http://u:p@h",
        "http://h/#x",
        "http://h:",
    ] {
        fails(&[(
            &format!("apis: [{{name: a, path_prefix: /a, endpoints: [\"{url}\"]}}]"),
            "apis[0].endpoints[0]",
        )]);
    }
    for name in ["a__b", "a b", "a/b", "é", &"x".repeat(65)] {
        fails(&[(
            &format!("mcp: {{servers: [{{name: \"{name}\", endpoints: http://h}}]}}"),
            "mcp.servers[0].name",
        )]);
    }
    fails(&[
        ("mcp: {public_url: https://h/path}", "without a path"),
        ("server: {host: localhost}", "must be an IP address"),
        ("server: {trusted_proxies: [10.0.0.0/33]}", "network"),
        ("observability: {logging: {level: loud}}", "observability.logging.level"),
    ]);
    load_text("server: {trusted_proxies: 10.1.2.3}\nmcp: {public_url: https://h}", Role::Any).unwrap();
}

#[test]
fn tls_needs_both_files() {
    fails(&[
        ("server: {protocol: https}", "`https` needs a `tls` block"),
        ("server: {protocol: https, tls: {enabled: off}}", "`https` needs a `tls` block"),
        ("server: {tls: {cert_file: a}}", "`cert_file` needs `key_file`"),
        ("server: {tls: {certificates: [{cert_file: a}]}}", "`key_file` is missing"),
        ("server: {proxy_protocol: required}", "every connection would be refused"),
        ("apis: [{ROUTE, tls: {ca_file: a}}]", "no endpoint uses TLS"),
        ("ssl_configuration: {certificates: {domains: a}}", "is only for `provider: acm`"),
        ("ssl_configuration: {preferred_ciphers: [RC4]}", "expected one of"),
    ]);
    let text = "ssl_configuration: {minimum_version: TLSv1.3, certificates: {files: [{cert_file: a, key_file: b}]}}\nserver: {tls: {}}";
    let tls = load_text(text, Role::Any).unwrap().config.listeners[0].tls.clone().unwrap();
    assert_eq!(tls.certificates.len(), 1, "shared certificates serve a listener without its own");
    assert!(load_text("server: {tls: {enabled: off}}", Role::Any).unwrap().config.listeners[0].tls.is_none());
}

#[test]
fn auth_is_whole_or_refused() {
    fails(&[
        ("auth: jwt", "`type: jwt` needs a block `jwt`"),
        ("auth: {type: none, KEY}", "is not used with `type: none`"),
        ("auth: {jwt: {issuer: a, audience: b}}", "needs at least a verification key"),
        (
            "auth: {jwt: {issuer: a, audience: [], secret_key: 0123456789abcdef0123456789abcdef}}",
            "needs at least an audience",
        ),
        (
            "auth: {jwt: {issuer: a, audience: b, secret_key_file: x, algorithm: RS256}}",
            "RS256 needs a public key",
        ),
        ("auth: {jwt: {issuer: a, audience: b, public_key_file: x}}", "must name its `algorithm`"),
        (
            "auth: {jwt: {issuer: a, audience: b, public_key_file: x, algorithm: HS256}}",
            "HS256 needs a `secret_key`",
        ),
        (
            "auth: {jwt: {issuer: a, audience: b, secret_key_file: x, public_key_file: y}}",
            "more than one key",
        ),
        (
            "auth: {jwt: {issuer: a, audience: b, secret_key_file: x, keys: [{secret_key_file: y}]}}",
            "and in `keys`",
        ),
        ("apis: [{ROUTE, auth: true}]", "`true` means the root's `auth`"),
        (
            "sessions: {keys: [{id: a, key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}]}",
            "must be 32 bytes in base64",
        ),
        ("sessions: {ttl: 2h, absolute_ttl: 1h}", "`ttl` must not be above `absolute_ttl`"),
        ("admin: {token: '0123456789 abcdef'}", "a bearer token may hold"),
    ]);
    let text = format!("auth: {{{KEY}}}\napis: [{{{ROUTE}, auth: true}}]");
    let config = load_text(&text, Role::Any).unwrap().config;
    assert!(matches!(config.auth, Auth::ApiKey(_)));
    assert_eq!(config.apis[0].auth, RouteAuth::Inherit);
    for auth in ["false", "{enabled: off}", "{type: none}"] {
        let config = load_text(&format!("apis: [{{{ROUTE}, auth: {auth}}}]"), Role::Any).unwrap().config;
        assert_eq!(config.apis[0].auth, RouteAuth::Public, "{auth}");
    }
}

#[test]
fn policies_do_not_contradict_themselves() {
    fails(&[
        ("retry: {initial_delay: 2s, max_delay: 1s}", "`initial_delay` must not be above `max_delay`"),
        (
            "routing: {retry: {max_delay: 1s}}\napis: [{ROUTE, retry: {initial_delay: 2s}}]",
            "apis[0].retry.initial_delay",
        ),
        ("circuit_breaker: {timeout: 2m, max_timeout: 1m}", "`timeout` must not be above `max_timeout`"),
        ("circuit_breaker: {sliding_window: {type: count_based, duration: 5s}}", "needs `type: time_based`"),
        (
            "circuit_breaker: {sliding_window: {size: 10}, thresholds: {minimum_calls: 11}}",
            "above `sliding_window.size`",
        ),
        ("routing: {health_check: {type: http}}", "an `http` probe needs a `path`"),
        ("routing: {health_check: {type: tcp, path: /x}}", "a `tcp` probe asks for no path"),
        ("connection_pool: {max_size: 5, max_idle: 6}", "`max_idle` must not be above `max_size`"),
        ("apis: [{ROUTE, upstream_auth: {header: host, value: x}}]", "belongs to the connection"),
    ]);
    load_text("circuit_breaker: {timeout: 10m}\nretry: {initial_delay: 1s}", Role::Any).unwrap();
}

#[test]
fn what_is_legal_and_unwise_is_a_warning() {
    for (text, part) in [
        ("auth: {KEY}", "in clear text"),
        ("apis: [{ROUTE, auth: {KEY}}]", "in clear text"),
        (
            "apis: [{name: a, path_prefix: /, endpoints: [{url: http://h, weight: 0}]}]",
            "every endpoint is drained",
        ),
        (
            "apis: [{name: a, path_prefix: /, endpoints: [http://h], upstream_auth: {value: x}}]",
            "goes to this endpoint in clear text",
        ),
        ("auth: {KEY}\napis: [{ROUTE, upstream_auth: {value: x}}]", "one credential stands for every caller"),
        ("routing: {connect_timeout: 5s, timeout: 1s}", "`connect_timeout` is above `timeout`"),
        ("apis: [{ROUTE, auth: {enabled: off, KEY}}]", "`enabled: false` wins"),
    ] {
        let text = text.replace("ROUTE", ROUTE).replace("KEY", KEY);
        let warnings = load_text(&text, Role::Any).map_err(|r| r.render(false)).unwrap().warnings;
        assert!(warnings.iter().any(|w| w.message.contains(part)), "{part}: {warnings:?}");
    }
    let local = format!("server: {{host: 127.0.0.1}}\nauth: {{{KEY}}}");
    assert!(load_text(&local, Role::Any).unwrap().warnings.is_empty(), "loopback is no public address");
}
