//! A record as bytes: one JSON object, or one line of text.

use super::{AccessRecord, record::McpCall};
use crate::{
    digits::{digit, push_address, three, write_hex},
    escape::{is_plain, json_bytes, json_string, text_value, truncated},
    metrics::Label as _,
};
use std::time::{Duration, SystemTime};

/// Bytes of a `User-Agent` that are written.
const MAX_USER_AGENT: usize = 200;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
}

/// Writes `2026-11-21T04:05:06.789Z`; the part up to the second is kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    text: [u8; 20],
}

impl Stamp {
    pub(super) fn write(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.text = civil(since.as_secs());
        }
        out.extend_from_slice(&self.text);
        let [a, b, c] = three(since.subsec_millis());
        out.extend_from_slice(&[a, b, c, b'Z']);
    }
}

/// `2026-11-21T04:05:06.` in the proleptic Gregorian calendar, by counting days from 1 March of year 0: leap days are
/// then the last of a year. Years after 9999 show their last four digits.
fn civil(seconds: u64) -> [u8; 20] {
    let (days, second) = (seconds / 86_400 + 719_468, (seconds % 86_400) as u32);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    let year = (year_of_era + era * 400 + u64::from(month <= 2)) as u32;
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    let d = digit;
    [
        d(year / 1000),
        d(year / 100),
        d(year / 10),
        d(year),
        b'-',
        d(month / 10),
        d(month),
        b'-',
        d(day / 10),
        d(day),
        b'T',
        d(h / 10),
        d(h),
        b':',
        d(m / 10),
        d(m),
        b':',
        d(s / 10),
        d(s),
        b'.',
    ]
}

/// A field's name, in JSON and in text.
type Key = (&'static [u8], &'static [u8]);

/// A [`Key`] that is put together when the program is built.
macro_rules! key {
    ($name:literal) => {
        (concat!(",\"", $name, "\":").as_bytes(), concat!(" ", $name, "=").as_bytes())
    };
}

/// Appends one record and a line end.
pub(super) fn write(out: &mut Vec<u8>, form: Form, stamp: &mut Stamp, record: &AccessRecord) {
    match form {
        Form::Json => Line::<true>(out).record(stamp, record),
        Form::Text => Line::<false>(out).record(stamp, record),
    }
}

/// A line of one form. The form is a constant and what is short is inlined, so a key is a few stores, not a look at the form and a
/// call that copies ten bytes.
struct Line<'a, const JSON: bool>(&'a mut Vec<u8>);

#[allow(
    clippy::inline_always,
    reason = "the compiler shares these between 20 callers, each with its own constant"
)]
impl<const JSON: bool> Line<'_, JSON> {
    fn record(mut self, stamp: &mut Stamp, record: &AccessRecord) {
        self.begin(stamp, record.started);
        self.bytes(key!("request_id"), record.request_id.as_bytes());
        if record.trace_id != 0 {
            let mut digits = [0; 32];
            write_hex(&record.trace_id.to_be_bytes(), &mut digits);
            self.quoted(key!("trace_id"), |out| out.extend_from_slice(&digits));
        }
        if let Some(client) = record.client {
            self.quoted(key!("client"), |out| push_address(out, client));
        }
        self.optional(key!("subject"), record.subject.as_deref());
        self.optional(key!("listener"), record.listener.as_deref());
        self.optional(key!("route"), record.route.as_deref());
        // A token (RFC 9110 section 5.6.2) has neither quotes nor backslashes.
        self.word(key!("method"), record.method.as_str());
        self.optional(key!("path"), record.target.as_ref().map(http::uri::PathAndQuery::path));
        self.number(key!("status"), u64::from(record.status));
        self.number(key!("bytes_in"), record.received());
        self.number(key!("bytes_out"), record.bytes_out);
        self.millis(key!("duration_ms"), record.duration);
        if let Some(first_byte) = record.first_byte {
            self.millis(key!("first_byte_ms"), first_byte);
        }
        self.optional(key!("upstream"), record.upstream.as_deref());
        self.optional(key!("endpoint"), record.endpoint.as_deref());
        if record.attempts > 0 {
            self.number(key!("attempts"), u64::from(record.attempts));
        }
        self.word(key!("outcome"), record.outcome.as_str());
        self.text(key!("reason"), record.reason);
        if let Some(mcp) = &record.mcp {
            self.mcp(mcp);
        }
        if let Some(agent) = &record.user_agent {
            self.user_agent(agent.as_bytes());
        }
        self.0.extend_from_slice(if JSON { b"}\n" } else { b"\n" });
    }

    fn begin(&mut self, stamp: &mut Stamp, at: SystemTime) {
        if JSON {
            self.0.extend_from_slice(b"{\"time\":\"");
        }
        stamp.write(self.0, at);
        if JSON {
            self.0.push(b'"');
        }
    }

    #[inline(always)]
    fn key(&mut self, (json, text): Key) {
        self.0.extend_from_slice(if JSON { json } else { text });
    }

    /// A value that needs no escaping.
    #[inline(always)]
    fn quoted(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        if JSON {
            self.0.push(b'"');
        }
        write(self.0);
        if JSON {
            self.0.push(b'"');
        }
    }

    /// Text from anywhere; none is not written.
    #[inline(always)]
    fn text(&mut self, key: Key, value: &str) {
        if value.is_empty() {
            return;
        }
        self.key(key);
        if JSON {
            json_string(self.0, value);
        } else {
            text_value(self.0, value);
        }
    }

    /// A word that needs no escaping in any form.
    #[inline(always)]
    fn word(&mut self, key: Key, word: &str) {
        self.quoted(key, |out| out.extend_from_slice(word.as_bytes()));
    }

    /// Bytes that are text, and hardly ever anything but plain ASCII: those need no look for UTF-8.
    #[inline(always)]
    fn bytes(&mut self, key: Key, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        if is_plain(value) && !value.contains(&b' ') {
            self.quoted(key, |out| out.extend_from_slice(value));
        } else {
            self.text(key, &String::from_utf8_lossy(value));
        }
    }

    #[inline(always)]
    fn optional(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    #[inline(always)]
    fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Milliseconds with three digits after the point.
    #[inline(always)]
    fn millis(&mut self, key: Key, duration: Duration) {
        let whole =
            duration.as_secs().saturating_mul(1000).saturating_add(u64::from(duration.subsec_millis()));
        self.number(key, whole);
        let [a, b, c] = three(duration.subsec_micros() % 1000);
        self.0.extend_from_slice(&[b'.', a, b, c]);
    }

    fn mcp(&mut self, call: &McpCall) {
        self.text(key!("mcp_method"), call.method.as_str());
        self.text(key!("mcp_era"), call.era);
        self.text(key!("mcp_name"), call.name.as_str());
    }

    fn user_agent(&mut self, value: &[u8]) {
        if let Ok(text) = std::str::from_utf8(value) {
            self.text(key!("user_agent"), truncated(text, MAX_USER_AGENT).0);
        } else {
            self.key(key!("user_agent"));
            json_bytes(self.0, value.get(..MAX_USER_AGENT).unwrap_or(value));
        }
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
