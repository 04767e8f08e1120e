//! Decisions against their definition.

use super::{Kind, Named, Rules, Screened, Sight, View, screen};
use crate::frame::{Frame, Limits};
use bytes::Bytes;
use holdfast_config::{Glob, McpRule, RuleEffect};
use holdfast_identity::Principal;
use holdfast_telemetry::metrics::Denied;
use proptest::prelude::*;
use serde_json::{Value, json};

const KINDS: [Kind; 3] = [Kind::Tool, Kind::Prompt, Kind::Resource];

fn principal(subject: &str, scopes: &[&str], roles: &[&str]) -> Principal {
    let boxed = |all: &[&str]| all.iter().map(|one| Box::from(*one)).collect();
    Principal::new("issuer", subject, None, boxed(scopes)).unwrap().with_roles(boxed(roles))
}

fn rule(effect: RuleEffect) -> McpRule {
    McpRule {
        effect,
        subjects: Vec::new(),
        scopes: Vec::new(),
        roles: Vec::new(),
        servers: Vec::new(),
        tools: Vec::new(),
        prompts: Vec::new(),
        resources: Vec::new(),
    }
}

fn globs(all: &[&str]) -> Vec<Glob> {
    all.iter().map(|text| Glob::new(text)).collect()
}

fn view(rules: &[McpRule], caller: &Principal) -> View {
    Rules::of("s", &[], rules).unwrap().view(caller)
}

fn any_globs() -> impl Strategy<Value = Vec<Glob>> {
    let glob = prop_oneof![Just("*"), Just("a*"), Just("*b"), Just("ab"), Just("c")].prop_map(Glob::new);
    proptest::collection::vec(glob, 0..3)
}

fn any_words() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(prop_oneof![Just("x".to_owned()), Just("y".to_owned())], 0..2)
}

fn any_rule() -> impl Strategy<Value = McpRule> {
    let subjects = proptest::collection::vec(prop_oneof![Just("ann"), Just("b*")].prop_map(Glob::new), 0..2);
    let who = (subjects, any_words(), any_words());
    let what = (any_globs(), any_globs(), any_globs());
    (any::<bool>(), who, what).prop_map(|(deny, (subjects, scopes, roles), (tools, prompts, resources))| {
        McpRule {
            effect: if deny { RuleEffect::Deny } else { RuleEffect::Allow },
            subjects,
            scopes,
            roles,
            servers: Vec::new(),
            tools,
            prompts,
            resources,
        }
    })
}

fn any_caller() -> impl Strategy<Value = Principal> {
    let some = |words: &'static [&'static str]| proptest::sample::subsequence(words, 0..=words.len());
    (prop_oneof![Just("ann"), Just("bob"), Just("cy")], some(&["x", "y"]), some(&["x", "y"]))
        .prop_map(|(subject, scopes, roles)| principal(subject, &scopes, &roles))
}

/// The words of decision 0016, one by one.
fn defined(rules: &[McpRule], caller: &Principal, kind: Kind, name: &str) -> bool {
    let speaks = |rule: &&McpRule| {
        let subject =
            rule.subjects.is_empty() || rule.subjects.iter().any(|glob| glob.matches(caller.subject()));
        let scope = rule.scopes.is_empty()
            || caller.scopes().iter().any(|have| rule.scopes.iter().any(|s| **s == **have));
        let role = rule.roles.is_empty()
            || caller.roles().iter().any(|have| rule.roles.iter().any(|r| **r == **have));
        let named = match kind {
            Kind::Tool => &rule.tools,
            Kind::Prompt => &rule.prompts,
            Kind::Resource | Kind::Template | Kind::Other => &rule.resources,
        };
        let everything = rule.tools.len() + rule.prompts.len() + rule.resources.len() == 0;
        subject && scope && role && (everything || named.iter().any(|glob| glob.matches(name)))
    };
    let speaking: Vec<RuleEffect> = rules.iter().filter(speaks).map(|rule| rule.effect).collect();
    !speaking.contains(&RuleEffect::Deny) && speaking.contains(&RuleEffect::Allow)
}

proptest! {
    #[test]
    fn a_decision_is_what_its_definition_says(
        rules in proptest::collection::vec(any_rule(), 1..6), caller in any_caller(), name in "[abc]{1,3}"
    ) {
        let view = view(&rules, &caller);
        for kind in KINDS {
            prop_assert_eq!(view.permits(kind, &name), defined(&rules, &caller, kind, &name), "{:?}", kind);
        }
    }

    #[test]
    fn order_means_nothing_a_deny_only_takes_away_and_an_allow_takes_nothing(
        rules in proptest::collection::vec(any_rule(), 1..5), more in any_rule(), caller in any_caller(), name in "[abc]{1,3}"
    ) {
        let before = view(&rules, &caller);
        let with = |rules: Vec<McpRule>| view(&rules, &caller);
        let after = with(rules.iter().cloned().chain([more.clone()]).collect());
        let turned = with([more.clone()].into_iter().chain(rules.iter().rev().cloned()).collect());
        for kind in KINDS {
            let (was, is) = (before.permits(kind, &name), after.permits(kind, &name));
            prop_assert_eq!(is, turned.permits(kind, &name));
            let expected = if more.effect == RuleEffect::Deny { !is || was } else { is || !was };
            prop_assert!(expected, "{:?}", kind);
        }
        prop_assert!(!KINDS.iter().any(|_| before.permits(Kind::Tool, &name)) || before.permits_some_tool());
    }

    #[test]
    fn a_list_shows_what_may_be_used_byte_for_byte_and_nothing_else(
        rules in proptest::collection::vec(any_rule(), 1..5), caller in any_caller(),
        names in proptest::collection::vec("[abc]{1,3}", 0..8),
    ) {
        let view = view(&rules, &caller);
        let item = |name: &String| format!(r#"{{ "x":1.10, "name":"{name}" }}"#);
        let body = |names: &[&String]| {
            let items: Vec<String> = names.iter().map(|name| item(name)).collect();
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"a":[],"tools":[{}],"ttlMs":5}}}}"#, items.join(","))
        };
        let all = body(&names.iter().collect::<Vec<_>>());
        let seen: Vec<&String> = names.iter().filter(|name| view.permits(Kind::Tool, name)).collect();
        match screen(&Sight::new(Some(&view), None), &frame(&all)) {
            Screened::AsIs => prop_assert_eq!(seen.len(), names.len()),
            Screened::Changed(bytes) => prop_assert_eq!(String::from_utf8_lossy(&bytes), body(&seen)),
            Screened::Dropped => prop_assert!(false),
        }
    }
}

fn frame(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn seen(view: &View, message: &Value) -> Value {
    let text = message.to_string();
    match screen(&Sight::new(Some(view), None), &frame(&text)) {
        Screened::AsIs => message.clone(),
        Screened::Changed(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Screened::Dropped => Value::Null,
    }
}

#[test]
fn rules_about_other_servers_leave_a_server_closed_and_no_rules_leave_it_open() {
    let other = McpRule { servers: globs(&["t*"]), ..rule(RuleEffect::Allow) };
    let all = std::slice::from_ref(&other);
    let may = |server: &str| {
        Rules::of(server, all, &[]).unwrap().view(&Principal::anonymous()).permits(Kind::Tool, "x")
    };
    assert!(may("two") && !may("one"));
    assert_eq!(Rules::of("one", &[], &[]), None);
    let own = [rule(RuleEffect::Allow)];
    let view = Rules::of("one", all, &own).unwrap().view(&Principal::anonymous());
    assert!(view.permits(Kind::Tool, "x") && view.permits(Kind::Other, "unheard/of"));
}

#[test]
fn a_uri_that_can_be_read_in_two_ways_is_refused_where_a_pattern_decides() {
    let allow = McpRule { resources: globs(&["file:///pub/*"]), ..rule(RuleEffect::Allow) };
    let limited = view(&[allow], &Principal::anonymous());
    assert!(limited.permits(Kind::Resource, "file:///pub/a.txt"));
    assert!(limited.permits(Kind::Template, "file:///pub/{name}"));
    for uri in
        ["file:///pub/../etc/passwd", "file:///pub/%2e%2e/etc/passwd", "file:///pub//x", "FILE:///pub/a.txt"]
    {
        assert!(!limited.permits(Kind::Resource, uri), "{uri}");
    }
    let deny = McpRule { resources: globs(&["file:///secret/*"]), ..rule(RuleEffect::Deny) };
    let carved = view(&[rule(RuleEffect::Allow), deny], &Principal::anonymous());
    for uri in [
        "file:///secret/x",
        "file:///%73ecret/x",
        "file:////secret/x",
        "File:///secret/x",
        "file://localhost/secret/x",
    ] {
        assert!(!carved.permits(Kind::Resource, uri), "{uri}");
    }
    assert!(carved.permits(Kind::Resource, "file:///open/x"));
    let whole = view(&[rule(RuleEffect::Allow)], &Principal::anonymous());
    assert!(whole.permits(Kind::Resource, "FILE:///pub/../x"), "no pattern decides");
}

#[test]
fn what_a_request_names_is_what_every_reader_takes_it_for() {
    let allow = McpRule {
        tools: globs(&["t"]),
        prompts: globs(&["p"]),
        resources: globs(&["u:*"]),
        ..rule(RuleEffect::Allow)
    };
    let view = view(&[allow], &Principal::anonymous());
    let judge = |method: &str, params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        Named::read(&frame(&text)).judge(&view)
    };
    for (method, params) in [
        ("tools/call", r#"{"name":"t"}"#),
        ("tools/call", r#"{"name":"\u0074"}"#),
        ("prompts/get", r#"{"name":"p"}"#),
        ("resources/read", r#"{"uri":"u:1"}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"u:{x}"}}"#),
        ("tasks/get", r#"{"taskId":"any"}"#),
        ("tools/list", "{}"),
        ("ping", "{}"),
        ("initialize", "{}"),
        ("subscriptions/listen", "{}"),
    ] {
        assert_eq!(judge(method, params), Ok(()), "{method} {params}");
    }
    for (method, params, denied) in [
        ("tools/call", r#"{"name":"p"}"#, Denied::Tool),
        ("tools/call", r#"{"name":7}"#, Denied::Tool),
        ("tools/call", "{}", Denied::Tool),
        ("prompts/get", r#"{"name":"t"}"#, Denied::Prompt),
        ("resources/read", r#"{"uri":"v:1"}"#, Denied::Resource),
        ("resources/subscribe", r#"{"uri":"v:1"}"#, Denied::Resource),
        ("completion/complete", r#"{"ref":{"name":"t"}}"#, Denied::Prompt),
        ("completion/complete", r#"{"ref":{"name":"p"},"REF":{"name":"t"}}"#, Denied::Prompt),
        ("completion/complete", r#"{"ref":{"name":"p","Name":"t"}}"#, Denied::Prompt),
        ("completion/complete", r#"{"ref":{"name":"p","uri":"v:1"}}"#, Denied::Resource),
        ("completion/complete", r#"{"ref":{}}"#, Denied::Prompt),
        ("skills/get", r#"{"name":"t"}"#, Denied::Other),
    ] {
        assert_eq!(judge(method, params), Err(denied), "{method} {params}");
    }
    let nothing = Rules::of("s", &[], &[rule(RuleEffect::Deny)]).unwrap().view(&Principal::anonymous());
    assert_eq!(Named::Task.judge(&nothing), Err(Denied::Task));
}

#[test]
fn every_list_is_screened_whatever_it_answers_and_nobody_else_is_shown_it() {
    let allow = McpRule {
        tools: globs(&["t"]),
        prompts: globs(&["p"]),
        resources: globs(&["u:*"]),
        ..rule(RuleEffect::Allow)
    };
    let view = view(&[allow], &Principal::anonymous());
    let result = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "tools": [{"name": "t"}, {"name": "x"}, {"title": "no name"}, 7],
        "prompts": [{"name": "p"}, {"name": "x"}],
        "resources": [{"uri": "u:1"}, {"uri": "v:1"}],
        "resourceTemplates": [{"uriTemplate": "u:{a}"}, {"uriTemplate": "{+all}"}],
        "cacheScope": "public", "nextCursor": "n"}});
    assert_eq!(
        seen(&view, &result)["result"],
        json!({"tools": [{"name": "t"}], "prompts": [{"name": "p"}], "resources": [{"uri": "u:1"}],
            "resourceTemplates": [{"uriTemplate": "u:{a}"}], "cacheScope": "private", "nextCursor": "n"})
    );
    let twice = r#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"p"}],"Prompts":[{"name":"x"}],"resources":{"0":{"uri":"v:1"}}}}"#;
    let Screened::Changed(bytes) = screen(&Sight::new(Some(&view), None), &frame(twice)) else {
        panic!("it holds what must not be seen")
    };
    assert_eq!(
        bytes,
        r#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"p"}],"Prompts":[],"resources":[]}}"#
    );
    let named_twice = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "t", "NAME": "x"}]}});
    assert_eq!(seen(&view, &named_twice)["result"]["tools"], json!([]));
    let updated = |uri: &str| json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}});
    assert_eq!((seen(&view, &updated("u:1")), seen(&view, &updated("v:1"))), (updated("u:1"), Value::Null));
    let call = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "x"}]}});
    assert_eq!(seen(&view, &call), call);
}
