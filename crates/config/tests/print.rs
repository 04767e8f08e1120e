//! The effective print loads again to the same configuration, whatever was given.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{EXAMPLES, environment, example, load_text};
use holdfast_config::{PrintOptions, Role, SecretText, Source, load};
use proptest::prelude::*;

const SHOWN: PrintOptions = PrintOptions { defaults: true, secrets: SecretText::Shown };

#[test]
fn every_example_survives_its_print() {
    for name in EXAMPLES {
        let loaded = load_text(&example(name), Role::Any).unwrap();
        for defaults in [true, false] {
            let printed = loaded.print(PrintOptions { defaults, ..SHOWN });
            let again = load_text(&printed, Role::Any).map_err(|report| report.render(false)).unwrap();
            assert_eq!(again.config, loaded.config, "{name}, defaults: {defaults}\n{printed}");
            assert_eq!(
                again.print(PrintOptions { defaults: false, ..SHOWN }),
                strip_notes(&printed),
                "{name}"
            );
        }
    }
}

/// A print without its comments is what was given to the second load.
fn strip_notes(printed: &str) -> String {
    let note = |text: &str| {
        ["default", "from ", "written as ", "hidden"].iter().any(|start| text.starts_with(start))
    };
    let strip = |line: &str| match line.rsplit_once(" # ") {
        Some((before, after)) if note(after) => format!("{before}\n"),
        _ => format!("{line}\n"),
    };
    printed.lines().map(strip).collect()
}

#[test]
fn defaults_and_inherited_values_are_marked() {
    let printed = load_text(&example("gateway.yaml"), Role::Any).unwrap().print(PrintOptions::default());
    for line in [
        "  workers: 0 # default",
        "        timeout: 30s # from routing",
        "        failure_threshold: 3\n",
        "  token_env: ADMIN_TOKEN",
        "          - name: billing\n",
        "            key: ${BILLING_KEY}\n",
    ] {
        assert!(printed.contains(line), "{line:?} is not in\n{printed}");
    }
    assert!(!printed.contains("secret-0123456789"), "no secret is printed");
}

#[test]
fn a_bare_number_is_printed_in_both_forms() {
    let loaded = load_text("circuit_breaker: {wait_duration: 60000}", Role::Any).unwrap();
    let printed = loaded.print(PrintOptions::default());
    assert!(printed.contains("timeout: 1m # written as 60000 milliseconds"), "{printed}");
}

#[test]
fn a_hidden_secret_is_not_taken_for_a_secret() {
    let text = "admin: {token: 0123456789abcdef}";
    let loaded = load_text(text, Role::Any).unwrap();
    let printed = loaded.print(PrintOptions::default());
    assert!(printed.contains("token: \"***\" # hidden"), "{printed}");
    assert!(common::refused(&printed).contains("hidden"));
}

#[test]
fn nothing_given_prints_as_an_empty_document() {
    let loaded = load_text("", Role::Any).unwrap();
    assert_eq!(loaded.print(PrintOptions { defaults: false, ..SHOWN }), "{}\n");
    assert_eq!(load_text("{}\n", Role::Any).unwrap().config, loaded.config);
}

/// Any text a person might put into a label, line breaks and YAML's own characters included.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,20}",
        "[ -~\n\t]{1,20}",
        Just("true".to_owned()),
        Just("1e3".to_owned()),
        Just("${X}".to_owned()),
        Just("null".to_owned()),
        Just("a: b # c".to_owned()),
    ]
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let times = prop::collection::vec((1u64..86_400_000, prop::bool::ANY), 6);
    let shares = prop::collection::vec(0u32..=100_000, 4);
    let labels = prop::collection::btree_map("[a-z_][a-z0-9_]{0,6}", label(), 0..4);
    let endpoints = prop::collection::btree_set("http://[a-z]{1,8}(:[1-9][0-9]{0,3})?(/[a-z]{1,4})?", 1..5);
    (times, shares, labels, endpoints, label(), any::<[bool; 6]>(), 1u64..1000, any::<u32>()).prop_map(
        |(times, shares, labels, endpoints, zone, flags, count, size)| {
            let time = |i: usize| {
                let (ms, text) = times[i];
                if text { serde_json::json!(format!("{ms}ms")) } else { serde_json::json!(ms as f64 / 1000.0) }
            };
            let share = |i: usize| serde_json::json!(f64::from(shares[i]) / 100_000.0);
            let mut breaker = serde_json::json!({
                "enabled": flags[0], "timeout": time(0), "thresholds": {"failure_rate": f64::from(shares[2]) / 1000.0},
            });
            if flags[1] {
                breaker["failure_threshold"] = "off".into();
                breaker["sliding_window"] = serde_json::json!({"size": count});
            }
            let zone = if zone.contains("${") { "plain".to_owned() } else { zone };
            let labels: serde_json::Map<_, _> =
                labels.into_iter().map(|(k, v)| (k, v.replace("${", "$${").into())).collect();
            let mut api = serde_json::json!({
                "name": "api", "path_prefix": "/x", "endpoints": endpoints, "retry": {"max_retries": count % 90},
                "outlier_detection": flags[3], "max_body_bytes": size,
            });
            if flags[4] {
                api["health_check"] = serde_json::json!({"path": "/h", "timeout": "1s"});
                api["circuit_breaker"] = serde_json::json!({"sliding_window": {"duration": "20s"}});
            }
            serde_json::json!({
                "routing": {"circuit_breaker": breaker, "panic_threshold": share(0), "retry": {"budget": {"ratio": share(1)}},
                    "connect_timeout": "20ms", "timeout": time(1), "health_check": {"type": if flags[5] {"tcp"} else {"http"}, "path": "/p"}},
                "observability": {"metrics": {"additional_labels": labels}},
                "ha": {"zone": zone},
                "apis": [api],
                "mcp": {"servers": [{"name": "m", "endpoints": ["http://m/mcp"], "session": if flags[2] {"pinned"} else {"replayable"}}]},
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_survives_its_print(document in document(), defaults in any::<bool>()) {
        let mut document = document;
        if document["routing"]["health_check"]["type"] == "tcp" {
            document["routing"]["health_check"]["path"].take();
            document["routing"]["health_check"].as_object_mut().unwrap().remove("path");
        }
        // JSON is YAML, so this also reads flow style.
        let loaded = load_text(&document.to_string(), Role::Any).map_err(|r| TestCaseError::fail(r.render(false)))?;
        let printed = loaded.print(PrintOptions { defaults, ..SHOWN });
        let again = load_text(&printed, Role::Any).map_err(|r| TestCaseError::fail(format!("{printed}\n{}", r.render(false))))?;
        prop_assert_eq!(&again.config, &loaded.config, "{}", printed);
    }

    #[test]
    fn two_files_mean_what_one_means(document in document(), keep in any::<[bool; 5]>()) {
        let mut document = document;
        document["routing"]["health_check"].as_object_mut().unwrap().remove("path");
        document["routing"]["health_check"]["type"] = "tcp".into();
        let (mut left, mut right) = (serde_json::Map::new(), serde_json::Map::new());
        for (i, (key, value)) in document.as_object().unwrap().iter().enumerate() {
            let side = if keep[i % 5] { &mut left } else { &mut right };
            side.insert(key.clone(), value.clone());
        }
        let source = |map: serde_json::Map<String, serde_json::Value>, name: &str| Source::Text {
            name: name.into(),
            text: serde_json::Value::Object(map).to_string(),
        };
        let sources = [source(left, "a"), source(right, "b")];
        let apart = load(&sources, &environment(), Role::Any).map_err(|r| TestCaseError::fail(r.render(false)))?;
        let whole = load_text(&document.to_string(), Role::Any).map_err(|r| TestCaseError::fail(r.render(false)))?;
        prop_assert_eq!(apart.config, whole.config);
    }
}
