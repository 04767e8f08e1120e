//! A record as bytes: one JSON object, or one line of text.

use super::{AccessRecord, record::McpCall};
use crate::{
    escape::{is_plain, json_bytes, json_string, text_value, truncated},
    metrics::Label as _,
};
use std::{
    io::Write as _,
    net::IpAddr,
    time::{Duration, SystemTime},
};

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
        let ms = since.subsec_millis();
        out.extend_from_slice(&[digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
    }
}

fn digit(n: u32) -> u8 {
    b'0' + (n % 10) as u8
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

/// A field's name as each form has it, put together when the program is built: one copy writes it.
#[derive(Clone, Copy)]
struct Key {
    json: &'static [u8],
    text: &'static [u8],
}

macro_rules! key {
    ($name:literal) => {
        Key { json: concat!(",\"", $name, "\":").as_bytes(), text: concat!(" ", $name, "=").as_bytes() }
    };
}

/// Appends one record and a line end.
pub(super) fn write(out: &mut Vec<u8>, form: Form, stamp: &mut Stamp, record: &AccessRecord) {
    let mut line = Line { out, form };
    line.begin(stamp, record.started);
    line.bytes(key!("request_id"), record.request_id.as_bytes());
    if record.trace_id != 0 {
        line.key(key!("trace_id"));
        line.quoted(|out| hex(out, record.trace_id));
    }
    if let Some(client) = record.client {
        line.key(key!("client"));
        line.quoted(|out| address(out, client));
    }
    line.optional(key!("subject"), record.subject.as_deref());
    line.optional(key!("listener"), record.listener.as_deref());
    line.optional(key!("route"), record.route.as_deref());
    line.word(key!("method"), record.method.as_str());
    line.optional(key!("path"), record.target.as_ref().map(http::uri::PathAndQuery::path));
    line.number(key!("status"), u64::from(record.status));
    line.number(key!("bytes_in"), record.received());
    line.number(key!("bytes_out"), record.bytes_out);
    line.millis(key!("duration_ms"), record.duration);
    if let Some(first_byte) = record.first_byte {
        line.millis(key!("first_byte_ms"), first_byte);
    }
    line.optional(key!("upstream"), record.upstream.as_deref());
    line.optional(key!("endpoint"), record.endpoint.as_deref());
    if record.attempts > 0 {
        line.number(key!("attempts"), u64::from(record.attempts));
    }
    line.word(key!("outcome"), record.outcome.as_str());
    line.text(key!("reason"), record.reason);
    if let Some(mcp) = &record.mcp {
        line.mcp(mcp);
    }
    if let Some(agent) = &record.user_agent {
        line.user_agent(agent.as_bytes());
    }
    line.end();
}

struct Line<'a> {
    out: &'a mut Vec<u8>,
    form: Form,
}

impl Line<'_> {
    fn begin(&mut self, stamp: &mut Stamp, at: SystemTime) {
        if self.form == Form::Json {
            self.out.extend_from_slice(b"{\"time\":\"");
        }
        stamp.write(self.out, at);
        if self.form == Form::Json {
            self.out.push(b'"');
        }
    }

    fn end(&mut self) {
        self.out.extend_from_slice(if self.form == Form::Json { b"}\n" } else { b"\n" });
    }

    #[inline]
    fn key(&mut self, key: Key) {
        self.out.extend_from_slice(if self.form == Form::Json { key.json } else { key.text });
    }

    /// A value that needs no escaping.
    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.form == Form::Json {
            self.out.push(b'"');
            write(self.out);
            self.out.push(b'"');
        } else {
            write(self.out);
        }
    }

    fn text(&mut self, key: Key, value: &str) {
        if value.is_empty() {
            return;
        }
        self.key(key);
        match self.form {
            Form::Json => json_string(self.out, value),
            Form::Text => text_value(self.out, value),
        }
    }

    /// A word that needs no escaping in any form: of the program's own, or a token (RFC 9110 section 5.6.2), which has neither
    /// quotes nor backslashes.
    fn word(&mut self, key: Key, word: &str) {
        self.key(key);
        self.quoted(|out| out.extend_from_slice(word.as_bytes()));
    }

    /// Bytes that are text, and hardly ever anything but plain ASCII: those need no look for UTF-8.
    fn bytes(&mut self, key: Key, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        if is_plain(value) && !value.contains(&b' ') {
            self.key(key);
            self.quoted(|out| out.extend_from_slice(value));
        } else {
            self.text(key, &String::from_utf8_lossy(value));
        }
    }

    fn optional(&mut self, key: Key, value: Option<&str>) {
        self.text(key, value.unwrap_or_default());
    }

    fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Milliseconds with three digits after the point.
    fn millis(&mut self, key: Key, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.number(key, us / 1000);
        let rest = (us % 1000) as u32;
        self.out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
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
            json_bytes(self.out, value.get(..MAX_USER_AGENT).unwrap_or(value));
        }
    }
}

fn hex(out: &mut Vec<u8>, value: u128) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    for (byte, pair) in value.to_be_bytes().iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0xf)];
    }
    out.extend_from_slice(&digits);
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (n, octet) in v4.octets().into_iter().enumerate() {
                if n > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Writing into a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
