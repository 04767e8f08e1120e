//! The headers that tell an upstream for whom we ask.
//!
//! They name the client that is believed (behind trusted hops), and only that one: what the client itself wrote into
//! such headers was removed before.

use crate::scan::Found;
use holdfast_edge::{REQUEST_ID, RequestContext, X_FORWARDED_FOR, X_FORWARDED_PROTO};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, FORWARDED, HOST},
};
use std::{io::Write as _, net::IpAddr};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Headers that are added at most.
const ADDED: usize = 8;

/// What a route does with headers.
#[derive(Debug)]
pub(crate) struct Forwarding {
    pub(crate) preserve_host: bool,
    pub(crate) forward_authorization: bool,
    pub(crate) upstream_auth: Option<(HeaderName, HeaderValue)>,
}

/// The request does not say, in one way only, which host it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHost;

/// The host that a request is for: the authority of an absolute-form target or of HTTP/2 before `Host` (RFC 9112
/// section 3.2.2, RFC 9113 section 8.3.1). `None` for HTTP/1.0 without one.
pub(crate) fn host(uri: &Uri, headers: &HeaderMap, found: &Found) -> Result<Option<HeaderValue>, BadHost> {
    if found.hosts > 1 {
        return Err(BadHost);
    }
    let value = match uri.authority() {
        // A name and password in a URI are for nobody else (RFC 9110 section 4.2.4).
        Some(authority) if authority.as_str().contains('@') => return Err(BadHost),
        Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| BadHost)?,
        None => match headers.get(HOST) {
            Some(value) => value.clone(),
            None => return Ok(None),
        },
    };
    if value.as_bytes().iter().all(|byte| is_host_byte(*byte)) { Ok(Some(value)) } else { Err(BadHost) }
}

/// RFC 3986 section 3.2.2, and the colon of the port.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte)
}

impl Forwarding {
    /// Turns the client's headers into those of the upstream. `found` is of the same headers.
    pub(crate) fn apply(
        &self,
        headers: &mut HeaderMap,
        found: &Found,
        host: Option<HeaderValue>,
        context: &RequestContext,
    ) {
        found.apply(headers);
        headers.reserve(ADDED);
        let (client, node) = names_of(context.client);
        headers.insert(FORWARDED, forwarded(&node, context.proto, host.as_ref()));
        headers.insert(X_FORWARDED_FOR, client);
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(context.proto));
        match (host, self.preserve_host) {
            (Some(host), true) => {
                headers.insert(X_FORWARDED_HOST, host.clone());
                headers.insert(HOST, host);
            }
            (Some(host), false) => {
                headers.insert(X_FORWARDED_HOST, host);
                headers.remove(HOST);
            }
            (None, _) => {}
        }
        headers.insert(REQUEST_ID, context.id.header_value());
        context.trace.apply(headers);
        if !self.forward_authorization {
            headers.remove(AUTHORIZATION);
        }
        if let Some((name, value)) = &self.upstream_auth {
            headers.insert(name, value.clone());
        }
    }
}

/// The address as `X-Forwarded-For` has it, and as a node of `Forwarded` (RFC 7239 section 6: IPv6 in brackets and quotes).
fn names_of(client: IpAddr) -> (HeaderValue, Vec<u8>) {
    let mut text = Vec::with_capacity(48);
    // Writing into a Vec cannot fail; an address is always visible ASCII.
    let value =
        |text: &[u8]| HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    match client {
        IpAddr::V4(v4) => {
            let mut number = itoa::Buffer::new();
            for octet in v4.octets() {
                if !text.is_empty() {
                    text.push(b'.');
                }
                text.extend_from_slice(number.format(octet).as_bytes());
            }
            (value(&text), text)
        }
        IpAddr::V6(v6) => {
            let _ = write!(text, "\"[{v6}]\"");
            (value(text.get(2..text.len() - 2).unwrap_or_default()), text)
        }
    }
}

/// RFC 7239 section 4. A host with a colon is no token, so it is quoted.
fn forwarded(node: &[u8], proto: &str, host: Option<&HeaderValue>) -> HeaderValue {
    let mut text = Vec::with_capacity(96);
    text.extend_from_slice(b"for=");
    text.extend_from_slice(node);
    if let Some(host) = host {
        // No host byte needs an escape inside quotes.
        text.extend_from_slice(b";host=\"");
        text.extend_from_slice(host.as_bytes());
        text.push(b'"');
    }
    text.extend_from_slice(b";proto=");
    text.extend_from_slice(proto.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static("for=unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_each_header_wants_them() {
        let (plain, node) = names_of("192.0.2.10".parse().unwrap());
        assert_eq!((plain.as_bytes(), &*node), (&b"192.0.2.10"[..], &b"192.0.2.10"[..]));
        let (plain, node) = names_of("2001:db8::1".parse().unwrap());
        assert_eq!((plain.as_bytes(), &*node), (&b"2001:db8::1"[..], &b"\"[2001:db8::1]\""[..]));
        let host = HeaderValue::from_static("a.example:8443");
        assert_eq!(
            forwarded(&node, "https", Some(&host)),
            "for=\"[2001:db8::1]\";host=\"a.example:8443\";proto=https"
        );
        assert_eq!(forwarded(b"192.0.2.10", "http", None), "for=192.0.2.10;proto=http");
    }

    #[test]
    fn the_target_of_a_request_says_the_host_before_the_header_does() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("from-header"));
        let found = crate::scan::request(&headers);
        let ask = |uri: &str| host(&uri.parse().unwrap(), &headers, &found);
        assert_eq!(ask("/x").unwrap().unwrap(), "from-header");
        assert_eq!(ask("http://from-target:81/x").unwrap().unwrap(), "from-target:81");
        assert_eq!(ask("http://user@from-target/x"), Err(BadHost));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for bad in ["a/b", "a b", "a\"b", "a@b", "a\\b", "a?b", "a#b", "a<b"] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(bad).unwrap());
            let found = crate::scan::request(&headers);
            assert_eq!(host(&Uri::from_static("/"), &headers, &found), Err(BadHost), "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("a"));
        headers.append(HOST, HeaderValue::from_static("b"));
        let found = crate::scan::request(&headers);
        assert_eq!(host(&Uri::from_static("/"), &headers, &found), Err(BadHost));
    }
}
