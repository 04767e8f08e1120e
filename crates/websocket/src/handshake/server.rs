//! The accepting side (RFC 6455 section 4.2).

use super::{VERSION, accept_value, elements, has_word, is_token, single};
use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig},
};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        ALLOW, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
    },
    request, response,
};

/// Some clients put any characters before the padding: what counts is that 16 bytes come out (section 4.2.1).
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);
/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// The subprotocols that we speak.
#[derive(Clone, Copy, Debug)]
pub enum Protocols<'p> {
    /// A client that speaks none of these is refused.
    Required(&'p [&'p str]),
    /// A client may go without.
    Optional(&'p [&'p str]),
}

/// A handshake that is good.
#[derive(Debug)]
pub struct Accepted<'p> {
    /// The head of the 101. Headers may be added.
    pub head: response::Parts,
    /// The subprotocol: the first of the client's list that we speak.
    pub protocol: Option<&'p str>,
}

/// Why a request is no handshake that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Section 4.2.1: the method is GET.
    #[error("a handshake is a GET")]
    Method,
    /// HTTP/1.1 alone: HTTP/2 has its own way (RFC 8441), HTTP/1.0 has none.
    #[error("a handshake is made over HTTP/1.1")]
    HttpVersion,
    /// A body would be read as frames.
    #[error("a handshake has no body")]
    Body,
    /// `Upgrade` does not say `websocket`, or `Connection` not `upgrade`.
    #[error("the request asks for no upgrade to websocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("the version of the protocol is 13")]
    ProtocolVersion,
    /// `Sec-WebSocket-Key` is not there once, or not 16 bytes in base64.
    #[error("no good key")]
    Key,
    /// `Sec-WebSocket-Protocol` holds what is no token.
    #[error("no list of subprotocols")]
    ProtocolList,
    /// None of the client's subprotocols is ours.
    #[error("none of the subprotocols is spoken here")]
    Protocol,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion | Self::Body | Self::Key | Self::ProtocolList | Self::Protocol => {
                StatusCode::BAD_REQUEST
            }
            // Section 4.4, and RFC 9110 section 15.5.22.
            Self::NoUpgrade | Self::ProtocolVersion => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// The head of the answer, with the headers that go with the status.
    pub fn head(self) -> response::Parts {
        let mut head = Response::new(()).into_parts().0;
        head.status = self.status();
        match self {
            Self::Method => drop(head.headers.insert(ALLOW, HeaderValue::from_static("GET"))),
            Self::NoUpgrade | Self::ProtocolVersion => {
                announce(&mut head.headers);
                head.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            Self::HttpVersion | Self::Body | Self::Key | Self::ProtocolList | Self::Protocol => {}
        }
        head
    }
}

/// Judges a request by section 4.2.1 and gives the answer of section 4.2.2. The origin is the caller's to judge, before this.
pub fn accept<'p>(request: &request::Parts, protocols: Protocols<'p>) -> Result<Accepted<'p>, Refusal> {
    if request.version != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if request.method != Method::GET {
        return Err(Refusal::Method);
    }
    let headers = &request.headers;
    if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::NoUpgrade);
    }
    if headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0")
    {
        return Err(Refusal::Body);
    }
    if single(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Refusal::ProtocolVersion);
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).ok_or(Refusal::Key)?;
    let protocol = choose(headers, protocols)?;
    let mut head = Response::new(()).into_parts().0;
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    announce(&mut head.headers);
    let value = HeaderValue::try_from(accept_value(key.as_bytes())).map_err(|_| Refusal::Key)?;
    head.headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    if let Some(name) = protocol {
        let name = HeaderValue::try_from(name).map_err(|_| Refusal::Protocol)?;
        head.headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(Accepted { head, protocol })
}

fn announce(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn is_key(key: &str) -> bool {
    let mut bytes = [0; KEY_BYTES + 2];
    LENIENT.decode_slice(key, &mut bytes).is_ok_and(|len| len == KEY_BYTES)
}

/// The first of the client's list that we speak: its order is its preference (section 4.1). Names are compared exactly.
fn choose<'p>(headers: &HeaderMap, protocols: Protocols<'p>) -> Result<Option<&'p str>, Refusal> {
    let ours = match protocols {
        Protocols::Required(ours) | Protocols::Optional(ours) => ours,
    };
    let mut chosen = None;
    for theirs in elements(headers, &SEC_WEBSOCKET_PROTOCOL) {
        if !is_token(theirs) {
            return Err(Refusal::ProtocolList);
        }
        chosen = chosen.or_else(|| ours.iter().copied().find(|ours| *ours == theirs));
    }
    match (chosen, protocols) {
        (None, Protocols::Required(_)) => Err(Refusal::Protocol),
        (chosen, _) => Ok(chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, Request};

    const OURS: &[&str] = &["mcp", "chat"];

    fn request() -> request::Parts {
        let request = Request::get("/chat")
            .header("host", "server.example.com")
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("origin", "http://example.com")
            .header("sec-websocket-protocol", "chat, superchat")
            .header("sec-websocket-version", "13");
        request.body(()).unwrap().into_parts().0
    }

    fn with(name: &str, values: &[&str]) -> request::Parts {
        let mut request = request();
        let name: HeaderName = name.parse().unwrap();
        request.headers.remove(&name);
        for value in values {
            request.headers.append(&name, value.parse().unwrap());
        }
        request
    }

    fn refusal(request: &request::Parts) -> Option<Refusal> {
        accept(request, Protocols::Optional(OURS)).err()
    }

    #[test]
    fn the_example_of_the_standard() {
        let accepted = accept(&request(), Protocols::Required(OURS)).unwrap();
        assert_eq!(accepted.protocol, Some("chat"));
        assert_eq!(accepted.head.status, 101);
        let header = |name: &str| accepted.head.headers[name].to_str().unwrap();
        assert_eq!(header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(header("sec-websocket-protocol"), "chat");
        assert_eq!((header("upgrade"), header("connection")), ("websocket", "upgrade"));
        assert_eq!(accepted.head.headers.len(), 4);
    }

    #[test]
    fn tokens_are_found_in_lists_in_any_case() {
        for connection in [&["keep-alive, Upgrade"][..], &["keep-alive", "UPGRADE"], &["upgrade,keep-alive"]]
        {
            assert_eq!(refusal(&with("connection", connection)), None, "{connection:?}");
        }
        assert_eq!(refusal(&with("upgrade", &["h2c, WebSocket"])), None);
    }

    #[test]
    fn what_is_no_handshake_is_refused_with_its_status() {
        let cases: [(&str, &[&str], Refusal, u16); 16] = [
            ("connection", &[], Refusal::NoUpgrade, 426),
            ("connection", &["keep-alive"], Refusal::NoUpgrade, 426),
            ("connection", &["not-upgrade"], Refusal::NoUpgrade, 426),
            ("upgrade", &[], Refusal::NoUpgrade, 426),
            ("upgrade", &["h2c"], Refusal::NoUpgrade, 426),
            ("sec-websocket-version", &[], Refusal::ProtocolVersion, 426),
            ("sec-websocket-version", &["8"], Refusal::ProtocolVersion, 426),
            ("sec-websocket-version", &["13", "13"], Refusal::ProtocolVersion, 426),
            ("sec-websocket-key", &[], Refusal::Key, 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=="; 2], Refusal::Key, 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], Refusal::Key, 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25j"], Refusal::Key, 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQEC"], Refusal::Key, 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ=="], Refusal::Key, 400),
            ("transfer-encoding", &["chunked"], Refusal::Body, 400),
            ("content-length", &["5"], Refusal::Body, 400),
        ];
        for (name, values, expected, status) in cases {
            assert_eq!(refusal(&with(name, values)), Some(expected), "{name}: {values:?}");
            assert_eq!(expected.head().status, status);
        }
        assert_eq!(refusal(&with("content-length", &["0"])), None);
        assert_eq!(refusal(&with("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZR=="])), None);
        let mut post = request();
        post.method = Method::POST;
        assert_eq!(refusal(&post), Some(Refusal::Method));
        assert_eq!(Refusal::Method.head().headers[ALLOW], "GET");
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let mut other = request();
            other.version = version;
            assert_eq!(refusal(&other), Some(Refusal::HttpVersion));
        }
    }

    #[test]
    fn another_version_is_told_ours() {
        let head = Refusal::ProtocolVersion.head();
        assert_eq!(head.headers[SEC_WEBSOCKET_VERSION], "13");
    }

    #[test]
    fn a_subprotocol_is_chosen_exactly_and_in_the_clients_order() {
        let chosen = |values: &[&str], protocols| {
            let request = with("sec-websocket-protocol", values);
            accept(&request, protocols).map(|accepted| accepted.protocol)
        };
        assert_eq!(chosen(&["chat, mcp"], Protocols::Required(OURS)), Ok(Some("chat")));
        assert_eq!(chosen(&["x", "mcp,chat"], Protocols::Required(OURS)), Ok(Some("mcp")));
        assert_eq!(chosen(&["MCP"], Protocols::Required(OURS)), Err(Refusal::Protocol));
        assert_eq!(chosen(&[], Protocols::Required(OURS)), Err(Refusal::Protocol));
        assert_eq!(chosen(&["MCP"], Protocols::Optional(OURS)), Ok(None));
        assert_eq!(chosen(&[], Protocols::Optional(OURS)), Ok(None));
        assert_eq!(chosen(&["mcp, a b"], Protocols::Optional(OURS)), Err(Refusal::ProtocolList));
        assert_eq!(chosen(&[""], Protocols::Optional(OURS)), Err(Refusal::ProtocolList));
    }

    #[test]
    fn extensions_are_not_answered() {
        let request = with("sec-websocket-extensions", &["permessage-deflate; client_max_window_bits"]);
        let head = accept(&request, Protocols::Optional(OURS)).unwrap().head;
        assert!(!head.headers.contains_key("sec-websocket-extensions"));
    }
}
