//! The lines that a message shows. An excerpt keeps messages small whatever the file is: no file is held, and a line of
//! megabytes is clipped to what surrounds the place.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// Longest line that is shown whole, in bytes.
const WHOLE: usize = 200;
/// What is shown on each side of the place in a longer one.
const AROUND: usize = 60;

/// Up to three lines around a place.
#[derive(Clone, Debug)]
pub(super) struct Excerpt {
    /// File name; absent if the line is clipped, as columns in it would be wrong.
    name: Option<String>,
    text: String,
    /// From 0.
    first_line: usize,
    /// The place, in `text`.
    pub(super) span: (usize, usize),
}

impl Excerpt {
    /// `text` is the masked file; `start..end` the place, of which the first line is marked.
    pub(super) fn new(name: &str, text: &str, start: usize, end: usize) -> Self {
        let start = floor(text, start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, end.clamp(start, line_end));
        let line = text[..line_start].bytes().filter(|b| *b == b'\n').count();
        if line_end - line_start > WHOLE {
            let from = floor(text, start.saturating_sub(AROUND).max(line_start));
            let to = floor(text, (start + AROUND).min(line_end));
            let span = (start - from, end.min(to) - start);
            return Self { name: None, text: text[from..to].to_owned(), first_line: line, span };
        }
        let before = text[..line_start].trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let short = |from: usize, to: usize| to - from <= WHOLE;
        let adjacent = text[before..line_start].bytes().filter(|b| *b == b'\n').count() == 1;
        let (from, first_line) =
            if adjacent && short(before, line_start) { (before, line - 1) } else { (line_start, line) };
        let next = text[line_end..]
            .strip_prefix('\n')
            .map_or(line_end, |rest| line_end + 1 + rest.find('\n').unwrap_or(rest.len()));
        let to = if short(line_end, next) { next } else { line_end };
        let span = (start - from, end - start);
        Self { name: Some(name.to_owned()), text: text[from..to].to_owned(), first_line, span }
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        let (line, column) = (inner.line() + self.first_line, inner.column());
        let (data, span, lines) = (inner.data(), *inner.span(), inner.line_count());
        Ok(Box::new(match &self.name {
            Some(name) => MietteSpanContents::new_named(name.clone(), data, span, line, column, lines),
            None => MietteSpanContents::new(data, span, line, column, lines),
        }))
    }
}

fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_holds_the_place_and_little_else() {
        let text = "a: 1\nb: 2\nc: 3\nd: 4\n";
        let excerpt = Excerpt::new("f", text, 10, 14);
        assert_eq!(
            (excerpt.text.as_str(), excerpt.first_line, excerpt.span),
            ("b: 2\nc: 3\nd: 4", 1, (5, 4))
        );
        assert_eq!(Excerpt::new("f", text, 0, 100).text, "a: 1\nb: 2");
        assert_eq!(Excerpt::new("f", "", 0, 0).text, "");
    }

    #[test]
    fn a_long_line_is_clipped_between_characters() {
        let text = format!("x\n{}\ny", "é".repeat(50_000));
        for start in [2, 3, 50_001, 100_001] {
            let excerpt = Excerpt::new("f", &text, start, text.len());
            assert!(
                excerpt.text.len() <= 2 * AROUND + 4 && excerpt.span.0 + excerpt.span.1 <= excerpt.text.len()
            );
            assert!(excerpt.read_span(&excerpt.span.into(), 1, 1).is_ok());
        }
    }
}
