//! Rate of sites in background: that of the peaks that suppression leaves among its windows.
//!
//! Windows that overlap a good match score highly together, but suppression leaves one site of them. The number of false
//! sites to expect is therefore not that of windows with such a p-value; it is counted in background that is scanned as a
//! genome is ([`crate::calibrate::peaks`]).

use serde::{Deserialize, Serialize};

use crate::null::distribution::Null;
use crate::null::fdr::TestCounts;
use crate::seq::window::StrandChoice;

/// Highest p-value of a window that can be a site by its q-value: rates are known for this and lower ones.
pub const HIGHEST_P: f64 = 2e-3;

/// Fewest peaks from which a rate is estimated; its error is then about a third. Below the p-value that has so few, rates are
/// extrapolated in proportion to p-values, which may be wrong by a factor of two in the tail of a network: a higher minimum
/// would extrapolate more.
const SUPPORT: u64 = 10;

/// Ratio of the p-values of two steps, about.
const STEP: f64 = 0.8;

/// Ratio of neighbouring p-values that lie together. Scores that few sequences have, such as those of a word, come in
/// groups: the same score has about the same p-value on each strand, as well as samples tell (a word that five windows see
/// has some hundred independent occurrences in 10 Mb, so that its p-values differ by a tenth and more). A rate is that of a
/// whole group.
const TOGETHER: f64 = 0.85;

/// Peaks a window of background, as a function of the p-value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeakRate {
    /// p-values, falling, and the peaks a window that have so low a one.
    steps: Vec<(f64, f64)>,
}

impl PeakRate {
    /// The rate where every strand of a window is counted for itself.
    pub fn of_windows(strands: StrandChoice) -> PeakRate {
        PeakRate { steps: vec![(1.0, strands.count() as f64)] }
    }

    /// The rate by peaks that were counted in background; with too few peaks, that of windows.
    pub fn counted(peaks: &TestCounts, null: &Null, strands: StrandChoice) -> PeakRate {
        let counts = peaks.counts().iter().enumerate().filter(|&(_, &count)| count > 0);
        let by_p = counts.map(|(step, &count)| (null.p_of(step), count));
        let mut by_p: Vec<(f64, u64)> = by_p.filter(|(p, _)| *p > 0.0).collect();
        by_p.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut so_far = 0;
        let mut steps: Vec<(f64, f64)> = Vec::new();
        // Lowest p-value of the group, or of the part of it behind the last step.
        let mut from = by_p.first().map_or(0.0, |first| first.0);
        for (i, &(p, count)) in by_p.iter().enumerate() {
            so_far += count;
            let next = by_p.get(i + 1).map_or(f64::INFINITY, |next| next.0);
            let ends_group = p < next * TOGETHER;
            // Of scores without gaps all p-values are one group.
            if ends_group || (p < next && from <= p * STEP) {
                if so_far >= SUPPORT {
                    steps.push((p, so_far as f64 / peaks.tests as f64));
                }
                from = if ends_group { next } else { p };
            }
        }
        steps.reverse();
        if steps.is_empty() { PeakRate::of_windows(strands) } else { PeakRate { steps } }
    }

    /// Peaks a window that have a p-value of `p` or less. Between steps, and below the last one, peaks are taken to be in
    /// proportion to windows.
    pub fn of(&self, p: f64) -> f64 {
        let share = |&(p, rate): &(f64, f64)| rate / p;
        let behind = self.steps.partition_point(|step| step.0 >= p);
        let share = match (behind.checked_sub(1).map(|i| &self.steps[i]), self.steps.get(behind)) {
            (Some(high), Some(low)) => {
                let from_low = (p / low.0).ln() / (high.0 / low.0).ln();
                share(low) + (share(high) - share(low)) * from_low
            }
            (Some(step), None) | (None, Some(step)) => share(step),
            (None, None) => 1.0,
        };
        share * p
    }

    /// True if the numbers are those of rates: for what is read from a file.
    pub(crate) fn check(&self) -> bool {
        let sound = |&(p, rate): &(f64, f64)| p > 0.0 && p <= 1.0 && rate > 0.0 && rate.is_finite();
        !self.steps.is_empty() && self.steps.iter().all(sound) && self.steps.is_sorted_by(|a, b| a.0 > b.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::distribution::Origin;
    use crate::seq::contig::Strand;

    fn counted() -> TestCounts {
        let mut counts = TestCounts::default();
        counts.tests = 1_000_000;
        counts
    }

    #[test]
    fn strands_with_p_values_that_differ_a_little_are_counted_together() {
        // A word has the same score on both strands, whose p-values were sampled.
        for (forward, reverse) in [(7.2e-5, 8.4e-5), (8.4e-5, 7.2e-5), (7.3e-5, 7.3e-5)] {
            let strand = |p: f64| Null::new([(1.0, 0.5), (2.0, 1.9e-3), (9.0, p)], Origin::Sampled);
            let null = Null::from_strands(strand(forward), strand(reverse));
            let mut peaks = counted();
            for (step, count) in
                [Strand::Forward, Strand::Reverse].map(|strand| (null.step(9.0, strand), 100))
            {
                (0..count).for_each(|_| peaks.add(step));
            }
            for step in [Strand::Forward, Strand::Reverse].map(|strand| null.step(2.0, strand)) {
                (0..1000).for_each(|_| peaks.add(step));
            }
            let rate = PeakRate::counted(&peaks, &null, StrandChoice::Both);
            let (word, all) = (rate.of(forward.max(reverse)), rate.of(1.9e-3));
            assert!((word / 200e-6 - 1.0).abs() < 1e-6, "{forward:e}, {reverse:e}: {word:e}");
            assert!((all / 2200e-6 - 1.0).abs() < 1e-6, "{forward:e}, {reverse:e}: {all:e}");
        }
    }

    #[test]
    fn rates_are_those_counted_and_go_on_in_proportion() {
        let null = Null::new((1..30).map(|i| (i as f32, 0.5f64.powi(i))), Origin::Exact);
        let mut peaks = counted();
        // A peak for every eight windows with such a p-value.
        for step in 9..25 {
            let count = (1_000_000.0 * null.p_of(step) / 2.0 / 8.0).round() as u64;
            (0..count).for_each(|_| peaks.add(step));
        }
        let rate = PeakRate::counted(&peaks, &null, StrandChoice::Both);
        assert!(rate.check());
        for p in [0.5f64.powi(9), 3e-4, 1e-5, 1e-9] {
            assert!((rate.of(p) / (p / 8.0) - 1.0).abs() < 0.2, "{p}: {}", rate.of(p));
        }
        let few = counted();
        assert_eq!(
            PeakRate::counted(&few, &null, StrandChoice::Both),
            PeakRate::of_windows(StrandChoice::Both)
        );
        assert_eq!(PeakRate::of_windows(StrandChoice::Both).of(1e-4), 2e-4);
    }
}
