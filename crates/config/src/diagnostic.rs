//! What is wrong, where, and what to do. Every message has a file, a line and a column; no message shows a secret.

mod excerpt;

use crate::source::{At, Text, line_column};
use excerpt::Excerpt;
use miette::{Diagnostic as Miette, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity as Level};
use std::{collections::HashMap, fmt};

/// Most diagnostics in one report; the rest is counted.
pub const MAX_DIAGNOSTICS: usize = 100;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is legal, and probably not what was meant.
    Warning,
}

/// Where it is. Both numbers start at 1; the column counts characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File or source name.
    pub file: String,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Path of the key, such as `routing.retry.max_delay`; empty for a whole file.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where, if it is in a file.
    pub place: Option<Place>,
    excerpt: Option<Excerpt>,
}

/// All errors of a configuration that was refused, and the warnings found on the way.
#[derive(Clone, Debug)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    left_out: usize,
}

impl Report {
    pub(crate) fn new(diagnostics: Vec<Diagnostic>, left_out: usize) -> Self {
        Self { diagnostics, left_out }
    }

    /// Errors first, then warnings; at most [`MAX_DIAGNOSTICS`].
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The errors alone.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error)
    }

    /// For people, with the line in question. Colour only if asked for: the caller knows whether this is a terminal.
    pub fn render(&self, color: bool) -> String {
        let mut text = render(&self.diagnostics, color);
        if self.left_out > 0 {
            put!(text, "and {} more\n", self.left_out);
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "diagnostics": self.diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
            "left_out": self.left_out,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.errors().count();
        write!(f, "the configuration has {errors} error{}", if errors == 1 { "" } else { "s" })?;
        self.errors().next().map_or(Ok(()), |first| write!(f, ": {first}"))
    }
}
impl std::error::Error for Report {}
impl Miette for Report {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Miette> + 'a>> {
        Some(Box::new(self.diagnostics.iter().map(|d| d as &dyn Miette)))
    }
}

/// Renders diagnostics for people, one after the other.
pub fn render(diagnostics: &[Diagnostic], color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_context_lines(1);
    let mut text = String::new();
    for diagnostic in diagnostics {
        if handler.render_report(&mut text, diagnostic).is_err() {
            put!(text, "{diagnostic}\n");
        }
    }
    text
}

impl Diagnostic {
    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "severity": match self.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "path": self.path,
            "message": self.message,
            "help": self.help,
            "file": self.place.as_ref().map(|p| &p.file),
            "line": self.place.as_ref().map(|p| p.line),
            "column": self.place.as_ref().map(|p| p.column),
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { file, line, column }) = &self.place {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
impl std::error::Error for Diagnostic {}
impl Miette for Diagnostic {
    fn severity(&self) -> Option<Level> {
        Some(match self.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn miette::SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let label = LabeledSpan::new(Some("here".into()), excerpt.span.0, excerpt.span.1);
        Some(Box::new(std::iter::once(label)))
    }
}

/// A finding while loading goes on; places are resolved at the end, when it is known which text is secret.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) severity: Severity,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) at: Option<At>,
    pub(crate) also: Vec<(At, String)>,
    /// Found before types were known: show the shape of the line, no values.
    pub(crate) blind: bool,
    /// The value that was refused. It joins the message unless its place turns out to be secret.
    pub(crate) found: Option<String>,
}

impl Draft {
    pub(crate) fn error(path: impl Into<String>, at: Option<At>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            message: message.into(),
            help: None,
            at,
            also: Vec::new(),
            blind: false,
            found: None,
        }
    }
    pub(crate) fn warning(path: impl Into<String>, at: Option<At>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, at, message) }
    }
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    pub(crate) fn also(mut self, at: Option<At>, label: impl Into<String>) -> Self {
        self.also.extend(at.map(|at| (at, label.into())));
        self
    }
}

/// Resolves places and hides the `secrets` ranges. Errors come first, in the order of their places; beyond
/// [`MAX_DIAGNOSTICS`] they are only counted.
pub(crate) fn finish(mut drafts: Vec<Draft>, texts: &[Text], secrets: &[At]) -> (Vec<Diagnostic>, usize) {
    drafts.sort_by_key(|d| (d.severity == Severity::Warning, d.at.map(|at| (at.source, at.start))));
    let left_out = drafts.len().saturating_sub(MAX_DIAGNOSTICS);
    drafts.truncate(MAX_DIAGNOSTICS);
    let mut shown: HashMap<(u16, bool), String> = HashMap::new();
    let mut done = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let excerpt = draft.at.and_then(|at| {
            let text = texts.get(usize::from(at.source))?;
            let masked = shown.entry((at.source, draft.blind)).or_insert_with(|| {
                let secrets = secrets.iter().filter(|s| s.source == at.source);
                if draft.blind { mask_values(&text.text) } else { mask(&text.text, secrets) }
            });
            Some(Excerpt::new(&text.name, masked, at.start as usize, at.end as usize))
        });
        let secret = draft.at.is_some_and(|at| secrets.iter().any(|secret| secret.holds(at)));
        done.push(draft.finish(texts, excerpt, secret));
    }
    (done, left_out)
}

impl Draft {
    fn finish(self, texts: &[Text], excerpt: Option<Excerpt>, secret: bool) -> Diagnostic {
        let place = |at: At| {
            let text = texts.get(usize::from(at.source))?;
            let (line, column) = line_column(&text.text, at.start as usize);
            Some(Place { file: text.name.clone(), line, column })
        };
        let Self { severity, path, mut message, found, mut help, .. } = self;
        for (name, Place { file, line, column }) in
            self.also.into_iter().filter_map(|(at, name)| Some((name, place(at)?)))
        {
            let other = format!("{name}: {file}:{line}:{column}");
            help = Some(help.map_or_else(|| other.clone(), |help| format!("{help}\n{other}")));
        }
        if let Some(found) = found.filter(|_| !secret) {
            put!(message, ", found `{found}`");
        }
        Diagnostic { severity, path, message, help, place: self.at.and_then(place), excerpt }
    }
}

/// The text with every secret range as asterisks, same length.
fn mask<'a>(text: &str, secrets: impl Iterator<Item = &'a At>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        let (start, end) = (secret.start as usize, (secret.end as usize).min(bytes.len()));
        for byte in bytes.get_mut(start..end).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Keys and punctuation stay, the rest of each line becomes asterisks.
fn mask_values(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let is_key = |c: char| c.is_ascii_alphanumeric() || "_- \t{".contains(c);
        let key = line.find(':').filter(|at| line[..*at].chars().all(is_key)).unwrap_or(0);
        masked.push_str(&line[..key]);
        for c in line[key..].chars() {
            if !c.is_whitespace() && !":[]{},'\"".contains(c) {
                masked.extend(std::iter::repeat_n('*', c.len_utf8()));
            } else {
                masked.push(c);
            }
        }
    }
    masked
}
