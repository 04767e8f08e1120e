//! Where a server listens.

use std::{fmt, net::IpAddr, sync::Arc};

/// Host, or IP address without brackets, and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.trim_matches(['[', ']']).into(), port }
    }

    /// From `host:port`, an IPv6 address in brackets or not (servers announce it without).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // Redis 7 and later may append what else it knows: `host:port@bus,name`.
        let port = port.split(['@', ',']).next()?;
        (!host.is_empty()).then(|| Some(Self::new(host, port.parse().ok().filter(|port| *port != 0)?)))?
    }

    /// The address itself, if it is no name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written() {
        for (text, host, port, shown) in [
            ("redis-0.redis:6379", "redis-0.redis", 6379, "redis-0.redis:6379"),
            ("[::1]:7", "::1", 7, "[::1]:7"),
            ("fe80::1:6379", "fe80::1", 6379, "[fe80::1]:6379"),
            ("10.0.0.1:6379@16379,name", "10.0.0.1", 6379, "10.0.0.1:6379"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((&*address.host, address.port, address.to_string().as_str()), (host, port, shown));
        }
        for text in ["", "h", ":1", "h:", "h:0", "h:65536", "h:x"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
