//! Trace context inside a message: SEP-414 keeps the keys of W3C Trace Context and Baggage in `params._meta`, without a prefix.

use super::{Frame, Kind, Member};
use bytes::Bytes;

/// What goes along in `_meta`. The texts are legal values of the headers of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceMeta<'a> {
    /// `traceparent`.
    pub traceparent: &'a str,
    /// `tracestate`.
    pub tracestate: Option<&'a str>,
    /// `baggage`.
    pub baggage: Option<&'a str>,
    /// The message's own `traceparent` gives way. Otherwise a message that has one stays as it is.
    pub replaces: bool,
}

impl Frame {
    /// The message with `meta` in its `_meta`, every other byte as it was; `None` if it stays as it is, as a response does. The message's own
    /// `tracestate` and `baggage` stay.
    pub fn with_trace(&self, meta: &TraceMeta<'_>) -> Option<Bytes> {
        let carries = matches!(self.kind(), Kind::Request | Kind::Notification);
        if !carries || (self.has(Member::MetaTraceparent) && !meta.replaces) {
            return None;
        }
        let mut splice = self.splice().set_text(Member::MetaTraceparent, meta.traceparent);
        for (member, text) in [(Member::MetaTracestate, meta.tracestate), (Member::MetaBaggage, meta.baggage)]
        {
            if let Some(text) = text.filter(|_| !self.has(member)) {
                splice = splice.set_text(member, text);
            }
        }
        splice.finish().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Limits;
    use proptest::prelude::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const META: TraceMeta<'_> =
        TraceMeta { traceparent: PARENT, tracestate: Some("a=1"), baggage: None, replaces: true };

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    fn traced(text: &str, meta: &TraceMeta<'_>) -> Option<String> {
        frame(text).with_trace(meta).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_message_gets_what_it_lacks() {
        let with = format!(r#""_meta":{{"traceparent":"{PARENT}","tracestate":"a=1"}}"#);
        let bare = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let expected = format!(r#"{{"params":{{{with}}},"jsonrpc":"2.0","id":1,"method":"ping"}}"#);
        assert_eq!(traced(bare, &META), Some(expected));
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{ "name":"x","_meta":{"k":1e400}}}"#;
        let expected =
            call.replace(r#"{"k""#, &format!(r#"{{"traceparent":"{PARENT}","tracestate":"a=1","k""#));
        assert_eq!(traced(call, &META), Some(expected));
    }

    #[test]
    fn its_own_context_gives_way_only_where_that_is_wanted() {
        let own = "00-11111111111111111111111111111111-2222222222222222-00";
        let text = format!(
            r#"{{"method":"m","jsonrpc":"2.0","params":{{"_meta":{{"baggage":"b=2","traceparent":"{own}"}}}}}}"#
        );
        let quiet = TraceMeta { replaces: false, baggage: Some("c=3"), ..META };
        assert_eq!(traced(&text, &quiet), None);
        let loud = traced(&text, &TraceMeta { replaces: true, tracestate: None, ..quiet }).unwrap();
        assert_eq!(loud, text.replace(own, PARENT), "baggage is the message's own");
    }

    #[test]
    fn what_cannot_carry_it_stays_as_it_is() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#,
        ] {
            assert_eq!(traced(text, &META), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_other_byte_is_as_it_was(
            before in "[ \\n\\t]{0,3}",
            key in "\\PC{1,8}",
            number in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?",
            with_meta: bool,
        ) {
            let key = serde_json::to_string(&format!("x{key}")).unwrap();
            let meta = if with_meta { format!(r#","_meta":{{{before}{key}:{number}{before}}}"#) } else { String::new() };
            let text = format!(
                r#"{{{before}"jsonrpc":"2.0",{key}:{number},"id":{before}7,"method":"m/n","params":{{{key}:{before}[{number}]{meta}}}}}"#
            );
            let traced = traced(&text, &META).unwrap();
            let inside = format!(r#""traceparent":"{PARENT}","tracestate":"a=1""#);
            let undone = if with_meta {
                traced.replacen(&format!("{inside},"), "", 1)
            } else {
                traced.replacen(&format!(r#""_meta":{{{inside}}},"#), "", 1)
            };
            prop_assert_eq!(undone, text);
        }
    }
}
