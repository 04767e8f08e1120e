//! The calling side (RFC 6455 sections 4.1 and 4.2.2).

use super::{VERSION, accept_value, elements, has_word, is_token, single};
use crate::Error;
use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    response,
};

/// What makes a key: new for each connection, chosen at random (section 4.1).
#[derive(Clone, Copy, Debug)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A fresh one.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).map_err(|_| Error::Random)?;
        Ok(Self(bytes))
    }

    /// This one, for tests.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// A handshake that we ask for.
#[derive(Clone, Debug)]
pub struct Offer<'p> {
    key: String,
    protocols: &'p [&'p str],
}

/// Why an answer opens no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not a 101: the server speaks HTTP to us.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// `Upgrade` does not say `websocket`, or `Connection` not `upgrade`.
    #[error("the server upgrades to something else")]
    NoUpgrade,
    /// `Sec-WebSocket-Accept` does not answer the key.
    #[error("the server did not read the key")]
    Accept,
    /// An extension, and none was offered.
    #[error("the server uses an extension that was not offered")]
    Extension,
    /// A subprotocol that was not offered, or more than one.
    #[error("the server speaks a subprotocol that was not offered")]
    Protocol,
}

impl<'p> Offer<'p> {
    /// An offer of these subprotocols, in the order of preference. A name that is no token is not sent.
    pub fn new(nonce: Nonce, protocols: &'p [&'p str]) -> Self {
        Self { key: STANDARD.encode(nonce.0), protocols }
    }

    /// The headers of the request, which is a GET over HTTP/1.1. `Host`, `Origin` and credentials are the caller's.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        if let Ok(key) = HeaderValue::try_from(&self.key) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
        let names: Vec<&str> = self.protocols.iter().copied().filter(|name| is_token(name)).collect();
        if let Ok(list) = HeaderValue::try_from(names.join(", "))
            && !names.is_empty()
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, list);
        }
        headers
    }

    /// Judges the answer by section 4.1 and gives the subprotocol, if the server chose one.
    pub fn check(&self, response: &response::Parts) -> Result<Option<&'p str>, Rejected> {
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Rejected::Status(response.status));
        }
        let headers = &response.headers;
        // Unlike a request's, this `Upgrade` is no list of wishes: it is `websocket` alone.
        let upgrade = single(headers, &UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        if !upgrade || !has_word(headers, &CONNECTION, "upgrade") {
            return Err(Rejected::NoUpgrade);
        }
        let accept = single(headers, &SEC_WEBSOCKET_ACCEPT).map(str::trim);
        if accept != Some(&*accept_value(self.key.as_bytes())) {
            return Err(Rejected::Accept);
        }
        if elements(headers, &SEC_WEBSOCKET_EXTENSIONS).any(|element| !element.is_empty()) {
            return Err(Rejected::Extension);
        }
        if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Ok(None);
        }
        let theirs = single(headers, &SEC_WEBSOCKET_PROTOCOL).ok_or(Rejected::Protocol)?;
        let chosen = self.protocols.iter().copied().find(|ours| *ours == theirs);
        chosen.map(Some).ok_or(Rejected::Protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Protocols, accept};
    use http::{HeaderName, Request, Response};

    const OURS: &[&str] = &["mcp", "chat"];

    fn offer() -> Offer<'static> {
        Offer::new(Nonce::from_bytes(*b"the sample nonce"), OURS)
    }

    fn answer() -> response::Parts {
        let answer = Response::builder()
            .status(101)
            .header("upgrade", "WebSocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            .header("sec-websocket-protocol", "chat");
        answer.body(()).unwrap().into_parts().0
    }

    fn with(name: &str, values: &[&str]) -> Result<Option<&'static str>, Rejected> {
        let mut answer = answer();
        let name: HeaderName = name.parse().unwrap();
        answer.headers.remove(&name);
        for value in values {
            answer.headers.append(&name, value.parse().unwrap());
        }
        offer().check(&answer)
    }

    #[test]
    fn the_example_of_the_standard() {
        let headers = offer().headers();
        assert_eq!(headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(headers["sec-websocket-protocol"], "mcp, chat");
        assert_eq!(headers["sec-websocket-version"], "13");
        assert_eq!(offer().check(&answer()), Ok(Some("chat")));
    }

    #[test]
    fn what_does_not_answer_the_offer_is_rejected() {
        let cases: [(&str, &[&str], Rejected); 12] = [
            ("upgrade", &[], Rejected::NoUpgrade),
            ("upgrade", &["h2c"], Rejected::NoUpgrade),
            ("upgrade", &["websocket", "websocket"], Rejected::NoUpgrade),
            ("connection", &[], Rejected::NoUpgrade),
            ("connection", &["close"], Rejected::NoUpgrade),
            ("sec-websocket-accept", &[], Rejected::Accept),
            ("sec-websocket-accept", &["s3pPLMBiTxaQ9kYGzzhZRbK+xOO="], Rejected::Accept),
            ("sec-websocket-accept", &["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; 2], Rejected::Accept),
            ("sec-websocket-extensions", &["permessage-deflate"], Rejected::Extension),
            ("sec-websocket-protocol", &["other"], Rejected::Protocol),
            ("sec-websocket-protocol", &["mcp", "chat"], Rejected::Protocol),
            ("sec-websocket-protocol", &["mcp, chat"], Rejected::Protocol),
        ];
        for (name, values, expected) in cases {
            assert_eq!(with(name, values), Err(expected), "{name}: {values:?}");
        }
        assert_eq!(with("sec-websocket-protocol", &[]), Ok(None));
        let mut plain = answer();
        plain.status = StatusCode::OK;
        assert_eq!(offer().check(&plain), Err(Rejected::Status(StatusCode::OK)));
    }

    #[test]
    fn our_sides_understand_each_other_with_a_fresh_key_each_time() {
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..8 {
            let offer = Offer::new(Nonce::random().unwrap(), OURS);
            let mut request = Request::get("/mcp").body(()).unwrap().into_parts().0;
            request.headers = offer.headers();
            keys.insert(request.headers["sec-websocket-key"].to_str().unwrap().to_owned());
            let accepted = accept(&request, Protocols::Required(&["chat"])).unwrap();
            assert_eq!(offer.check(&accepted.head), Ok(Some("chat")));
        }
        assert_eq!(keys.len(), 8);
    }
}
