//! Scores of windows, and the hits among them.

use std::ops::Range;

use crate::Result;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::WindowPlan;

/// Scores of the windows of one chunk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Contig position of the first window's first base.
    pub start: u64,
    /// Bases between window starts.
    pub stride: usize,
    /// Windows scored.
    pub windows: usize,
    /// Model outputs.
    pub outputs: usize,
    /// `forward[output * windows + window]`; empty if that strand is not scored.
    pub forward: Vec<f32>,
    /// As `forward`, for the reverse complement of each window; entry i is the window with start i here too.
    pub reverse: Vec<f32>,
}

impl Scores {
    /// Sets the shape for the windows of `chunk` under `plan`, all scores 0; keeps the allocations.
    pub fn reset(&mut self, chunk: &Chunk, plan: &WindowPlan, outputs: usize) {
        let (start, windows) = chunk.windows(plan);
        (self.start, self.windows, self.stride, self.outputs) = (start, windows, plan.stride, outputs);
        for (strand, wanted) in
            [(&mut self.forward, plan.strands.forward()), (&mut self.reverse, plan.strands.reverse())]
        {
            strand.clear();
            strand.resize(if wanted { outputs * windows } else { 0 }, 0.0);
        }
    }
}

/// Strands of a window that can be hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HitStrands {
    /// The better one of those that reach their threshold.
    #[default]
    Better,
    /// Each that reaches its threshold, as in MEME's FIMO.
    Each,
}

/// Rule by which windows are hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HitRule {
    /// Lowest score of a hit on the forward and on the reverse strand.
    pub thresholds: [f32; 2],
    /// Strands of a window that can be hits.
    pub strands: HitStrands,
}

/// A window that reached the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Contig position of the window's first base, 0-based.
    pub start: u64,
    /// Rank of the target (a model's output) that scored it.
    pub target: usize,
    /// Score on the strand.
    pub score: f32,
    /// The strand: the better one (forward where both scores are equal), unless [each](HitStrands::Each) is a hit of its
    /// own.
    pub strand: Strand,
}

/// The better of two strands' scores; the forward one where they are equal.
pub fn better_strand(forward: f32, reverse: f32) -> (f32, Strand) {
    if reverse > forward { (reverse, Strand::Reverse) } else { (forward, Strand::Forward) }
}

/// Returns the better of the scanned strands that reach their thresholds, forward and reverse; the forward one where the
/// scores are equal.
pub fn choose(forward: Option<f32>, reverse: Option<f32>, thresholds: [f32; 2]) -> Option<(f32, Strand)> {
    let forward = forward.filter(|&score| score >= thresholds[0]);
    let reverse = reverse.filter(|&score| score >= thresholds[1]);
    match (forward, reverse) {
        (Some(forward), Some(reverse)) => Some(better_strand(forward, reverse)),
        (Some(score), None) => Some((score, Strand::Forward)),
        (None, Some(score)) => Some((score, Strand::Reverse)),
        (None, None) => None,
    }
}

/// Appends the hits of one window, whose scores on the scanned strands are these, with the forward one first.
pub(crate) fn push_hits(
    (start, target): (u64, usize),
    [forward, reverse]: [Option<f32>; 2],
    HitRule { thresholds, strands }: HitRule,
    hits: &mut Vec<Hit>,
) {
    let mut push = |(score, strand)| hits.push(Hit { start, target, score, strand });
    match strands {
        HitStrands::Better => choose(forward, reverse, thresholds).into_iter().for_each(push),
        HitStrands::Each => {
            choose(forward, None, thresholds).into_iter().for_each(&mut push);
            choose(None, reverse, thresholds).into_iter().for_each(&mut push);
        }
    }
}

/// Appends those windows of `scores` (one output of it), of the numbers in `kept`, that are hits by `rule`, by start and strand; [`Hit::target`] is the output.
///
/// # Errors
/// The start of a window whose score is NaN.
pub fn collect(
    scores: &Scores,
    output: usize,
    kept: &[Range<usize>],
    rule: HitRule,
    hits: &mut Vec<Hit>,
) -> Result<(), u64> {
    let row = |strand: &'_ [f32]| -> Range<usize> {
        if strand.is_empty() { 0..0 } else { output * scores.windows..(output + 1) * scores.windows }
    };
    let forward = &scores.forward[row(&scores.forward)];
    let reverse = &scores.reverse[row(&scores.reverse)];
    let blocks = |range: &Range<usize>| {
        let end = range.end;
        range.clone().step_by(BLOCK).map(move |from| from..(from + BLOCK).min(end))
    };
    for block in kept.iter().flat_map(blocks) {
        let from = block.start;
        let part = |strand: &'_ [f32]| if strand.is_empty() { 0..0 } else { block.clone() };
        let (forward, reverse) = (&forward[part(forward)], &reverse[part(reverse)]);
        let [(first, nan), (second, nan_too)] = [forward, reverse].map(peak);
        if nan || nan_too {
            let is_nan = |i: &usize| [forward, reverse].iter().any(|s| s.get(*i).is_some_and(|x| x.is_nan()));
            let at = (0..block.len()).find(is_nan).unwrap_or_default();
            return Err(scores.start + ((from + at) * scores.stride) as u64);
        }
        if first < rule.thresholds[0] && second < rule.thresholds[1] {
            continue;
        }
        for i in 0..block.len() {
            let at = |strand: &[f32]| strand.get(i).copied();
            let start = scores.start + ((from + i) * scores.stride) as u64;
            push_hits((start, output), [at(forward), at(reverse)], rule, hits);
        }
    }
    Ok(())
}

/// Appends the score of each window's [better strand](better_strand).
pub(crate) fn better_scores(forward: &[f32], reverse: &[f32], out: &mut Vec<f32>) {
    let better = |(&forward, &reverse): (&f32, &f32)| if reverse > forward { reverse } else { forward };
    out.extend(forward.iter().zip(reverse).map(better));
}

/// The first score that is NaN.
pub(crate) fn first_nan(scores: &[f32]) -> Option<usize> {
    let has = |block: &&[f32]| block.iter().fold(0, |nan, score| nan | u32::from(score.is_nan())) != 0;
    scores.chunks(BLOCK).find(has)?;
    scores.iter().position(|score| score.is_nan())
}

/// Returns the best of some windows: its place among them, its score, and the strand. Of windows with equal scores the
/// first counts, and of strands the forward one; either may be left out. `None` without a window.
///
/// # Errors
/// The place of a window whose score is NaN.
pub(crate) fn best(forward: &[f32], reverse: &[f32]) -> Result<Option<(usize, f32, Strand)>, usize> {
    let [(first, nan), (second, nan_too)] = [forward, reverse].map(peak);
    if nan || nan_too {
        let is_nan = |strand: &[f32]| strand.iter().position(|score| score.is_nan());
        return Err(is_nan(forward).into_iter().chain(is_nan(reverse)).min().unwrap_or_default());
    }
    let highest = if second > first { second } else { first };
    let place = |strand: &[f32]| strand.iter().position(|&score| score == highest);
    Ok(match (place(forward), place(reverse)) {
        (Some(at), None) => Some((at, forward[at], Strand::Forward)),
        (Some(at), Some(other)) if at <= other => Some((at, forward[at], Strand::Forward)),
        (_, Some(at)) => Some((at, reverse[at], Strand::Reverse)),
        (None, None) => None,
    })
}

/// Windows looked at together: most blocks have no hit and cost one comparison.
pub(crate) const BLOCK: usize = 64;

/// The greatest of some scores, and whether one of them is NaN.
pub(crate) fn peak(scores: &[f32]) -> (f32, bool) {
    /// Side by side, so that this compiles to vector code.
    const SIDE: usize = 16;
    let (mut best, mut nan) = ([f32::NEG_INFINITY; SIDE], [0u32; SIDE]);
    let (chunks, rest) = scores.as_chunks::<SIDE>();
    for chunk in chunks {
        for i in 0..SIDE {
            best[i] = if chunk[i] > best[i] { chunk[i] } else { best[i] };
            nan[i] |= u32::from(chunk[i].is_nan());
        }
    }
    for (i, &score) in rest.iter().enumerate() {
        best[i] = if score > best[i] { score } else { best[i] };
        nan[i] |= u32::from(score.is_nan());
    }
    (best.into_iter().fold(f32::NEG_INFINITY, f32::max), nan.iter().any(|&nan| nan != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn better_scores_are_those_of_better_strands(
            scores in prop::collection::vec((-30i32..30, -3i32..4, -3i32..4), 0..200)
        ) {
            // Many that are nearly the same.
            let score = |&(whole, near, _): &(i32, i32, i32)| whole as f32 / 10.0 + near as f32 * 3e-5;
            let other = |&(whole, _, near): &(i32, i32, i32)| whole.max(-29) as f32 / 10.0 + near as f32 * 3e-5;
            let mut forward: Vec<f32> = scores.iter().map(score).collect();
            let reverse: Vec<f32> = scores.iter().map(other).collect();
            forward.iter_mut().step_by(7).for_each(|score| *score = f32::NEG_INFINITY);
            let mut better = Vec::new();
            better_scores(&forward, &reverse, &mut better);
            for ((&forward, &reverse), better) in forward.iter().zip(&reverse).zip(better) {
                prop_assert_eq!(better.to_bits(), better_strand(forward, reverse).0.to_bits());
            }
            prop_assert_eq!(first_nan(&forward), None);
            if let Some(last) = forward.last_mut() {
                *last = f32::NAN;
                prop_assert_eq!(first_nan(&forward), Some(forward.len() - 1));
            }
        }
    }

    #[test]
    fn hits_are_windows_that_reach_the_threshold_exactly() {
        let mut scores = Scores { start: 30, stride: 3, windows: 200, outputs: 2, ..Scores::default() };
        scores.forward = vec![-9.0; 400];
        scores.reverse = vec![-9.0; 400];
        scores.forward[200 + 70] = 5.0;
        scores.forward[200 + 71] = 5.0f32.next_down();
        scores.reverse[200 + 199] = 6.0;
        scores.forward[200 + 165] = 7.0;
        scores.forward[5] = 100.0;
        let mut hits = Vec::new();
        let kept = [0..160, 170..200];
        let better = |thresholds| HitRule { thresholds, strands: HitStrands::Better };
        collect(&scores, 1, &kept, better([5.0; 2]), &mut hits).unwrap();
        let want = [
            Hit { start: 30 + 210, target: 1, score: 5.0, strand: Strand::Forward },
            Hit { start: 30 + 597, target: 1, score: 6.0, strand: Strand::Reverse },
        ];
        assert_eq!(hits, want);
        scores.reverse[200 + 165] = f32::NAN;
        assert_eq!(collect(&scores, 1, &kept, better([5.0; 2]), &mut hits), Ok(()));
        scores.reverse[200 + 100] = f32::NAN;
        assert_eq!(collect(&scores, 1, &kept, better([5.0; 2]), &mut hits), Err(330));
        hits.clear();
        collect(&scores, 0, &kept, better([f32::NEG_INFINITY; 2]), &mut hits).unwrap();
        assert_eq!(hits.len(), 190);
        hits.clear();
        let each = HitRule { thresholds: [-9.0, f32::NEG_INFINITY], strands: HitStrands::Each };
        collect(&scores, 0, &kept, each, &mut hits).unwrap();
        assert_eq!(hits.len(), 380);
        assert!(hits.is_sorted_by_key(|hit| (hit.start, hit.strand == Strand::Reverse)));
    }
}
