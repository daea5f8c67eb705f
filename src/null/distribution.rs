//! The distribution of a score where nothing binds, as steps from score to p-value.

use crate::Result;
use serde::{Deserialize, Serialize};

use std::fmt;

use crate::null::peaks::PeakRate;
use crate::null::tail::Tail;
use crate::seq::contig::Strand;

/// Source of a p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Computed from the matrix and the background.
    Exact,
    /// Counted in background sequence.
    Sampled,
    /// Read off a tail that was fitted to the highest scores of background sequence.
    Extrapolated,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Exact => "exact",
            Origin::Sampled => "sampled",
            Origin::Extrapolated => "extrapolated",
        })
    }
}

/// Returns the lowest `f32` that is not below `value`.
pub(crate) fn at_least(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}

/// p-values of extrapolated tails end here: lower ones are not told apart.
const LOWEST: f64 = 1e-30;

/// Ratio of the p-values of two steps of an extrapolated tail.
const TAIL_STEP: f64 = 0.98;

/// The distribution of one output's score in background sequence, on each of the scanned strands.
///
/// The p-value of a score on a strand is the probability of that score or a higher one there. It falls in steps of at most
/// 1 % (0.1 % where it is exact and below 0.05) unless background scores themselves pile up at one value; a score between two steps has
/// the p-value of the lower one, so that a p-value is never too low for want of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Null {
    /// Of the forward strand, or of any.
    forward: Steps,
    /// Of the reverse strand, where it differs.
    reverse: Option<Steps>,
    /// Rate of sites in background, where that is known.
    peaks: Option<PeakRate>,
}

/// The distribution on one strand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    /// Ascending; the first is minus infinity.
    scores: Vec<f32>,
    /// Descending; the first is 1.
    p: Vec<f64>,
    counted: Origin,
    /// The first step that is extrapolated.
    extrapolated: usize,
    bins: Bins,
}

/// Where in a list of steps a score lies, roughly: with a collection of motifs no list stays in the cache, and each probe of a
/// binary search over all of it would go to memory.
#[derive(Debug, Clone, PartialEq)]
struct Bins {
    /// The lowest finite score, and bins to a unit of score.
    low: f32,
    to_a_unit: f32,
    /// For each bin the number of steps in those before it, and one more number for all steps.
    before: Vec<u32>,
}

impl Bins {
    /// Steps a bin, on average.
    const STEPS: usize = 8;

    /// Bins of ascending scores, the first of which is minus infinity.
    fn new(scores: &[f32]) -> Bins {
        let bins = (scores.len() / Bins::STEPS).clamp(1, 1 << 20);
        let (low, high) = (scores.get(1).copied().unwrap_or(0.0), scores.last().copied().unwrap_or(0.0));
        let mut found = Bins { low, to_a_unit: bins as f32 / (high - low), before: vec![0; bins + 1] };
        for &score in scores {
            let bin = found.bin(score);
            found.before[bin + 1] += 1;
        }
        for bin in 0..bins {
            found.before[bin + 1] += found.before[bin];
        }
        found
    }

    /// The bin of a score; that of a higher score is no lower.
    fn bin(&self, score: f32) -> usize {
        // Below the first bin this saturates at 0, and so does NaN.
        let bin = ((score - self.low) * self.to_a_unit) as usize;
        bin.min(self.before.len() - 2)
    }

    /// Of ascending scores, which these bins were made of, how many are not above `score`.
    fn count(&self, scores: &[f32], score: f32) -> usize {
        let bin = self.bin(score);
        let (from, to) = (self.before[bin] as usize, self.before[bin + 1] as usize);
        from + scores[from..to].partition_point(|&at| at <= score)
    }
}

impl Steps {
    fn new(scores: Vec<f32>, p: Vec<f64>, counted: Origin) -> Steps {
        let (extrapolated, bins) = (scores.len(), Bins::new(&scores));
        Steps { scores, p, counted, extrapolated, bins }
    }

    fn step(&self, score: f32) -> usize {
        self.bins.count(&self.scores, score).saturating_sub(1)
    }

    fn origin(&self, step: usize) -> Origin {
        if step < self.extrapolated { self.counted } else { Origin::Extrapolated }
    }

    fn threshold(&self, p: f64) -> Option<f32> {
        self.scores.get(self.p.partition_point(|&at| at > p)).copied()
    }

    fn supported(&self) -> f64 {
        // A computed distribution needs no support: a score with a lower p-value than the last cannot occur.
        if self.counted == Origin::Exact { 0.0 } else { self.p[self.extrapolated - 1] }
    }

    fn lowest(&self) -> f64 {
        *self.p.last().expect("there is a first step")
    }
}

impl Null {
    /// From steps: scores, ascending, and the probability of each or a higher one on any strand.
    pub(crate) fn new(steps: impl IntoIterator<Item = (f32, f64)>, counted: Origin) -> Null {
        let (mut scores, mut p) = (vec![f32::NEG_INFINITY], vec![1.0]);
        for (score, probability) in steps {
            scores.push(score);
            p.push(probability.min(1.0));
        }
        Null { forward: Steps::new(scores, p, counted), reverse: None, peaks: None }
    }

    /// Goes on past the last step with a tail that begins there.
    pub(crate) fn with_tail(mut self, tail: &Tail) -> Null {
        let Steps { scores, p, .. } = &mut self.forward;
        let Some(&base) = p.last() else { return self };
        let mut share = 1.0;
        while share * base > LOWEST {
            share *= TAIL_STEP;
            // Rounded up, so that the probability is no more than that.
            let score = at_least(tail.quantile(share));
            let here = base * tail.survival(score);
            if scores.last().is_some_and(|&last| score > last) && p.last().is_some_and(|&last| here < last) {
                scores.push(score);
                p.push(here);
            }
        }
        self.forward.bins = Bins::new(&self.forward.scores);
        self
    }

    /// Joins the distributions of the two strands.
    pub(crate) fn from_strands(forward: Null, reverse: Null) -> Null {
        let (forward, reverse) = (forward.forward, reverse.forward);
        let reverse = (forward != reverse).then_some(reverse);
        Null { forward, reverse, peaks: None }
    }

    /// Sets the rate of sites in background.
    pub fn set_peaks(&mut self, peaks: PeakRate) {
        self.peaks = Some(peaks);
    }

    /// Expected sites a window of background with the p-value of a step or a lower one; where that is not known, the
    /// p-value.
    pub fn rate_of(&self, step: usize) -> f64 {
        let p = self.p_of(step);
        self.peaks.as_ref().map_or(p, |peaks| peaks.of(p))
    }

    /// True if the strands have different distributions.
    pub fn differs_by_strand(&self) -> bool {
        self.reverse.is_some()
    }

    fn of(&self, strand: Strand) -> &Steps {
        match (strand, &self.reverse) {
            (Strand::Reverse, Some(reverse)) => reverse,
            _ => &self.forward,
        }
    }

    fn each(&self) -> impl Iterator<Item = &Steps> {
        [&self.forward].into_iter().chain(&self.reverse)
    }

    /// The distribution and the step there of a [step](Null::step).
    fn place(&self, step: usize) -> (&Steps, usize) {
        match &self.reverse {
            Some(reverse) if step >= self.forward.p.len() => (reverse, step - self.forward.p.len()),
            _ => (&self.forward, step),
        }
    }

    /// The step that a score is on: the p-value of step `i` is [`Null::p_of`]`(i)`. Those of the reverse strand come after
    /// those of the forward strand.
    pub fn step(&self, score: f32, strand: Strand) -> usize {
        let before = match (strand, &self.reverse) {
            (Strand::Reverse, Some(_)) => self.forward.p.len(),
            _ => 0,
        };
        before + self.of(strand).step(score)
    }

    /// The p-value of a step.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn p_of(&self, step: usize) -> f64 {
        let (steps, step) = self.place(step);
        steps.p[step]
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.each().map(|steps| steps.p.len()).sum()
    }

    /// The p-value of a score on one strand.
    pub fn p(&self, score: f32, strand: Strand) -> f64 {
        let steps = self.of(strand);
        steps.p[steps.step(score)]
    }

    /// Source of the p-value of a step.
    pub fn origin(&self, step: usize) -> Origin {
        let (steps, step) = self.place(step);
        steps.origin(step)
    }

    /// The lowest score whose p-value on a strand is at most `p`; `None` if no score has so low a p-value.
    pub fn threshold(&self, p: f64, strand: Strand) -> Option<f32> {
        self.of(strand).threshold(p)
    }

    /// The lowest p-value that is not extrapolated, on either strand; 0 if p-values are exact.
    pub fn supported(&self) -> f64 {
        self.each().map(Steps::supported).fold(0.0, f64::max)
    }

    /// True if p-values are computed, not sampled.
    pub fn is_exact(&self) -> bool {
        self.each().all(|steps| steps.counted == Origin::Exact)
    }

    /// The lowest p-value of any score.
    pub fn lowest(&self) -> f64 {
        self.each().map(Steps::lowest).fold(1.0, f64::min)
    }

    /// True if all scores of the background are the same, so that p-values say nothing.
    pub fn is_constant(&self) -> bool {
        self.lowest() >= 1.0
    }
}

/// Thins a survival function to steps: of `values`, by ascending score, the first and each that is at most `ratio` times
/// the last one kept; in the end the last. Values of 0 are left out.
pub(crate) fn thin(values: impl IntoIterator<Item = f64>, ratio: f64) -> Vec<(usize, f64)> {
    let mut kept: Vec<(usize, f64)> = Vec::new();
    for (i, value) in values.into_iter().enumerate().take_while(|(_, value)| *value > 0.0) {
        if kept.last().is_none_or(|&(_, last)| value <= last * ratio) {
            kept.push((i, value));
        }
    }
    kept
}

/// The distribution of one output's scores on background sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Scores at which the distribution falls, ascending.
    pub(crate) scores: Vec<f32>,
    /// Scored strands of windows with each score or a higher one; where not all windows were scored in full, those of common
    /// scores as the first windows suggest.
    pub(crate) counts: Vec<u64>,
    /// Scored strands of windows, in all.
    pub(crate) tests: u64,
    /// Tail above the last of the scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tail: Option<Tail>,
    /// The distribution on the reverse strand, if both strands were scored and this is of the forward one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reverse: Option<Box<Distribution>>,
}

impl Distribution {
    /// The null distribution.
    pub fn null(&self) -> Null {
        let p = |count: &u64| *count as f64 / self.tests as f64;
        let steps = self.scores.iter().copied().zip(self.counts.iter().map(p));
        let null = Null::new(steps, Origin::Sampled);
        let null = self.tail.iter().fold(null, Null::with_tail);
        match &self.reverse {
            Some(reverse) => Null::from_strands(null, reverse.null()),
            None => null,
        }
    }

    /// True if the numbers are those of a distribution: for what is read from a file.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sound = self.scores.len() == self.counts.len()
            && !self.scores.is_empty()
            && self.scores.is_sorted_by(|a, b| a < b)
            && self.scores.iter().all(|score| score.is_finite())
            && self.counts.is_sorted_by(|a, b| a >= b)
            && self.counts[0] <= self.tests
            && self.counts.last().is_some_and(|&count| count > 0)
            && self.tail.is_none_or(|tail| tail.is_sound());
        if sound {
            self.reverse.as_ref().map_or(Ok(()), |reverse| reverse.check())
        } else {
            Err("its null distribution is damaged; run bindscan calibrate again".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bins_find_what_a_search_finds(
            mut scores in prop::collection::vec(prop_oneof![-3f32..3.0, -1e-3f32..1e-3, Just(f32::MAX), Just(f32::MIN)], 0..200),
            scores_of in prop::collection::vec(prop_oneof![-4f32..4.0, -2e-3f32..2e-3, any::<f32>()], 50)
        ) {
            scores.push(f32::NEG_INFINITY);
            scores.sort_unstable_by(f32::total_cmp);
            scores.dedup();
            let bins = Bins::new(&scores);
            for &score in scores.iter().chain(&scores_of) {
                prop_assert_eq!(bins.count(&scores, score), scores.partition_point(|&at| at <= score), "{}", score);
            }
        }
    }

    #[test]
    fn a_score_has_the_p_value_of_the_step_at_or_below_it() {
        let null = Null::new([(-1.0, 0.5), (0.5, 0.25), (2.0, 0.01)], Origin::Sampled);
        let below = [-1.0f32, 0.5].map(f32::next_down);
        let cases = [(-5.0, 1.0), (below[0], 1.0), (-1.0, 0.5), (0.5, 0.25), (below[1], 0.5), (9.0, 0.01)];
        for (score, p) in cases {
            assert_eq!(null.p(score, Strand::Forward), p, "{score}");
        }
        assert_eq!(null.threshold(0.3, Strand::Forward), Some(0.5));
        assert_eq!(null.threshold(0.25, Strand::Forward), Some(0.5));
        assert_eq!(null.threshold(1.0, Strand::Forward), Some(f32::NEG_INFINITY));
        assert_eq!(null.threshold(0.001, Strand::Forward), None);
        assert_eq!((null.supported(), null.lowest()), (0.01, 0.01));
    }

    #[test]
    fn each_strand_has_its_own_p_values() {
        let forward = Null::new([(0.0, 0.5), (1.0, 0.01)], Origin::Sampled);
        let reverse = Null::new([(0.0, 0.4), (1.5, 0.02), (2.0, 0.01)], Origin::Sampled);
        let null = Null::from_strands(forward.clone(), reverse);
        assert!(
            null.differs_by_strand() && !Null::from_strands(forward.clone(), forward).differs_by_strand()
        );
        let strands = [Strand::Forward, Strand::Reverse];
        assert_eq!(strands.map(|strand| null.p(1.2, strand)), [0.01, 0.4]);
        assert_eq!(strands.map(|strand| null.threshold(0.01, strand)), [Some(1.0), Some(2.0)]);
        for (score, strand) in [(-1.0, strands[0]), (5.0, strands[0]), (-1.0, strands[1]), (1.7, strands[1])]
        {
            assert_eq!(null.p_of(null.step(score, strand)), null.p(score, strand));
        }
        assert_eq!(null.steps(), 7);
    }

    #[test]
    fn a_tail_goes_on_in_small_steps_and_is_marked() {
        let tail = Tail { from: 2.0, scale: 0.5, shape: -0.1 };
        let null = Null::new([(1.0, 0.1), (2.0, 0.01)], Origin::Sampled).with_tail(&tail);
        assert_eq!(null.origin(null.step(2.0, Strand::Forward)), Origin::Sampled);
        assert_eq!(null.origin(null.step(3.0, Strand::Forward)), Origin::Extrapolated);
        for score in [2.5, 3.0, 4.0] {
            let exact = 0.01 * tail.survival(score);
            assert!(null.p(score, Strand::Forward) >= exact && null.p(score, Strand::Forward) < exact * 1.03);
        }
        assert!(null.lowest() <= 1e-29 && null.lowest() > 0.0);
        for p in [0.01, 0.003, 1e-6, 1e-12] {
            let threshold = null.threshold(p, Strand::Forward).unwrap();
            assert!(
                null.p(threshold, Strand::Forward) <= p && null.p(threshold.next_down(), Strand::Forward) > p
            );
        }
        assert_eq!(null.supported(), 0.01);
    }

    #[test]
    fn thinning_keeps_what_falls() {
        let values = [1.0, 0.999, 0.98, 0.5, 0.499, 0.1, 0.0];
        assert_eq!(thin(values, 0.99), [(0, 1.0), (2, 0.98), (3, 0.5), (5, 0.1)]);
    }
}
