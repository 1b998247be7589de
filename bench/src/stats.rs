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

/// A thing and what it is compared with, measured by turns in small blocks.
///
/// Each block of the thing is compared with the blocks of the other before and after it, so that what the
/// machine does meanwhile weighs on both; of these ratios the median counts, which some disturbed
/// blocks do not move.
#[derive(Debug, Default)]
pub struct Turns {
    other: Vec<f64>,
    thing: Vec<f64>,
}

impl Turns {
    /// Adds a block of the other, by its samples.
    pub fn other(&mut self, block: Vec<Duration>) {
        self.other.push(median_ms(block));
    }

    /// Adds a block of the thing, after one of the other.
    pub fn thing(&mut self, block: Vec<Duration>) {
        self.thing.push(median_ms(block));
    }

    /// Medians of the blocks, in milliseconds: of the other, and of the thing.
    pub fn medians_ms(&self) -> (f64, f64) {
        (median(self.other.clone()), median(self.thing.clone()))
    }

    /// Of each block of the thing: how many times as long it took as those around it.
    pub fn ratios(&self) -> Vec<f64> {
        let around = self.other.windows(2).map(|pair| pair[0].midpoint(pair[1]));
        let both = self.thing.iter().zip(around);
        both.map(|(thing, other)| thing / other).collect()
    }

    /// How many times as long the thing takes.
    pub fn ratio(&self) -> f64 {
        median(self.ratios())
    }
}

fn median_ms(block: Vec<Duration>) -> f64 {
    median(block.iter().map(|time| time.as_secs_f64() * 1e3).collect())
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
    fn what_slows_down_both_is_no_difference() {
        let block = |ms: u64| vec![Duration::from_millis(ms); 3];
        let mut turns = Turns::default();
        for ms in [10, 20, 10, 40, 40] {
            turns.other(block(ms));
            turns.thing(block(ms + ms / 10));
        }
        turns.other(block(40));
        assert!((turns.ratio() - 1.1).abs() < 0.4, "{}", turns.ratio());
        assert_eq!(turns.medians_ms(), (40.0, 22.0));
    }

    #[test]
    fn no_samples_have_no_percentiles() {
        assert!(Samples::new(Vec::new()).is_none());
    }
}
