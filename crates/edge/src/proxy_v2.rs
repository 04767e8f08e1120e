//! PROXY protocol version 2 (haproxy, "The PROXY protocol", section 2.2): pure parsing and one bounded read.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Twelve bytes that no HTTP request and no TLS record begins with.
pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;
/// Longest address block with its TLVs that is accepted. Senders stay below 536 (section 2.2); TLVs may add certificates' names.
pub(crate) const MAX_BODY_BYTES: usize = 4096;

const VERSION_2: u8 = 0x20;
const LOCAL: u8 = 0x0;
const PROXY: u8 = 0x1;
const TCP_4: u8 = 0x11;
const TCP_6: u8 = 0x21;
const TCP_4_BYTES: usize = 12;
const TCP_6_BYTES: usize = 36;
const TLV_HEAD_BYTES: usize = 3;

/// Who a PROXY header speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The proxy itself (health checks), or a family that has no address here: the peer is the client.
    Peer,
    /// The client that the proxy accepted.
    Client(SocketAddr),
}

/// What is wrong with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// No version 2 signature.
    #[error("the connection does not begin with a PROXY protocol version 2 signature")]
    Signature,
    /// A version that is not 2 or a command that is neither LOCAL nor PROXY.
    #[error("PROXY version and command byte {0:#04x} is not supported")]
    Command(u8),
    /// Longer than [`MAX_BODY_BYTES`].
    #[error("PROXY header of {0} bytes exceeds {MAX_BODY_BYTES}")]
    TooLong(usize),
    /// Too short for its address family.
    #[error("PROXY header is too short for address family {0:#04x}")]
    TooShort(u8),
    /// TLVs that do not fill the header exactly.
    #[error("PROXY header has a broken TLV")]
    Tlv,
}

/// Parses the first 16 bytes; returns how many follow.
pub(crate) fn parse_fixed(fixed: &[u8; FIXED_BYTES]) -> Result<usize, ProxyError> {
    if &fixed[..12] != SIGNATURE {
        return Err(ProxyError::Signature);
    }
    if fixed[12] & 0xf0 != VERSION_2 || fixed[12] & 0x0f > PROXY {
        return Err(ProxyError::Command(fixed[12]));
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_BODY_BYTES { Err(ProxyError::TooLong(length)) } else { Ok(length) }
}

/// Parses the rest, whose length [`parse_fixed`] told.
pub(crate) fn parse_body(fixed: &[u8; FIXED_BYTES], body: &[u8]) -> Result<Source, ProxyError> {
    // Section 2.2: for LOCAL the receiver must ignore the address block, whatever it says.
    if fixed[12] & 0x0f == LOCAL {
        return Ok(Source::Peer);
    }
    let (source, used) = match fixed[13] {
        TCP_4 => {
            let block: &[u8; TCP_4_BYTES] = body.first_chunk().ok_or(ProxyError::TooShort(TCP_4))?;
            let address = Ipv4Addr::new(block[0], block[1], block[2], block[3]);
            (client(IpAddr::V4(address), [block[8], block[9]]), TCP_4_BYTES)
        }
        TCP_6 => {
            let block: &[u8; TCP_6_BYTES] = body.first_chunk().ok_or(ProxyError::TooShort(TCP_6))?;
            let octets: [u8; 16] = *block.first_chunk().ok_or(ProxyError::TooShort(TCP_6))?;
            let address = Ipv6Addr::from(octets).to_canonical();
            (client(address, [block[32], block[33]]), TCP_6_BYTES)
        }
        // UNSPEC, datagrams, Unix sockets: section 2.2 asks to accept and to use the real peer. Their layout is not known.
        _ => return Ok(Source::Peer),
    };
    skip_tlvs(&body[used..])?;
    Ok(source)
}

fn client(address: IpAddr, port: [u8; 2]) -> Source {
    Source::Client(SocketAddr::new(address, u16::from_be_bytes(port)))
}

fn skip_tlvs(mut rest: &[u8]) -> Result<(), ProxyError> {
    while !rest.is_empty() {
        let head: &[u8; TLV_HEAD_BYTES] = rest.first_chunk().ok_or(ProxyError::Tlv)?;
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        rest = rest.get(TLV_HEAD_BYTES + length..).ok_or(ProxyError::Tlv)?;
    }
    Ok(())
}

/// Reads exactly one header and not a byte more. The caller sets the deadline. Not cancel safe: a connection whose header was
/// half read can only be closed.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Source> {
    let mut fixed = [0; FIXED_BYTES];
    stream.read_exact(&mut fixed).await?;
    let length = parse_fixed(&fixed).map_err(invalid)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse_body(&fixed, &body).map_err(invalid)
}

fn invalid(error: ProxyError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Fuzz entry: any bytes are parsed without a panic, and an address only comes out of a complete header.
#[doc(hidden)]
pub fn fuzz_proxy_v2(input: &[u8]) {
    let Some(fixed) = input.first_chunk::<FIXED_BYTES>() else { return };
    let Ok(length) = parse_fixed(fixed) else { return };
    assert!(length <= MAX_BODY_BYTES);
    let rest = &input[FIXED_BYTES..];
    let Some(body) = rest.get(..length) else { return };
    if let Ok(Source::Client(_)) = parse_body(fixed, body) {
        assert!(length >= TCP_4_BYTES && fixed[12] & 0x0f == PROXY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Source, ProxyError> {
        let fixed = bytes.first_chunk().expect("16 bytes");
        let length = parse_fixed(fixed)?;
        parse_body(fixed, &bytes[16..16 + length])
    }

    fn ipv4_body() -> Vec<u8> {
        let mut body = vec![192, 0, 2, 7, 10, 0, 0, 1];
        body.extend(4711u16.to_be_bytes());
        body.extend(443u16.to_be_bytes());
        body
    }

    #[test]
    fn the_source_address_of_tcp_is_the_client() {
        let source = parse(&header(1, TCP_4, &ipv4_body())).expect("valid");
        assert_eq!(source, Source::Client("192.0.2.7:4711".parse().expect("address")));
        let mut six = "2001:db8::9".parse::<Ipv6Addr>().expect("address").octets().to_vec();
        six.extend([0; 16]);
        six.extend([0x12, 0x67, 0x01, 0xbb]);
        let source = parse(&header(1, TCP_6, &six)).expect("valid");
        assert_eq!(source, Source::Client("[2001:db8::9]:4711".parse().expect("address")));
    }

    #[test]
    fn tlvs_are_skipped_and_must_fit() {
        let mut body = ipv4_body();
        body.extend([0x04, 0, 3, 1, 2, 3, 0x20, 0, 0]);
        assert!(matches!(parse(&header(1, TCP_4, &body)), Ok(Source::Client(_))));
        body.extend([0x04, 0, 9, 1]);
        assert_eq!(parse(&header(1, TCP_4, &body)), Err(ProxyError::Tlv));
    }

    #[test]
    fn local_and_unknown_families_mean_the_peer() {
        assert_eq!(parse(&header(0, 0, b"anything")), Ok(Source::Peer));
        assert_eq!(parse(&header(1, 0x31, &[0; 216])), Ok(Source::Peer));
        assert_eq!(parse(&header(1, 0x00, b"")), Ok(Source::Peer));
    }

    #[test]
    fn what_is_no_header_is_an_error() {
        let mut wrong = header(1, TCP_4, &ipv4_body());
        wrong[0] = b'G';
        assert_eq!(parse(&wrong), Err(ProxyError::Signature));
        let mut version_1 = header(1, TCP_4, &ipv4_body());
        version_1[12] = 0x11;
        assert_eq!(parse(&version_1), Err(ProxyError::Command(0x11)));
        assert_eq!(parse(&header(2, TCP_4, &ipv4_body())), Err(ProxyError::Command(0x22)));
        assert_eq!(parse(&header(1, TCP_4, &[0; 11])), Err(ProxyError::TooShort(TCP_4)));
        assert_eq!(parse(&header(1, TCP_4, &[0; 5000])), Err(ProxyError::TooLong(5000)));
    }

    #[tokio::test]
    async fn reading_takes_the_header_and_nothing_more() {
        let mut bytes = header(1, TCP_4, &ipv4_body());
        bytes.extend(b"GET / HTTP/1.1\r\n");
        let mut stream = &bytes[..];
        let source = read(&mut stream).await.expect("valid");
        assert!(matches!(source, Source::Client(_)));
        assert_eq!(stream, b"GET / HTTP/1.1\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(command in any::<u8>(), family in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..64)) {
            fuzz_proxy_v2(&header(command & 0x0f, family, &body));
            fuzz_proxy_v2(&body);
        }
    }
}
