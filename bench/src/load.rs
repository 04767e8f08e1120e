//! Load: wrk with a fixed script, and what it says.

use crate::Error;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A request that is sent again and again.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: &'static str,
    /// Path.
    pub(crate) path: String,
    /// Headers besides Host.
    pub(crate) headers: Vec<(String, String)>,
    /// Body, or empty.
    pub(crate) body: String,
}

impl Request {
    /// A GET.
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: String::new() }
    }

    fn script(&self) -> Result<String, Error> {
        let mut script = format!("wrk.method = {:?}\nwrk.body = {}\n", self.method, quote(&self.body));
        for (name, value) in &self.headers {
            writeln!(script, "wrk.headers[{name:?}] = {}", quote(value))?;
        }
        Ok(script)
    }
}

/// What a run of the load generator saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Answers.
    pub(crate) requests: u64,
    /// Answers per second.
    pub(crate) per_second: f64,
    /// Median latency in microseconds.
    pub(crate) p50_us: f64,
    /// 99th percentile in microseconds.
    pub(crate) p99_us: f64,
    /// Answers that were not 2xx or 3xx, and broken connections.
    pub(crate) errors: u64,
}

/// Runs wrk: one thread, `connections` connections, `seconds` long.
pub(crate) fn run(
    folder: &Path,
    to: SocketAddr,
    request: &Request,
    connections: u16,
    seconds: u64,
) -> Result<Seen, Error> {
    let script = folder.join("load.lua");
    std::fs::write(&script, request.script()?)?;
    let output = Command::new("wrk")
        .args(["-t1", "--latency", "--timeout", "10s", "-c", &connections.to_string()])
        .args(["-d", &format!("{seconds}s"), "-s"])
        .arg(&script)
        .arg(format!("http://{to}{}", request.path))
        .output()
        .map_err(|e| format!("cannot start wrk: {e}; the Debian package wrk brings it"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("wrk said: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

fn parse(text: &str) -> Option<Seen> {
    let mut seen = Seen::default();
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["50%", value] => seen.p50_us = micros(value)?,
            ["99%", value] => seen.p99_us = micros(value)?,
            [count, "requests", "in", ..] => seen.requests = count.parse().ok()?,
            ["Requests/sec:", value] => seen.per_second = value.parse().ok()?,
            ["Non-2xx", "or", "3xx", "responses:", count] => seen.errors += count.parse::<u64>().ok()?,
            ["Socket", "errors:", rest @ ..] => {
                seen.errors +=
                    rest.iter().filter_map(|w| w.trim_end_matches(',').parse::<u64>().ok()).sum::<u64>();
            }
            _ => {}
        }
    }
    (seen.requests > 0).then_some(seen)
}

fn micros(text: &str) -> Option<f64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..split].parse().ok()?;
    match &text[split..] {
        "us" => Some(value),
        "ms" => Some(value * 1e3),
        "s" => Some(value * 1e6),
        _ => None,
    }
}

/// A Lua long string: nothing inside is an escape.
fn quote(text: &str) -> String {
    format!("[==[{text}]==]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_with_its_errors() {
        let text = "  Latency Distribution\n     50%  763.00us\n     99%    1.50ms\n  1000 requests in 1.00s, 1MB read\n  \
                    Socket errors: connect 0, read 2, write 0, timeout 1\n  Non-2xx or 3xx responses: 4\n\
                    Requests/sec:   999.50\n";
        let seen = parse(text).unwrap();
        assert_eq!((seen.requests, seen.errors), (1000, 7));
        assert!((seen.p99_us - 1500.0).abs() < 1e-6 && (seen.per_second - 999.5).abs() < 1e-6);
    }
}
