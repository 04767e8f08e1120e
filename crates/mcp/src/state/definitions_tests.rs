use super::*;
use holdfast_config::ToolPin;
use proptest::prelude::*;

fn list(tools: &[(&str, u32)]) -> Vec<u8> {
    let tools: Vec<String> =
        tools.iter().map(|(name, n)| format!(r#"{{"name":"{name}","description":"{n}"}}"#)).collect();
    format!("[{}]", tools.join(",")).into_bytes()
}

fn digest(name: &str, n: u32) -> Option<Digest> {
    Digest::of_definition(format!(r#"{{"name":"{name}","description":"{n}"}}"#).as_bytes())
}

fn pins(tools: &[(&str, u32)]) -> Pins {
    let pin = |(name, n): &(&str, u32)| ToolPin {
        tool: (*name).to_owned(),
        sha256: digest(name, *n).iter().map(Digest::to_string).collect(),
    };
    Pins::new(&tools.iter().map(pin).collect::<Vec<_>>()).unwrap()
}

/// Names of the tools that changed.
fn changed(news: Vec<News>) -> String {
    news.into_iter()
        .filter(|news| news.old != Before::Unseen)
        .map(|news| news.tool)
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn each_change_is_told_once_with_both_digests_and_a_tool_that_is_new_is_none() {
    let (watch, now) = (Watch::default(), Instant::now());
    let first = watch.learn(&list(&[("a", 1)]), false, now);
    assert_eq!(first, [News { tool: "a".into(), old: Before::Unseen, new: digest("a", 1) }]);
    assert!(watch.learn(&list(&[("a", 1)]), false, now).is_empty());
    let second = watch.learn(&list(&[("a", 2), ("b", 1)]), false, now);
    assert_eq!(second[0], News { tool: "a".into(), old: Before::Was(digest("a", 1)), new: digest("a", 2) });
    assert_eq!(changed(second), "a");
    // Two releases side by side: told of once.
    for n in [1, 2, 1, 2] {
        assert_eq!(watch.learn(&list(&[("a", n)]), false, now), []);
    }
    let third = watch.learn(&list(&[("a", 3)]), false, now);
    assert_eq!(third[0].old, Before::Was(digest("a", 2)), "what it was last, not what it was first");
    assert_eq!(watch.learn(br#"[{ "description":"3", "name":"a" }]"#, false, now), []);
    let twice = br#"[{"name":"a","description":"3","description":"4"}]"#;
    assert_eq!(watch.learn(twice, false, now)[0].new, None);
    assert_eq!(watch.view(None), ToolsView { known: 2, changed: 1, ..ToolsView::default() });
}

#[test]
fn a_pinned_tool_is_judged_by_what_was_last_listed_for_as_long_as_that_is_believed() {
    let (watch, now, pins) = (Watch::default(), Instant::now(), pins(&[("a", 1), ("b", 1)]));
    let judge = |now: Instant| watch.judge(&pins, "a", now);
    assert_eq!(judge(now), Verdict::Unknown);
    watch.learn(&list(&[("a", 1), ("c", 1)]), true, now);
    assert_eq!(judge(now), Verdict::Pinned);
    assert_eq!(judge(now + BELIEVED), Verdict::Unknown);
    assert_eq!(watch.judge(&pins, "b", now), Verdict::Unknown, "not in the list");
    assert_eq!(watch.judge(&pins, "c", now), Verdict::Other, "no pin");
    let later = now + BELIEVED;
    watch.learn(&list(&[("a", 1)]), true, later);
    assert_eq!(judge(later), Verdict::Pinned, "a list that was seen before is seen again");
    watch.outdated();
    assert_eq!(judge(later), Verdict::Unknown, "the server said that it changed");
    watch.learn(&list(&[("a", 2)]), true, later);
    assert_eq!(judge(later), Verdict::Other);
    assert_eq!(watch.view(Some(&pins)).withheld, ["a", "c"]);
}

#[test]
fn a_caller_whose_question_failed_waits_a_moment_and_no_other_does() {
    let (watch, now) = (Watch::default(), Instant::now());
    watch.refuse([1; 32], now);
    assert!(watch.is_refused(&[1; 32], now) && !watch.is_refused(&[2; 32], now));
    assert!(!watch.is_refused(&[1; 32], now + REFUSED));
    for n in 0..=u8::MAX {
        for m in 0..8 {
            let mut caller = [n; 32];
            caller[0] = m;
            watch.refuse(caller, now);
        }
    }
    assert_eq!(watch.refused.lock().len(), REFUSED_MAX);
}

#[test]
fn lines_are_few_and_the_next_says_how_many_were_not_written() {
    let (mut lines, now) = (Lines::default(), Instant::now());
    for _ in 0..LINES_MAX {
        assert_eq!(lines.take(now), Some(0));
    }
    assert_eq!((lines.take(now), lines.take(now)), (None, None));
    assert_eq!(lines.take(now + LINES_SPAN), Some(2));
    assert_eq!(lines.take(now + LINES_SPAN), Some(0));
}

#[test]
fn what_is_remembered_is_bounded() {
    let (watch, now) = (Watch::default(), Instant::now());
    for n in 0..TOOLS_MAX + 10 {
        watch.learn(&list(&[(&format!("t{n}"), 0)]), true, now);
    }
    for n in 0..20 {
        watch.learn(&list(&[("t0", n)]), true, now);
    }
    let known = watch.known.lock();
    assert_eq!(known.tools.len(), TOOLS_MAX);
    assert_eq!(known.tools["t0"].seen.len(), DEFINITIONS_MAX);
    assert!(known.pages.len() <= PAGES_MAX);
    drop(known);
    let all = Definitions::default();
    for n in 0..SERVERS_MAX + 10 {
        all.of(&n.to_string());
    }
    assert!(all.0.lock().len() <= SERVERS_MAX, "those of no snapshot are forgotten");
}

proptest! {
    #[test]
    fn whatever_is_listed_a_call_goes_out_only_for_the_last_definition_and_only_if_it_is_pinned(
        steps in proptest::collection::vec((0..3_u32, 0..4_u32, any::<bool>(), 0..400_u64), 1..40)
    ) {
        let (watch, pins) = (Watch::default(), pins(&[("a", 0), ("b", 1)]));
        let mut now = Instant::now();
        let mut last: HashMap<&str, (u32, Instant)> = HashMap::new();
        for (tool, n, changed, seconds) in steps {
            let tool = ["a", "b", "c"][tool as usize];
            if changed && n == 3 {
                watch.outdated();
                last.clear();
            } else {
                watch.learn(&list(&[(tool, n)]), true, now);
                last.insert(tool, (n, now));
            }
            now += Duration::from_secs(seconds);
            for (tool, pinned) in [("a", Some(0)), ("b", Some(1)), ("c", None)] {
                let fresh = last.get(tool).filter(|(_, at)| now - *at < BELIEVED);
                let expected = match fresh {
                    None => Verdict::Unknown,
                    Some((n, _)) if Some(*n) == pinned => Verdict::Pinned,
                    Some(_) => Verdict::Other,
                };
                prop_assert_eq!(watch.judge(&pins, tool, now), expected, "{}", tool);
            }
        }
    }
}
