//! The headers that tell an upstream for whom we ask.
//!
//! They name the client that is believed (behind trusted hops), and only that one: what the client itself wrote into
//! such headers was removed before.

use crate::scan::Found;
use bytes::Bytes;
use holdfast_edge::{REQUEST_ID, RequestContext, X_FORWARDED_FOR, X_FORWARDED_PROTO};
use holdfast_telemetry::digits::push_address;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, FORWARDED, HOST},
};
use std::{net::IpAddr, ops::Range};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Headers that are added at most.
const ADDED: usize = 8;

/// Room for the values that are made for each request; a longer host makes it grow.
const MADE_BYTES: usize = 320;
/// What a host may consist of, by byte.
const HOST_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let other = b"-._~:[]%!$&'()*+,;=";
    let mut byte = 0;
    while byte < allowed.len() {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < other.len() {
        allowed[other[at] as usize] = true;
        at += 1;
    }
    allowed
};

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

/// The host that a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    value: HeaderValue,
    /// `Host` says the same already.
    in_header: bool,
}

/// The host that a request is for: the authority of an absolute-form target or of HTTP/2 before `Host` (RFC 9112
/// section 3.2.2, RFC 9113 section 8.3.1). `None` for HTTP/1.0 without one.
pub(crate) fn host(uri: &Uri, found: &mut Found) -> Result<Option<Host>, BadHost> {
    if found.hosts > 1 {
        return Err(BadHost);
    }
    let value = match uri.authority() {
        // A name and password in a URI are for nobody else (RFC 9110 section 4.2.4).
        Some(authority) if authority.as_str().contains('@') => return Err(BadHost),
        Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| BadHost)?,
        None => match found.host.take() {
            Some(value) => value,
            None => return Ok(None),
        },
    };
    if !value.as_bytes().iter().all(|byte| is_host_byte(*byte)) {
        return Err(BadHost);
    }
    Ok(Some(Host { value, in_header: uri.authority().is_none() }))
}

/// RFC 3986 section 3.2.2, and the colon of the port.
fn is_host_byte(byte: u8) -> bool {
    HOST_BYTES[usize::from(byte)]
}

impl Forwarding {
    /// Turns the client's headers into those of the upstream. `found` is of the same headers.
    pub(crate) fn apply(
        &self,
        headers: &mut HeaderMap,
        found: &Found,
        host: Option<Host>,
        context: &mut RequestContext,
    ) {
        found.apply(headers);
        headers.reserve(ADDED);
        let made = Made::new(context, host.as_ref().map(|host| &host.value));
        headers.insert(FORWARDED, made.forwarded);
        headers.insert(X_FORWARDED_FOR, made.client);
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(context.proto));
        if let Some(Host { value, in_header }) = host {
            match (self.preserve_host, in_header) {
                (true, true) => {}
                (true, false) => drop(headers.insert(HOST, value.clone())),
                (false, _) => drop(headers.remove(HOST)),
            }
            headers.insert(X_FORWARDED_HOST, value);
        }
        headers.insert(REQUEST_ID, made.id.clone());
        context.id_header = Some(made.id);
        context.trace.apply_value(headers, made.trace, found.tracestate);
        if found.authorization && !self.forward_authorization {
            headers.remove(AUTHORIZATION);
        }
        if let Some((name, value)) = &self.upstream_auth {
            headers.insert(name, value.clone());
        }
    }
}

/// The values that are new with each request. They share one buffer, so that copies for attempts cost no allocation.
struct Made {
    forwarded: HeaderValue,
    client: HeaderValue,
    id: HeaderValue,
    trace: HeaderValue,
}

impl Made {
    fn new(context: &RequestContext, host: Option<&HeaderValue>) -> Self {
        let mut text = Vec::with_capacity(MADE_BYTES);
        let client = write_forwarded(&mut text, context.client, context.proto, host);
        let forwarded = 0..text.len();
        text.extend_from_slice(context.id.as_bytes());
        let id = forwarded.end..text.len();
        text.extend_from_slice(&context.trace.wire());
        let trace = id.end..text.len();
        let all = Bytes::from(text);
        // Addresses, hosts, ids and hexadecimal digits are visible ASCII, so none of these falls back.
        let value = |range: Range<usize>, otherwise| {
            HeaderValue::from_maybe_shared(all.slice(range))
                .unwrap_or_else(|_| HeaderValue::from_static(otherwise))
        };
        Self {
            forwarded: value(forwarded, "for=unknown"),
            client: value(client, "unknown"),
            id: value(id, "-"),
            trace: value(trace, "-"),
        }
    }
}

/// Writes RFC 7239 section 4: the address as a node (section 6: IPv6 in brackets and quotes), the host quoted, because one with
/// a colon is no token. Returns where the bare address stands, as `X-Forwarded-For` has it.
fn write_forwarded(
    text: &mut Vec<u8>,
    client: IpAddr,
    proto: &str,
    host: Option<&HeaderValue>,
) -> Range<usize> {
    // A node of IPv6 holds colons.
    let (before, after): (&[u8], &[u8]) =
        if client.is_ipv6() { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
    text.extend_from_slice(before);
    let start = text.len();
    push_address(text, client);
    let address = start..text.len();
    text.extend_from_slice(after);
    if let Some(host) = host {
        // No host byte needs an escape inside quotes.
        text.extend_from_slice(b";host=\"");
        text.extend_from_slice(host.as_bytes());
        text.push(b'"');
    }
    text.extend_from_slice(b";proto=");
    text.extend_from_slice(proto.as_bytes());
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_each_header_wants_them() {
        let write = |client: &str, proto, host: Option<&'static str>| {
            let mut text = Vec::new();
            let host = host.map(HeaderValue::from_static);
            let bare = write_forwarded(&mut text, client.parse().unwrap(), proto, host.as_ref());
            let text = String::from_utf8(text).unwrap();
            (text[bare].to_owned(), text)
        };
        let (bare, whole) = write("2001:db8::1", "https", Some("a.example:8443"));
        assert_eq!(bare, "2001:db8::1");
        assert_eq!(whole, "for=\"[2001:db8::1]\";host=\"a.example:8443\";proto=https");
        let (bare, whole) = write("192.0.2.10", "http", None);
        assert_eq!((bare.as_str(), whole.as_str()), ("192.0.2.10", "for=192.0.2.10;proto=http"));
    }

    #[test]
    fn the_target_of_a_request_says_the_host_before_the_header_does() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("from-header"));
        let ask = |uri: &str| host(&uri.parse().unwrap(), &mut crate::scan::request(&headers));
        assert_eq!(
            ask("/x").unwrap().unwrap(),
            Host { value: HeaderValue::from_static("from-header"), in_header: true }
        );
        assert_eq!(
            ask("http://from-target:81/x").unwrap().unwrap(),
            Host { value: HeaderValue::from_static("from-target:81"), in_header: false }
        );
        assert_eq!(ask("http://user@from-target/x"), Err(BadHost));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for bad in ["a/b", "a b", "a\"b", "a@b", "a\\b", "a?b", "a#b", "a<b"] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(bad).unwrap());
            let mut found = crate::scan::request(&headers);
            assert_eq!(host(&Uri::from_static("/"), &mut found), Err(BadHost), "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("a"));
        headers.append(HOST, HeaderValue::from_static("b"));
        let mut found = crate::scan::request(&headers);
        assert_eq!(host(&Uri::from_static("/"), &mut found), Err(BadHost));
    }
}
