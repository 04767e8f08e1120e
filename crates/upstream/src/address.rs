//! Which addresses an upstream may have.
//!
//! A name under foreign control must not lead Holdfast to the metadata service of its cloud or to a neighbour on the
//! link. So the rule is applied to the address that is connected to, not to the name.

use std::net::{IpAddr, Ipv6Addr};

/// The metadata service of AWS over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// The connect-time rule. Built from `routing.block_link_local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRules {
    pub(crate) block_link_local: bool,
}

impl AddressRules {
    /// Whether this address may be connected to.
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        !self.block_link_local || !is_link_local_or_metadata(address)
    }
}

fn is_link_local_or_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(), // 169.254.0.0/16 (RFC 3927), with 169.254.169.254 in it
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => v4.is_link_local(),
            None => v6.is_unicast_link_local() || v6 == METADATA_V6, // fe80::/10 (RFC 4291 section 2.5.6)
        },
    }
}

/// The IPv4 address inside an IPv4-mapped (`::ffff:0:0/96`), IPv4-compatible (`::/96`), NAT64 (`64:ff9b::/96`) or
/// 6to4 (`2002::/16`) address: all of them may end at that IPv4 host.
fn embedded_v4(v6: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let groups = v6.segments();
    let bits = v6.to_bits();
    let last = std::net::Ipv4Addr::from_bits(bits as u32);
    if groups[..5] == [0; 5]
        && (groups[5] == 0xffff || groups[5] == 0)
        && !v6.is_loopback()
        && !v6.is_unspecified()
    {
        return Some(last);
    }
    if groups[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return Some(last);
    }
    if groups[0] == 0x2002 {
        return Some(std::net::Ipv4Addr::from_bits((bits >> 80) as u32));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: [&str; 9] = [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "febf::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ];
    const ALLOWED: [&str; 8] = [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "169.253.1.1",
        "fec0::1",
        "fd00:ec2::253",
        "::ffff:10.0.0.1",
        "2001:db8::1",
    ];

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_notation() {
        let rules = AddressRules { block_link_local: true };
        for text in FORBIDDEN {
            assert!(!rules.allows(text.parse().unwrap()), "{text}");
        }
        for text in ALLOWED {
            assert!(rules.allows(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn configuration_can_allow_them() {
        let rules = AddressRules { block_link_local: false };
        assert!(FORBIDDEN.iter().all(|text| rules.allows(text.parse().unwrap())));
    }
}
