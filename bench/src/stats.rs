//! Percentiles of a set of durations. No averages: a mean hides the tail that users feel.

use std::time::Duration;

/// A case's samples, sorted.
#[derive(Debug, Clone)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Sorts them; `None` when there are none.
    pub fn new(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        (!samples.is_empty()).then_some(Self(samples))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The sample below which `percent` of them lie, in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[index].as_secs_f64() * 1e3
    }
}

/// The middle one; of none, 0.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_one_to_hundred() {
        let samples = Samples::new((1..=100).map(Duration::from_millis).collect()).unwrap();
        assert_eq!(samples.percentile_ms(50), 51.0);
        assert_eq!(samples.percentile_ms(99), 100.0);
    }

    #[test]
    fn a_median_is_a_value_that_was_there() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn no_samples_have_no_percentiles() {
        assert!(Samples::new(Vec::new()).is_none());
    }
}
