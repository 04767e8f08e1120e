//! How much of what a program says is logged.

use std::time::{Duration, Instant};

/// Lines at once, and lines per second after that.
const BURST: u32 = 50;
const PER_SECOND: u32 = 10;

/// Lets so many lines through.
#[derive(Debug)]
pub(crate) struct Rate {
    left: f64,
    seen: Option<Instant>,
    suppressed: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Log it; so many before it were not.
    Logged { suppressed: u64 },
    /// Do not.
    Suppressed,
}

impl Rate {
    pub(crate) fn new() -> Self {
        Self { left: f64::from(BURST), seen: None, suppressed: 0 }
    }

    /// One more line.
    pub(crate) fn line(&mut self, now: Instant) -> Line {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        self.seen = Some(now);
        self.left = (self.left + passed.as_secs_f64() * f64::from(PER_SECOND)).min(f64::from(BURST));
        if self.left < 1.0 {
            self.suppressed += 1;
            return Line::Suppressed;
        }
        self.left -= 1.0;
        Line::Logged { suppressed: std::mem::take(&mut self.suppressed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_suppressed_and_counted_and_calm_is_logged_again() {
        let start = Instant::now();
        let mut rate = Rate::new();
        let logged = (0..1000).filter(|_| rate.line(start) != Line::Suppressed).count();
        assert_eq!(logged, BURST as usize);
        let later = rate.line(start + Duration::from_secs(1));
        assert_eq!(later, Line::Logged { suppressed: 1000 - u64::from(BURST) });
        let next = rate.line(start + Duration::from_secs(1));
        assert_eq!(next, Line::Logged { suppressed: 0 });
    }
}
