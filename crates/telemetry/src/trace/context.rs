//! W3C Trace Context (Recommendation, level 1): read, continue, write.

use crate::digits::write_hex;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A vendor should pass on at least this much of `tracestate` (section 3.3.1.5); what is longer is dropped whole.
pub const MAX_TRACESTATE_BYTES: usize = 512;
/// Most list members of `tracestate` (section 3.3.1.1).
pub const MAX_TRACESTATE_MEMBERS: usize = 32;

/// Bytes of `traceparent` (section 3.2).
pub const TRACEPARENT_BYTES: usize = 55;
const SAMPLED: u8 = 1;

/// `baggage` (W3C Baggage).
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// What a platform must pass on of it (W3C Baggage, section 3.3.2); what is longer is dropped whole.
pub const MAX_BAGGAGE_BYTES: usize = 8192;
/// Most list members of it, by the same rule.
pub const MAX_BAGGAGE_MEMBERS: usize = 64;

/// Place of a request in a distributed trace. `Copy`, 33 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    parent: Option<[u8; 8]>,
    span: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// A new trace with one span, not sampled: who records no spans of its own does not ask others to. Where spans are recorded, the
    /// [`super::Tracer`] decides.
    pub fn generate(rng: &mut fastrand::Rng) -> Self {
        Self { trace: nonzero(rng), parent: None, span: nonzero(rng), flags: 0 }
    }

    /// Continues the trace of an incoming `traceparent`: same trace, the caller's span as parent, a new span.
    ///
    /// `None` for anything the recommendation calls invalid (section 3.2.2): wrong length, upper-case digits, version `ff`, an
    /// all-zero id. A version above `00` is read by its first four fields (section 4).
    pub fn parse(value: &[u8], rng: &mut fastrand::Rng) -> Option<Self> {
        let exact = value.len() == TRACEPARENT_BYTES;
        let longer = value.len() > TRACEPARENT_BYTES && value[TRACEPARENT_BYTES] == b'-';
        if !(exact || longer) || value[2] != b'-' || value[35] != b'-' || value[52] != b'-' {
            return None;
        }
        let [version] = read_hex::<1>(&value[..2])?;
        if version == 0xff || (version == 0 && !exact) {
            return None;
        }
        let trace = read_hex::<16>(&value[3..35])?;
        let parent = read_hex::<8>(&value[36..52])?;
        let [flags] = read_hex::<1>(&value[53..55])?;
        if trace == [0; 16] || parent == [0; 8] {
            return None;
        }
        Some(Self { trace, parent: Some(parent), span: nonzero(rng), flags: flags & SAMPLED })
    }

    /// The context of a request: continued if `traceparent` is there once and valid, else new.
    pub fn of(headers: &HeaderMap, rng: &mut fastrand::Rng) -> Self {
        let mut values = headers.get_all(TRACEPARENT).iter();
        Self::continued(values.next().filter(|_| values.next().is_none()), rng)
    }

    /// Continues the only `traceparent` of a request; without one, or if it is invalid, the trace is new.
    pub fn continued(only: Option<&HeaderValue>, rng: &mut fastrand::Rng) -> Self {
        only.and_then(|value| Self::parse(value.as_bytes(), rng)).unwrap_or_else(|| Self::generate(rng))
    }

    /// A child span of this one: what an attempt of its own carries.
    #[must_use]
    pub fn child(&self, rng: &mut fastrand::Rng) -> Self {
        Self { parent: Some(self.span), span: nonzero(rng), ..*self }
    }

    /// Whether the trace is recorded: by the caller's word, or for a new trace by ours.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same with this decision.
    #[must_use]
    pub fn sampled(self, yes: bool) -> Self {
        Self { flags: if yes { SAMPLED } else { 0 }, ..self }
    }

    /// The random part of the trace id (Trace Context level 2, "Random Trace ID Flag": its last seven bytes). Decisions by it agree
    /// wherever they are made.
    pub fn chance(&self) -> u64 {
        self.trace.iter().skip(9).fold(0, |chance, byte| (chance << 8) | u64::from(*byte))
    }

    /// The span before this one.
    pub fn parent_id(&self) -> Option<[u8; 8]> {
        self.parent
    }

    /// Whether the trace came from the caller.
    pub fn is_continued(&self) -> bool {
        self.parent.is_some()
    }

    /// The trace id as bytes.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace
    }

    /// The span id as bytes.
    pub fn span_id(&self) -> [u8; 8] {
        self.span
    }

    /// `traceparent` to send on, with this span as the parent.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.wire()).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }

    /// `traceparent` as it is sent on.
    pub fn wire(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut out = [b'-'; TRACEPARENT_BYTES];
        write_hex(&[0], &mut out[..2]);
        write_hex(&self.trace, &mut out[3..35]);
        write_hex(&self.span, &mut out[36..52]);
        write_hex(&[self.flags], &mut out[53..55]);
        out
    }

    /// Makes the headers sent on carry this span: sets `traceparent`, and removes a `tracestate` that belongs to no valid
    /// `traceparent` (section 3.3) or exceeds the limits.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let has_state = headers.contains_key(TRACESTATE);
        self.apply_value(headers, self.header_value(), has_state);
    }

    /// As [`TraceContext::apply`], for a caller that has made the `value` of `traceparent` and has seen whether there is a
    /// `tracestate`.
    pub fn apply_value(&self, headers: &mut HeaderMap, value: HeaderValue, has_state: bool) {
        headers.insert(TRACEPARENT, value);
        if has_state && !(self.is_continued() && tracestate_fits(headers)) {
            headers.remove(TRACESTATE);
        }
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({})", std::str::from_utf8(&self.wire()).unwrap_or_default())
    }
}

/// `tracestate` as a header, if it may be passed on.
pub fn tracestate_value(text: &str) -> Option<HeaderValue> {
    list_value(text, MAX_TRACESTATE_BYTES, MAX_TRACESTATE_MEMBERS)
}

/// `baggage` as a header, if it may be passed on.
pub fn baggage_value(text: &str) -> Option<HeaderValue> {
    list_value(text, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS)
}

fn list_value(text: &str, bytes_max: usize, members_max: usize) -> Option<HeaderValue> {
    let fits = !text.is_empty() && text.len() <= bytes_max && text.split(',').count() <= members_max;
    // Neither list has anything but ASCII in it.
    let legal = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
    (fits && legal).then(|| HeaderValue::from_str(text).ok()).flatten()
}

fn tracestate_fits(headers: &HeaderMap) -> bool {
    let (mut bytes, mut members) = (0, 0);
    for value in headers.get_all(TRACESTATE) {
        bytes += value.len() + 1;
        members += value.as_bytes().split(|byte| *byte == b',').count();
    }
    bytes <= MAX_TRACESTATE_BYTES + 1 && members <= MAX_TRACESTATE_MEMBERS
}

fn nonzero<const N: usize>(rng: &mut fastrand::Rng) -> [u8; N] {
    let mut id = [0; N];
    rng.fill(&mut id);
    // All zeroes means "invalid" on the wire; one bit is enough to leave it.
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

fn read_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(3)
    }

    #[test]
    fn a_valid_parent_is_continued_with_a_new_span() {
        let context = TraceContext::parse(VALID.as_bytes(), &mut rng()).expect("valid");
        let sent = context.header_value();
        let sent = sent.to_str().expect("ascii");
        assert_eq!(&sent[..36], &VALID[..36]);
        assert_ne!(&sent[36..52], &VALID[36..52], "the span is ours");
        assert!(context.is_sampled() && context.is_continued());
        let child = context.child(&mut rng());
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.span_id(), [0; 8]);
    }

    #[test]
    fn invalid_parents_start_a_new_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        let upper = VALID.to_uppercase();
        let long = format!("{VALID}-extra");
        let ff = VALID.replacen("00", "ff", 1);
        for text in ["", "00", &VALID[..54], &zero_trace, &zero_span, &upper, &long, &ff] {
            assert!(TraceContext::parse(text.as_bytes(), &mut rng()).is_none(), "{text}");
        }
        let future = format!("{}-more", VALID.replacen("00", "cc", 1));
        assert!(TraceContext::parse(future.as_bytes(), &mut rng()).is_some(), "later versions are read");
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(!TraceContext::of(&headers, &mut rng()).is_continued());
    }

    #[test]
    fn tracestate_passes_only_with_its_parent_and_within_limits() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(VALID));
        headers.insert(TRACESTATE, HeaderValue::from_static("a=1,b=2"));
        let continued = TraceContext::of(&headers, &mut rng());
        let mut kept = headers.clone();
        continued.apply(&mut kept);
        assert_eq!(kept.get(TRACESTATE).map(HeaderValue::as_bytes), Some(&b"a=1,b=2"[..]));
        TraceContext::generate(&mut rng()).apply(&mut headers);
        assert!(!headers.contains_key(TRACESTATE));
        let many = vec!["k=v"; MAX_TRACESTATE_MEMBERS + 1].join(",");
        kept.insert(TRACESTATE, HeaderValue::from_str(&many).expect("ascii"));
        continued.apply(&mut kept);
        assert!(!kept.contains_key(TRACESTATE));
    }

    #[test]
    fn lists_pass_whole_or_not_at_all() {
        assert_eq!(tracestate_value("a=1,b=2").expect("legal"), "a=1,b=2");
        assert_eq!(baggage_value("user=alice;ttl=1, b=%20").expect("legal"), "user=alice;ttl=1, b=%20");
        let members = |count: usize| vec!["k=v"; count].join(",");
        assert!(tracestate_value(&members(MAX_TRACESTATE_MEMBERS)).is_some());
        assert!(tracestate_value(&members(MAX_TRACESTATE_MEMBERS + 1)).is_none());
        assert!(baggage_value(&members(MAX_BAGGAGE_MEMBERS + 1)).is_none());
        assert!(tracestate_value(&"x".repeat(MAX_TRACESTATE_BYTES + 1)).is_none());
        for text in ["", "a=\r\nx: y", "a=\u{e4}", "a=\0"] {
            assert!(baggage_value(text).is_none() && tracestate_value(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics_and_what_is_written_is_read(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut rng = rng();
            let _ = TraceContext::parse(&value, &mut rng);
            let made = TraceContext::generate(&mut rng);
            let read = TraceContext::parse(&made.wire(), &mut rng).expect("own value");
            prop_assert_eq!(read.trace_id(), made.trace_id());
            prop_assert_eq!(read.parent, Some(made.span_id()));
        }
    }
}
