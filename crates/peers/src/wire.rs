//! Paths and headers of the channel's messages.

use crate::{Ask, PeerError, PeerLimit, Refusal, nonces::Nonce};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, Instant};

pub(crate) const HELLO: &str = "/v1/hello";
pub(crate) const PING: &str = "/v1/ping";
pub(crate) const ASK: &str = "/v1/ask";
pub(crate) const TELL: &str = "/v1/tell";

/// Every header of the channel itself starts so.
pub(crate) const PREFIX: &str = "holdfast-";

const WHAT: HeaderName = HeaderName::from_static("holdfast-what");
const HANDLE: HeaderName = HeaderName::from_static("holdfast-handle");
const PRINCIPAL: HeaderName = HeaderName::from_static("holdfast-principal");
const WITHIN: HeaderName = HeaderName::from_static("holdfast-within-ms");
const NONCE: HeaderName = HeaderName::from_static("holdfast-nonce");
const HOPS: HeaderName = HeaderName::from_static("holdfast-hops");
/// In an answer: there is none, and why.
const REFUSED: HeaderName = HeaderName::from_static("holdfast-refused");

/// A question has been asked this often when it arrives. It never goes on.
const HOPS_MAX: u32 = 1;

const WHAT_BYTES_MAX: usize = 32;

/// What the headers of a question say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WireAsk {
    pub(crate) what: Box<str>,
    pub(crate) handle: Box<str>,
    pub(crate) principal: [u8; 32],
    pub(crate) within: Duration,
    pub(crate) nonce: Nonce,
    pub(crate) hops: u32,
}

impl WireAsk {
    /// Of a question that leaves `within`.
    pub(crate) fn of(ask: &Ask, within: Duration, nonce: Nonce) -> Self {
        Self {
            what: ask.what.into(),
            handle: ask.handle.as_str().into(),
            principal: ask.principal,
            within,
            nonce,
            hops: HOPS_MAX,
        }
    }

    /// As headers. `None` = it holds what no header may.
    pub(crate) fn write(&self, headers: &mut HeaderMap) -> Option<()> {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        headers.insert(WHAT, value(Some(&*self.what).filter(|what| is_what(what))?)?);
        headers.insert(HANDLE, value(&self.handle)?);
        headers.insert(PRINCIPAL, value(&URL_SAFE_NO_PAD.encode(self.principal))?);
        headers.insert(WITHIN, value(&self.within.as_millis().to_string())?);
        headers.insert(NONCE, value(&format!("{:032x}", self.nonce))?);
        headers.insert(HOPS, HeaderValue::from(self.hops));
        Some(())
    }

    /// `None` = malformed.
    pub(crate) fn parse(headers: &HeaderMap) -> Option<Self> {
        let principal = URL_SAFE_NO_PAD.decode(one(headers, &PRINCIPAL)?).ok()?;
        Some(Self {
            what: Some(one(headers, &WHAT)?).filter(|what| is_what(what))?.into(),
            handle: one(headers, &HANDLE)?.into(),
            principal: principal.try_into().ok()?,
            within: Duration::from_millis(number(one(headers, &WITHIN)?, 10)?),
            nonce: nonce(one(headers, &NONCE)?)?,
            hops: u32::try_from(number(one(headers, &HOPS)?, 10)?).ok()?,
        })
    }

    /// Whether it came through another replica that was asked.
    pub(crate) fn is_looped(&self) -> bool {
        self.hops > HOPS_MAX
    }
}

/// What is left until `until`; `None` = nothing. Whole milliseconds, rounded down: the other side must not wait longer.
pub(crate) fn within(until: Instant, now: Instant, longest: Duration) -> Option<Duration> {
    let left = until.saturating_duration_since(now).min(longest);
    (left >= Duration::from_millis(1)).then_some(left)
}

/// Why an owner does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    Refused(Refusal),
    Looped,
    Overloaded,
    Timeout,
}

impl No {
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let word = match self {
            Self::Refused(refusal) => refusal.as_str(),
            Self::Looped => "looped",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
        };
        headers.insert(REFUSED, HeaderValue::from_static(word));
    }

    /// `None` = it answers.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let word = headers.get(REFUSED)?.to_str().unwrap_or_default();
        Some(match word {
            "looped" => Self::Looped,
            "overloaded" => Self::Overloaded,
            "timeout" => Self::Timeout,
            word => Self::Refused(Refusal::from_word(word).unwrap_or(Refusal::Protocol)),
        })
    }

    pub(crate) fn error(self, replica: crate::ReplicaId) -> PeerError {
        match self {
            Self::Refused(refusal) => PeerError::Refused(refusal),
            Self::Looped => PeerError::Looped,
            Self::Overloaded => PeerError::Overloaded(PeerLimit::Owner),
            Self::Timeout => PeerError::Timeout(replica),
        }
    }
}

/// Takes out what is the channel's own: an owner's answer must not be taken for a refusal.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}

fn is_what(what: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=WHAT_BYTES_MAX).contains(&what.len()) && what.bytes().all(legal)
}

/// Digits alone.
fn number(text: &str, digits_max: usize) -> Option<u64> {
    let digits = (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn nonce(text: &str) -> Option<Nonce> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| Nonce::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_question_reads_as_it_was_written(
            what in "[a-z0-9_]{1,32}", handle in "[!-~]{1,100}", principal: [u8; 32], ms in 0u64..86_400_000, nonce: u128, hops: u32,
        ) {
            let ask = WireAsk { what: what.into(), handle: handle.into(), principal, within: Duration::from_millis(ms), nonce, hops };
            let mut headers = HeaderMap::new();
            ask.write(&mut headers).unwrap();
            prop_assert_eq!(WireAsk::parse(&headers), Some(ask));
            for name in [WHAT, HANDLE, PRINCIPAL, WITHIN, NONCE, HOPS] {
                let mut twice = headers.clone();
                twice.append(name.clone(), headers[&name].clone());
                prop_assert_eq!(WireAsk::parse(&twice), None, "{} twice", name);
                let mut without = headers.clone();
                without.remove(&name);
                prop_assert_eq!(WireAsk::parse(&without), None, "without {}", name);
            }
        }
    }

    #[test]
    fn a_refusal_reads_as_it_was_written_and_an_owner_cannot_make_one() {
        use Refusal::{Handle, Malformed, NotOwner, Protocol, Replayed, TooLarge, WindowFull};
        let refusals =
            [Handle, NotOwner, Replayed, WindowFull, TooLarge, Malformed, Protocol].map(No::Refused);
        for no in refusals.into_iter().chain([No::Looped, No::Overloaded, No::Timeout]) {
            let mut headers = HeaderMap::new();
            no.write(&mut headers);
            assert_eq!(No::read(&headers), Some(no));
            strip(&mut headers);
            assert_eq!(No::read(&headers), None);
        }
    }

    #[test]
    fn what_is_left_is_never_rounded_up() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(within(now + Duration::from_micros(900), now, ms(50)), None);
        assert_eq!(within(now + Duration::from_micros(1900), now, ms(50)).map(|d| d.as_millis()), Some(1));
        assert_eq!(within(now + ms(90), now, ms(50)), Some(ms(50)));
        assert_eq!(within(now, now + ms(1), ms(50)), None);
    }
}
