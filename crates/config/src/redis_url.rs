//! The URL of a Redis server: `redis://[user][:password@]host[:port][/database]`.

use crate::{schema::Rule, text};

/// Port of a server.
pub(crate) const PORT: u16 = 6379;
/// Port of a sentinel.
pub(crate) const SENTINEL_PORT: u16 = 26379;

/// Its parts. No `Debug`: it holds a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    pub(crate) tls: bool,
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<u32>,
}

impl RedisUrl {
    /// Says what is wrong without repeating any of it.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("must start with `redis://` or `rediss://`")?;
        let tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err("must start with `redis://` or `rediss://`"),
        };
        if rest.contains(['?', '#']) {
            return Err("must not have a query or a fragment: options have keys of their own");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        if host.is_empty() || Rule::Authority.check(host).is_err() {
            return Err("must name a host, and a port if it is not 6379");
        }
        let address = with_port(host, PORT).ok_or("must have a port from 1 to 65535, or none")?;
        let (username, password) = match login {
            Some(login) => {
                let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
                (Some(decoded(user)?), password.map(decoded).transpose()?)
            }
            None => (None, None),
        };
        let number = |text: &str| text::whole(text).and_then(|n| u32::try_from(n).ok());
        let database = match path {
            "" => None,
            number_text => {
                Some(number(number_text).ok_or("must end in the number of a database, or in nothing")?)
            }
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self { tls, address, username: filled(username), password: filled(password), database })
    }
}

/// `host:port`; `None` for a port that is none.
pub(crate) fn with_port(authority: &str, port: u16) -> Option<String> {
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let named = parsed.as_str().len() > parsed.host().len();
    let port = if named { parsed.port_u16().filter(|port| *port != 0)? } else { port };
    Some(format!("{}:{port}", parsed.host()))
}

/// RFC 3986, 2.1.
fn decoded(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "has a `%` in its login that is not followed by two hexadecimal digits of UTF-8 text";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2).ok_or(WRONG)?;
        let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.push(u8::from_str_radix(hex.ok_or(WRONG)?, 16).map_err(|_| WRONG)?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (bool, String, Option<String>, Option<String>, Option<u32>) {
        let url = RedisUrl::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
        (url.tls, url.address, url.username, url.password, url.database)
    }

    #[test]
    fn every_part_is_found() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("redis://redis:6379"), (false, "redis:6379".into(), None, None, None));
        assert_eq!(parts("rediss://h"), (true, "h:6379".into(), None, None, None));
        assert_eq!(parts("redis://10.x.x.x:6379/"), (false, "10.x.x.x:6379".into(), None, None, None));
        assert_eq!(
            parts("valkey://:p%40ss%2F@[::1]:1/3"),
            (false, "[::1]:1".into(), None, some("p@ss/"), Some(3))
        );
        assert_eq!(parts("valkeys://u:p@h:2"), (true, "h:2".into(), some("u"), some("p"), None));
        assert_eq!(parts("redis://u@h"), (false, "h:6379".into(), some("u"), None, None));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        for url in [
            "h:6379",
            "http://h",
            "redis://",
            "redis://:secret@",
            "redis://:secret@h:0",
            "redis://:secret@h:99999",
            "redis://:secret@h:6379/x",
            "redis://:secret@h?db=1",
            "redis://:sec%zzret@h",
            "redis://:secret%f@h",
            "redis://:secret%ff@h",
            "redis://a b",
            "redis://:secret@h/-1",
        ] {
            let why = RedisUrl::parse(url).err().unwrap_or_else(|| panic!("accepted {url}"));
            assert!(!why.contains("secret"), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(redis|rediss|valkey)://[a-z0-9:@%/.\\[\\]-]{0,40}|.{0,40}") {
            if let Ok(url) = RedisUrl::parse(&text) {
                let port = url.address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
                proptest::prop_assert!(matches!(port, Some(Ok(1..))));
            }
        }
    }
}
