//! Counts of scores in bins that widen with their range.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Bins at most.
const BINS: usize = 1024;

/// log2 of the finest bin's width.
const FINEST: i32 = -30;

/// Rank of a bin at most, in either direction.
const FURTHEST: f64 = (1u64 << 40) as f64;

/// A histogram of scores whose range is not known beforehand.
///
/// Bins are the multiples of a width 2^e, with the smallest e (-30 at least) for which 1,024 of them cover all scores
/// seen. The result does not depend on the order of the scores, nor on how they were parted between histograms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    exponent: i32,
    /// Rank of the first bin.
    first: i64,
    counts: VecDeque<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { exponent: FINEST, first: 0, counts: VecDeque::new() }
    }
}

impl Histogram {
    /// Counts `score` as often as `weight` says. What is not finite is not counted.
    pub fn add(&mut self, score: f32, weight: u64) {
        if !score.is_finite() || weight == 0 {
            return;
        }
        let mut rank = self.rank(score);
        while rank.abs() >= FURTHEST {
            self.coarsen();
            rank = self.rank(score);
        }
        let mut rank = rank as i64;
        while !self.has_room(rank, rank) {
            self.coarsen();
            rank >>= 1;
        }
        *self.at(rank) += weight;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        let (Some(first), Some(last)) = (other.counts.front(), other.counts.back()) else { return };
        debug_assert!(*first > 0 && *last > 0);
        while self.exponent < other.exponent {
            self.coarsen();
        }
        loop {
            let shift = self.exponent - other.exponent;
            if self.has_room(other.first >> shift, other.last() >> shift) {
                break;
            }
            self.coarsen();
        }
        let shift = self.exponent - other.exponent;
        for (rank, &count) in (other.first..).zip(&other.counts) {
            if count > 0 {
                *self.at(rank >> shift) += count;
            }
        }
    }

    /// Scores counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Lower end, upper end and count of each bin, from the first to the last that is not empty.
    pub fn bins(&self) -> impl ExactSizeIterator<Item = (f64, f64, u64)> + DoubleEndedIterator {
        let width = f64::from(self.exponent).exp2();
        self.counts.iter().enumerate().map(move |(i, &count)| {
            let low = (self.first + i as i64) as f64 * width;
            (low, low + width, count)
        })
    }

    /// As [`Histogram::bins`] of several histograms, with bins of one width: the smallest for which `most` bins (2 at
    /// least) cover all of them.
    pub fn aligned_bins(histograms: &[&Histogram], most: usize) -> Vec<Vec<(f64, f64, u64)>> {
        let mut all = Histogram::default();
        histograms.iter().for_each(|histogram| all.merge(histogram));
        while all.counts.len() > most.max(2) {
            all.coarsen();
        }
        let aligned = |histogram: &&Histogram| {
            let mut histogram = (*histogram).clone();
            while histogram.exponent < all.exponent {
                histogram.coarsen();
            }
            histogram.bins().collect()
        };
        histograms.iter().map(aligned).collect()
    }

    fn rank(&self, score: f32) -> f64 {
        // 2^-e by its bits: this is asked of every window that is sampled.
        let scale = f64::from_bits(((1023 - self.exponent) as u64) << 52);
        (f64::from(score) * scale).floor()
    }

    fn last(&self) -> i64 {
        self.first + self.counts.len() as i64 - 1
    }

    /// True if bins `from` to `to`, both included, and those there are do not exceed the limit.
    fn has_room(&self, from: i64, to: i64) -> bool {
        let (from, to) =
            if self.counts.is_empty() { (from, to) } else { (from.min(self.first), to.max(self.last())) };
        to - from < BINS as i64
    }

    /// The count of a bin for which there is room.
    fn at(&mut self, rank: i64) -> &mut u64 {
        if self.counts.is_empty() {
            self.first = rank;
        }
        while rank < self.first {
            self.counts.push_front(0);
            self.first -= 1;
        }
        let place = (rank - self.first) as usize;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        &mut self.counts[place]
    }

    /// Joins bins two by two.
    fn coarsen(&mut self) {
        let old = std::mem::take(&mut self.counts);
        let first = self.first;
        self.exponent += 1;
        for (rank, count) in (first..).zip(old) {
            *self.at(rank >> 1) += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(scores: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        scores.iter().for_each(|&score| histogram.add(score, 1));
        histogram
    }

    #[test]
    fn nothing_is_lost_at_the_ends_of_what_f32_holds() {
        let scores = [f32::MAX, f32::MIN, 0.0, -0.0, f32::MIN_POSITIVE, 1.0, f32::NAN, f32::INFINITY];
        assert_eq!(of(&scores).total(), 6);
        assert_eq!(of(&[]).bins().len(), 0);
        assert_eq!(of(&[f32::MAX]).bins().len(), 1);
    }

    proptest! {
        #[test]
        fn each_score_is_in_its_bin_however_they_came(
            scores in prop::collection::vec(-2000f32..3000.0, 1..300), parts in 1usize..5, narrow in any::<bool>()
        ) {
            let scores: Vec<f32> = scores.into_iter().map(|x| if narrow { x / 1e5 } else { x }).collect();
            let whole = of(&scores);
            prop_assert!(whole.bins().len() <= BINS);
            for (low, high, count) in whole.bins() {
                let inside = scores.iter().filter(|&&x| (low..high).contains(&f64::from(x))).count();
                prop_assert_eq!(inside as u64, count);
            }
            let mut backwards = scores.clone();
            backwards.reverse();
            prop_assert_eq!(&of(&backwards), &whole);
            let mut merged = Histogram::default();
            for part in backwards.chunks(scores.len().div_ceil(parts)) {
                merged.merge(&of(part));
            }
            prop_assert_eq!(&merged, &whole);
            let aligned = Histogram::aligned_bins(&[&whole, &of(&scores[..1])], 40);
            prop_assert_eq!(aligned[0].iter().map(|bin| bin.2).sum::<u64>(), scores.len() as u64);
            prop_assert!(aligned[0].len() <= 40 && aligned[0].iter().any(|bin| bin.0 == aligned[1][0].0));
        }
    }
}
