use super::*;
use crate::frame::Limits;
use proptest::prelude::*;

fn page(list: List, text: &str) -> Option<Page> {
    let frame = Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap();
    Page::read(list, &frame)
}

fn tools(names: &[&str]) -> Page {
    let items: Vec<String> =
        names.iter().map(|name| format!(r#"{{"name":{},"x":1.10}}"#, quote(name))).collect();
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, items.join(","));
    page(List::Tools, &text).unwrap()
}

fn shown(merged: Merged<'_>) -> Vec<String> {
    let (list, body) = (merged.list, merged.response(b"7", None, false));
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["id"], 7);
    let items = value["result"][list.key()].as_array().unwrap();
    items.iter().map(|item| item[list.name()].as_str().unwrap().to_owned()).collect()
}

#[test]
fn members_keep_their_order_and_items_every_byte_but_their_name() {
    let names = Names::new("__", 64);
    let mut merged = Merged::new(List::Tools, &names);
    merged.add("b", &tools(&["z", "a"]), |_| false, |_| true);
    merged.add("a", &tools(&["z"]), |_| false, |_| true);
    let body = merged.response(b"\"i\"", Some("next"), true);
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        r#"{"jsonrpc":"2.0","id":"i","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[{"name":"b__z","x":1.10},{"name":"b__a","x":1.10},{"name":"a__z","x":1.10}],"nextCursor":"next"}}"#
    );
}

#[test]
fn what_cannot_be_called_or_is_there_twice_is_left_out() {
    let names = Names::new("__", 6);
    let mut merged = Merged::new(List::Tools, &names);
    merged.add("m", &tools(&["abc", "abcd", "abc", "hid"]), |_| false, |name| name != "hid");
    assert_eq!(merged.left_out(), 2);
    assert_eq!(shown(merged), ["m__abc"]);
}

#[test]
fn a_uri_that_two_members_have_is_wrapped_for_the_later_one() {
    let names = Names::new("__", 64);
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"file:///a","name":"n"},{"name":"no uri"}],"ttlMs":500,"cacheScope":"public"}}"#;
    let page = page(List::Resources, text).unwrap();
    let mut merged = Merged::new(List::Resources, &names);
    merged.add("one", &page, |_| false, |_| true);
    merged.add("two", &page, |_| false, |_| true);
    assert_eq!((merged.ttl_ms, merged.public), (Some(500), true));
    assert_eq!(shown(merged), ["file:///a", "holdfast://two/file:///a"]);
}

#[test]
fn a_merged_page_is_as_short_lived_and_as_private_as_its_strictest_part() {
    let names = Names::new("__", 64);
    let mut merged = Merged::new(List::Tools, &names);
    let open = Page { ttl_ms: 900, public: true, ..Page::default() };
    merged.add("a", &open, |_| false, |_| true);
    merged.add("b", &Page { ttl_ms: 100, ..open.clone() }, |_| false, |_| true);
    assert_eq!((merged.ttl_ms, merged.public), (Some(100), true));
    merged.add("c", &Page { public: false, ..open }, |_| false, |_| true);
    assert_eq!((merged.ttl_ms, merged.public), (Some(100), false));
    merged.incomplete();
    assert_eq!(merged.ttl_ms, Some(0));
}

#[test]
fn other_answers_are_no_page() {
    assert_eq!(page(List::Tools, r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#), None);
    assert_eq!(page(List::Tools, r#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[]}}"#), None);
    let next = page(List::Prompts, r#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[],"nextCursor":"c"}}"#);
    assert_eq!(next.unwrap().next.as_deref(), Some("c"));
    let twice = page(List::Tools, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","name":"b"}]}}"#);
    assert!(twice.unwrap().items.is_empty(), "which of two names it has is anybody's guess");
}

#[test]
fn the_nearest_template_is_the_one_with_the_longest_beginning() {
    assert_eq!(matches("file:///{path}", "file:///a/b"), Some(8));
    assert_eq!(matches("file:///a/{path}", "file:///a/b"), Some(10));
    assert_eq!(matches("note://{id}", "file:///a"), None);
}

proptest! {
    #[test]
    fn whatever_the_names_the_merged_list_is_json_and_each_name_is_there_once(
        pages in proptest::collection::vec(proptest::collection::vec("\\PC{0,12}", 0..6), 0..5)
    ) {
        let names = Names::new("__", 64);
        let mut merged = Merged::new(List::Tools, &names);
        for (number, page) in pages.iter().enumerate() {
            let page = tools(&page.iter().map(String::as_str).collect::<Vec<_>>());
            merged.add(&format!("m{number}"), &page, |_| false, |_| true);
        }
        let (total, left_out) = (pages.iter().map(Vec::len).sum::<usize>(), merged.left_out());
        let shown = shown(merged);
        prop_assert_eq!(shown.len() + left_out, total);
        let once: HashSet<&String> = shown.iter().collect();
        prop_assert_eq!(once.len(), shown.len());
        prop_assert!(shown.iter().all(|name| names.split(name).is_some()));
    }
}
