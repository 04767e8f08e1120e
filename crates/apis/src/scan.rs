//! One look at all header fields of a message.
//!
//! Removing each hop-by-hop name by itself would hash ten names for headers that are hardly ever there. One pass over
//! the fields finds the ones that are, together with everything else that has to be known of a head.

use holdfast_edge::TRACESTATE;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, MAX_FORWARDS,
        PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};
use smallvec::SmallVec;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Present names that must not be passed on.
    remove: SmallVec<[HeaderName; 4]>,
    /// `Host` fields, and the last of them.
    pub(crate) hosts: usize,
    pub(crate) host: Option<HeaderValue>,
    /// Declared body length.
    pub(crate) content_length: Option<u64>,
    /// `Expect` is there; and whether it asks for anything but `100-continue`.
    pub(crate) expect: bool,
    pub(crate) unknown_expectation: bool,
    /// `Connection` lists `upgrade`, and `Upgrade` is exactly `websocket`.
    connection_upgrade: bool,
    upgrade_websocket: bool,
    /// The sender understands trailers.
    trailers: bool,
    /// The client asks for an event stream.
    pub(crate) event_stream: bool,
    /// `Max-Forwards` is there.
    pub(crate) max_forwards: bool,
    /// `Authorization` is there.
    pub(crate) authorization: bool,
    /// `tracestate` is there.
    pub(crate) tracestate: bool,
}

impl Found {
    /// A WebSocket handshake (RFC 6455 section 4.1).
    pub(crate) fn is_websocket(&self) -> bool {
        self.connection_upgrade && self.upgrade_websocket
    }
}

/// Looks at a request. `trusted` = the hop in front of us writes forwarding headers that are believed.
pub(crate) fn request(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    let mut listed: SmallVec<[&HeaderValue; 1]> = SmallVec::new();
    for (name, value) in headers {
        match *name {
            HOST => {
                found.hosts += 1;
                found.host = Some(value.clone());
            }
            CONTENT_LENGTH => found.content_length = number(value),
            ACCEPT => found.event_stream |= contains(value.as_bytes(), b"text/event-stream"),
            EXPECT => {
                found.expect = true;
                found.unknown_expectation |= !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            }
            MAX_FORWARDS => found.max_forwards = true,
            AUTHORIZATION => found.authorization = true,
            CONNECTION => {
                listed.push(value);
                found.note(name);
            }
            UPGRADE => {
                found.upgrade_websocket = value.as_bytes().eq_ignore_ascii_case(b"websocket");
                found.note(name);
            }
            TE => {
                found.trailers |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                found.note(name);
            }
            // Ours are written afterwards: what a client put there must not reach the upstream beside them.
            TRANSFER_ENCODING | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION | FORWARDED => found.note(name),
            _ if is_other_hop(name) || is_forwarding(name) => found.note(name),
            _ => found.tracestate |= *name == TRACESTATE,
        }
    }
    for value in listed {
        found.connection_upgrade |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
        found.note_listed(headers, value);
    }
    found
}

/// Looks at a response and removes what belongs to the hop behind us.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    let mut found = Found::default();
    let mut listed: SmallVec<[&HeaderValue; 1]> = SmallVec::new();
    for (name, value) in &*headers {
        match *name {
            CONNECTION => {
                listed.push(value);
                found.note(name);
            }
            UPGRADE | TE | TRANSFER_ENCODING | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => found.note(name),
            _ if is_other_hop(name) => found.note(name),
            _ => {}
        }
    }
    for value in listed {
        found.note_listed(headers, value);
    }
    found.apply(headers);
}

impl Found {
    fn note(&mut self, name: &HeaderName) {
        if !self.remove.contains(name) {
            self.remove.push(name.clone());
        }
    }

    /// RFC 9110 section 7.6.1: what `Connection` lists goes too. Not what says where the message ends or whom it is
    /// for: no sender has a reason to list those but mischief.
    fn note_listed(&mut self, headers: &HeaderMap, value: &HeaderValue) {
        // By far the most frequent values, as they are mostly written; `Keep-Alive` itself goes as a hop-by-hop name.
        if matches!(value.as_bytes(), b"keep-alive" | b"Keep-Alive" | b"close") {
            return;
        }
        for token in tokens(value) {
            if let Ok(name) = HeaderName::from_bytes(token)
                && !matches!(name, HOST | CONTENT_LENGTH | EXPECT)
                && headers.contains_key(&name)
            {
                self.note(&name);
            }
        }
    }

    /// Removes what was found. `TE: trailers` stays, since trailers are passed on.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        if self.trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Hop-by-hop names that have no constant.
fn is_other_hop(name: &HeaderName) -> bool {
    matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Names by which proxies tell who the client is. All of them: an upstream believes some, and we write only ours.
fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-") && (name.starts_with("x-forwarded-") || name == "x-real-ip")
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.len() >= word.len() && text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn multi(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    fn passed(map: HeaderMap) -> Vec<String> {
        let mut map = map;
        request(&map).apply(&mut map);
        let mut names: Vec<String> = map.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn hop_by_hop_fields_and_what_connection_lists_go() {
        let map = multi(&[
            ("host", "a"),
            ("connection", "close, X-Private"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "secret"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("te", "gzip"),
            ("cookie", "a=b"),
        ]);
        assert_eq!(passed(map), ["cookie", "host"]);
    }

    #[test]
    fn connection_cannot_take_away_what_frames_or_addresses_a_message() {
        let map = headers(&[
            ("host", "a"),
            ("content-length", "3"),
            ("connection", "host, content-length, x-gone"),
            ("x-gone", "1"),
        ]);
        assert_eq!(passed(map), ["content-length", "host"]);
    }

    #[test]
    fn forwarding_headers_of_the_client_go() {
        let map = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-prefix", "/"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-request", "stays"),
        ]);
        assert_eq!(passed(map), ["x-request"]);
    }

    #[test]
    fn trailers_are_still_asked_for() {
        let mut map = headers(&[("te", "gzip, Trailers"), ("connection", "te")]);
        request(&map).apply(&mut map);
        assert_eq!(map[TE], "trailers");
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn only_a_whole_websocket_handshake_is_one() {
        for (connection, upgrade, is) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, Upgrade", "WebSocket", true),
            ("keep-alive", "websocket", false),
            ("Upgrade", "h2c", false),
            ("Upgrade", "websocket, h2c", false),
        ] {
            let map = headers(&[("connection", connection), ("upgrade", upgrade)]);
            assert_eq!(request(&map).is_websocket(), is, "{connection} {upgrade}");
        }
    }

    #[test]
    fn what_else_a_head_says() {
        let map = multi(&[
            ("host", "a"),
            ("host", "b"),
            ("content-length", "12"),
            ("expect", "100-Continue"),
            ("accept", "application/json, Text/Event-Stream"),
            ("max-forwards", "0"),
        ]);
        let found = request(&map);
        assert_eq!((found.hosts, found.content_length), (2, Some(12)));
        assert!(found.expect && !found.unknown_expectation && found.event_stream && found.max_forwards);
        assert!(request(&headers(&[("expect", "a-pony")])).unknown_expectation);
    }

    #[test]
    fn a_response_loses_its_hop_by_hop_fields_and_nothing_else() {
        let mut map = headers(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "5"),
            ("content-length", "3"),
            ("x-forwarded-for", "kept"),
            ("set-cookie", "a"),
        ]);
        clean_response(&mut map);
        let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "set-cookie", "x-forwarded-for"]);
    }
}
