//! The operational log: one event, one line, on standard error.
//!
//! Standard output is the access log's. Levels carry meaning: `warn` may wake somebody, `info` tells of a change,
//! `debug` follows connections, `trace` follows requests. Text from outside is escaped, so an event stays one line.

use crate::escape::{json_string, text_value};
use holdfast_config as config;
use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
    time::SystemTime,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Registry as Spans,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

/// Changes the level while the program runs.
#[derive(Clone, Debug)]
pub struct LogControl(reload::Handle<EnvFilter, Spans>);

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no level and no filter.
    #[error(
        "observability.logging.level: `{level}` is not understood ({reason}); use error, warn, info, debug, trace, or \
         a filter per module such as `info,holdfast_upstream=debug`"
    )]
    Level {
        /// What was given.
        level: String,
        /// What the parser says.
        reason: String,
    },
    /// Somebody set up a log before.
    #[error("the log is set up already; it can be set up once per process")]
    Again,
}

impl LogControl {
    /// Uses another level or filter from now on.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        self.0.reload(filter(level)?).map_err(|_| LogError::Again)
    }
}

/// Sets up the log of the process. Once only.
pub fn init_logging(cfg: &config::Logging) -> Result<LogControl, LogError> {
    let terminal = std::io::stderr().is_terminal();
    let (filter, handle) = reload::Layer::new(filter(&cfg.level)?);
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Lines::new(cfg, terminal))
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(|_| LogError::Again)?;
    Ok(LogControl(handle))
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = |reason: String| LogError::Level { level: level.escape_debug().to_string(), reason };
    // A filter reads any word as the name of a module, so a misspelt level would silence the log.
    let single = level.trim();
    let is_word = !single.is_empty() && single.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_word && single.parse::<tracing::level_filters::LevelFilter>().is_err() {
        return Err(wrong("no such level".into()));
    }
    EnvFilter::builder().parse(single).map_err(|error| wrong(error.to_string()))
}

/// Writes events as JSON or text.
struct Lines {
    json: bool,
    colour: bool,
    /// The configured fields, ready to append.
    suffix: String,
}

impl Lines {
    fn new(cfg: &config::Logging, terminal: bool) -> Self {
        let json = match cfg.format {
            config::LogFormat::Json => true,
            config::LogFormat::Text => false,
            config::LogFormat::Auto => !terminal,
        };
        let mut suffix = Fields::new(json);
        for (name, value) in &cfg.additional_fields {
            suffix.text(name, value);
        }
        Self { json, colour: terminal && !json, suffix: suffix.into_text() }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::new(self.json);
        event.record(&mut fields);
        let now = crate::access::rfc3339(SystemTime::now());
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let message = std::mem::take(&mut fields.message);
        let rest = fields.into_text();
        if self.json {
            let mut quoted = Vec::with_capacity(message.len() + 2);
            json_string(&mut quoted, &message);
            let message = String::from_utf8_lossy(&quoted);
            writeln!(
                out,
                r#"{{"time":"{now}","level":"{level}","target":"{target}","message":{message}{rest}{}}}"#,
                self.suffix
            )
        } else {
            let (on, off) = if self.colour { (colour(*level), "\u{1b}[0m") } else { ("", "") };
            let message = one_line(&message);
            writeln!(out, "{now} {on}{level:>5}{off} {target}: {message}{rest}{}", self.suffix)
        }
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// A message for people: not quoted, but still one line.
fn one_line(message: &str) -> String {
    let mut quoted = Vec::with_capacity(message.len() + 2);
    json_string(&mut quoted, message);
    let text = String::from_utf8_lossy(quoted.get(1..quoted.len() - 1).unwrap_or_default());
    text.replace("\\\"", "\"")
}

/// Collects the fields of an event.
struct Fields {
    json: bool,
    message: String,
    out: Vec<u8>,
    scratch: String,
}

impl Fields {
    fn new(json: bool) -> Self {
        Self { json, message: String::new(), out: Vec::new(), scratch: String::new() }
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    fn key(&mut self, name: &str) {
        if self.json {
            self.out.push(b',');
            json_string(&mut self.out, name);
            self.out.push(b':');
        } else {
            self.out.push(b' ');
            text_value(&mut self.out, name);
            self.out.push(b'=');
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        if self.json {
            json_string(&mut self.out, value);
        } else {
            text_value(&mut self.out, value);
        }
    }

    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        self.key(name);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing into a String cannot fail.
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let _ = write!(scratch, "{value:?}");
        self.text(field.name(), &scratch);
        self.scratch = scratch;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.text(field.name(), value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }
}

#[cfg(test)]
#[path = "logging_tests.rs"]
mod tests;
