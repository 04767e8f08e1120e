//! Who the client is behind proxies: pure functions over addresses and headers.
//!
//! A forwarding header is a list to which each hop appends the peer it saw. Only what trusted hops wrote is believed, so the
//! client is the right-most address that is not itself a trusted hop. Whatever stands further left came from outside.

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// `X-Forwarded-For`: the list most proxies write.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hops looked at from the right; a longer chain of trusted hops ends the search at the last one read.
const MAX_HOPS: usize = 32;

/// The client's address: `peer` unless it is a trusted hop, then the right-most untrusted hop of `X-Forwarded-For`, or of
/// `Forwarded` (RFC 7239) where the former is absent.
///
/// An element that is no address (`unknown`, an obfuscated name, rubbish) ends the search at the hop that wrote it: an address
/// left of it is not vouched for.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    if headers.contains_key(X_FORWARDED_FOR) {
        return right_most(peer, trusted, elements(headers, &X_FORWARDED_FOR, b','), parse_node);
    }
    right_most(peer, trusted, elements(headers, &FORWARDED, b','), |element| {
        parameter(element, b"for").and_then(parse_node)
    })
}

/// The scheme the client used: `own` (of our socket) unless the peer is a trusted hop that says `http` or `https` in
/// `X-Forwarded-Proto` (its right-most element) or the right-most `proto=` of `Forwarded`.
pub fn client_proto(own: &'static str, peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> &'static str {
    if !is_trusted(peer.to_canonical(), trusted) {
        return own;
    }
    let said = if headers.contains_key(X_FORWARDED_PROTO) {
        elements(headers, &X_FORWARDED_PROTO, b',').next()
    } else {
        elements(headers, &FORWARDED, b',').next().and_then(|element| parameter(element, b"proto"))
    };
    match said {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => "https",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => "http",
        _ => own,
    }
}

/// Whether `address` is in one of `trusted`; an IPv4 address mapped into IPv6 counts as IPv4.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

fn right_most<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    hops: impl Iterator<Item = &'a [u8]>,
    parse: impl Fn(&'a [u8]) -> Option<IpAddr>,
) -> IpAddr {
    let mut client = peer;
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = parse(hop) else { return client };
        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            return client;
        }
    }
    client
}

/// Elements of a list header from right to left, over all its lines, trimmed, empty ones left out.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName, separator: u8) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .rev()
        .flat_map(move |line| line.as_bytes().rsplit(move |byte| *byte == separator))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Value of `name` in one element of `Forwarded`, unquoted.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    element.split(|byte| *byte == b';').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse_node(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("net")).collect()
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    fn client(peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        client_address(peer.parse().expect("ip"), &headers(lines), &trusted()).to_string()
    }

    #[test]
    fn a_forged_header_from_outside_counts_for_nothing() {
        assert_eq!(client("192.0.2.9", &[("x-forwarded-for", "198.51.100.1")]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 192.0.2.7")]), "192.0.2.7");
    }

    #[test]
    fn trusted_hops_are_walked_from_the_right_over_several_lines() {
        let lines = [("x-forwarded-for", "6.6.6.6, 192.0.2.7"), ("x-forwarded-for", "10.1.1.1,10.2.2.2")];
        assert_eq!(client("10.0.0.1", &lines), "192.0.2.7");
        assert_eq!(client("::ffff:10.0.0.1", &lines), "192.0.2.7");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "10.1.1.1, 10.2.2.2")]), "10.1.1.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn rubbish_ends_the_search_at_the_hop_that_wrote_it() {
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "192.0.2.7, unknown, 10.3.3.3")]), "10.3.3.3");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "192.0.2.7, ???")]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_where_the_other_is_absent() {
        let line =
            [("forwarded", "for=1.2.3.4, for=\"[2001:db8::7]:4711\";proto=https, for=10.9.9.9;proto=http")];
        assert_eq!(client("fd00::1", &line), "2001:db8::7");
        assert_eq!(client("fd00::1", &[("forwarded", "for=_hidden")]), "fd00::1");
    }

    #[test]
    fn the_scheme_is_believed_from_trusted_hops_only() {
        let said = headers(&[("x-forwarded-proto", "http, https")]);
        let proto = |peer: &str| client_proto("http", peer.parse().expect("ip"), &said, &trusted());
        assert_eq!(proto("10.0.0.1"), "https");
        assert_eq!(proto("192.0.2.1"), "http");
        let odd = headers(&[("x-forwarded-proto", "gopher")]);
        assert_eq!(client_proto("http", "10.0.0.1".parse().expect("ip"), &odd, &trusted()), "http");
    }

    proptest! {
        #[test]
        fn the_client_is_never_left_of_an_untrusted_hop(forged in "[0-9a-f.:, ]{0,40}") {
            let mut map = HeaderMap::new();
            map.insert(X_FORWARDED_FOR, HeaderValue::from_str(&format!("{forged}, 192.0.2.7, 10.1.1.1")).expect("ascii"));
            let found = client_address("10.0.0.1".parse().expect("ip"), &map, &trusted());
            prop_assert_eq!(found.to_string(), "192.0.2.7");
        }
    }
}
