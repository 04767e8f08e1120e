//! What is under way, counted in a gauge.

use super::Gauge;

/// One more in a gauge, for as long as it lives.
#[must_use]
#[derive(Debug)]
pub struct UnderWay(Gauge);

impl UnderWay {
    /// Counts one more from now on.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_counts_what_lives() {
        let gauge = Gauge::default();
        let first = UnderWay::new(&gauge);
        let second = UnderWay::new(&gauge);
        assert_eq!(gauge.get(), 2);
        drop(first);
        assert_eq!(gauge.get(), 1);
        drop(second);
        assert_eq!(gauge.get(), 0);
    }
}
