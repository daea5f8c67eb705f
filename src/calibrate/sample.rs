//! Null distributions of any model, by scanning background sequence.
//!
//! The first windows are scored in full. They tell which scores are rare, and of all further windows only those scores
//! are wanted, so that engines can rule most windows out: counts of rare scores rest on all windows, and how the others are
//! spread below them on the first.

use crate::null::distribution::Distribution;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::background::Background;
use crate::engine::Engine;
use crate::null::distribution::{at_least, thin};
use crate::null::tail::Tail;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::window::WindowPlan;
use crate::{Error, Result, pipeline};

/// Windows of a block: what a worker scores at a time, on a stretch of background of its own.
const BLOCK: usize = 1 << 20;

/// Blocks that are scored in full. In more than that, only scores count that so small a share of tests reaches.
const FULL: u64 = 4;
const RARE: f64 = 1e-3;

/// Windows that an engine is given at a time, over the number of outputs; and the fewest.
const CHUNK: usize = 1 << 16;
const SMALLEST_CHUNK: usize = 1 << 12;

/// Bins of the scores of all outputs, and most bins of a single one.
const BINS: usize = 1 << 22;
const MOST_BINS: usize = 1 << 18;

/// Share of the first scores below which nothing is told apart: p-values there are 1.
const FLOOR: f64 = 0.1;

/// Ratio of the p-values of two steps.
const STEP: f64 = 0.99;

/// Fewest stretches as long as a window with such a score or a higher one, for a p-value to be supported. Windows that
/// overlap share what they score highly for, so that windows themselves are no measure.
const SUPPORT: u64 = 30;

/// Stretches whose highest scores a tail is fitted to; at most this share of all.
const FITTED: u64 = 1000;
const FITTED_SHARE: f64 = 0.05;

/// Amount of background to scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Windows to score, at least: they are rounded up to whole blocks of 2^20.
    pub windows: u64,
    /// Seed: the same one gives the same null distributions.
    pub seed: u64,
}

impl Amount {
    fn blocks(self) -> u64 {
        self.windows.div_ceil(BLOCK as u64).max(1)
    }

    /// Windows that are scored: whole blocks.
    pub fn scored(self) -> u64 {
        self.blocks() * BLOCK as u64
    }

    /// Windows that are scored in full; p-values above about 1e-3 rest on these. `None` if that is all of them.
    pub fn full(self) -> Option<u64> {
        (self.blocks() > FULL).then_some(FULL * BLOCK as u64)
    }
}

/// Scans background sequence with engines of one model, one a worker, and gives the distribution of each output.
/// `progress` is told how many windows of how many are scored. What comes out does not depend on the number of workers.
///
/// # Errors
/// Errors of an engine, and scores that are not numbers.
pub fn sample(
    mut engines: Vec<Box<dyn Engine>>,
    plan: &WindowPlan,
    background: &Background,
    amount: Amount,
    mut progress: impl FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<Vec<Distribution>> {
    // Every window tells something of the null, whatever windows the scan will look at.
    let plan = WindowPlan { stride: 1, ..*plan };
    let name = engines[0].spec().name.clone();
    let outputs = engines[0].spec().outputs.len();
    let drawer = Drawer { background, seed: amount.seed, flanks: engines[0].flanks(&plan), plan };
    let chunk = (CHUNK / outputs).max(SMALLEST_CHUNK);
    // A row an output and strand, in this order.
    let rows = 0..outputs * plan.strands.count();

    let scales = {
        let mut scores = Scores::default();
        engines[0].score(&drawer.chunk(0, 0..chunk), &plan, &mut scores)?;
        rows.clone().map(|row| Scale::from_scores(&scores, row, rows.len())).collect::<Option<Vec<_>>>()
    };
    let not_finite = || Error::model(&name, "gives scores of background sequence that are not finite");
    let scales = scales.ok_or_else(not_finite)?;

    let blocks = amount.blocks();
    let full = blocks.min(FULL);
    let mut progress = |done: u64| progress(done * BLOCK as u64, blocks * BLOCK as u64);
    let everything = vec![0; rows.len()];
    let first = count_blocks(&mut engines, &drawer, 0..full, (&scales, &everything), &mut progress, cancel)?;
    let finite = |counts: &[Counts]| {
        if counts.iter().any(|counts| counts.not_finite) { Err(not_finite()) } else { Ok(()) }
    };
    finite(&first)?;
    if full == blocks {
        let rows = first.into_iter().zip(&scales).map(|(counts, scale)| counts.distribution(scale));
        return Ok(join(rows, outputs));
    }
    let rare: Vec<usize> = first.iter().map(|counts| counts.rare(blocks as f64 / full as f64)).collect();
    let rest = count_blocks(&mut engines, &drawer, full..blocks, (&scales, &rare), &mut progress, cancel)?;
    finite(&rest)?;
    let pairs = first.into_iter().zip(rest).zip(rare).zip(&scales);
    let rows = pairs.map(|(((first, rest), rare), scale)| first.and_rare(&rest, rare).distribution(scale));
    Ok(join(rows, outputs))
}

/// Joins the distributions of the two strands of each output, if there are two.
fn join(mut rows: impl ExactSizeIterator<Item = Distribution>, outputs: usize) -> Vec<Distribution> {
    let both = rows.len() > outputs;
    let mut joined = Vec::with_capacity(outputs);
    while let Some(mut first) = rows.next() {
        first.reverse = if both { rows.next().map(Box::new) } else { None };
        joined.push(first);
    }
    joined
}

/// Counts the scores of each row in some blocks. Scores below the row's bin in `from` need not be counted; they are where it
/// takes no extra time.
fn count_blocks(
    engines: &mut [Box<dyn Engine>],
    drawer: &Drawer<'_>,
    blocks: Range<u64>,
    (scales, from): (&[Scale], &[usize]),
    progress: &mut impl FnMut(u64),
    cancel: &AtomicBool,
) -> Result<Vec<Counts>> {
    let outputs = engines[0].spec().outputs.len();
    let chunk = (CHUNK / outputs).max(SMALLEST_CHUNK);
    let bounds: Vec<f32> = scales.iter().zip(from).map(|(scale, &from)| scale.bound(from)).collect();
    let lowest = bounds.iter().copied().fold(f32::INFINITY, f32::min);
    let mut sums: Vec<Counts> = scales.iter().map(Counts::new).collect();
    let workers = engines.iter_mut().map(|engine| {
        let bounds = &bounds;
        let mut scores = Scores::default();
        move |block: &u64, counts: &mut Vec<Counts>| -> Result<()> {
            counts.resize_with(scales.len(), Counts::default);
            counts.iter_mut().zip(scales).for_each(|(counts, scale)| counts.reset(scale));
            for from in (0..BLOCK).step_by(chunk) {
                let chunk = drawer.chunk(*block, from..(from + chunk).min(BLOCK));
                if lowest == f32::NEG_INFINITY {
                    engine.score(&chunk, &drawer.plan, &mut scores)?;
                } else {
                    engine.score_above(&chunk, &drawer.plan, lowest, &mut scores)?;
                }
                for (row, counts) in counts.iter_mut().enumerate() {
                    counts.add(strand(&scores, row), (&scales[row], bounds[row]), drawer.plan.window);
                }
            }
            Ok(())
        }
    });
    let (mut next, mut done) = (blocks.start, blocks.start);
    pipeline::run(
        |block: &mut u64| {
            *block = next;
            next += 1;
            Ok(*block < blocks.end)
        },
        workers.collect(),
        |counts: &mut Vec<Counts>| {
            sums.iter_mut().zip(counts).for_each(|(sum, counts)| sum.merge(counts));
            done += 1;
            progress(done);
            Ok(())
        },
        cancel,
    )?;
    Ok(sums)
}

/// Makes stretches of background.
struct Drawer<'a> {
    background: &'a Background,
    seed: u64,
    flanks: (usize, usize),
    plan: WindowPlan,
}

impl Drawer<'_> {
    /// A chunk with so many windows, and the flanks that they look at. Chunks of a block are independent of each other.
    fn chunk(&self, block: u64, windows: Range<usize>) -> Chunk {
        let (left, right) = self.flanks;
        let covered = windows.len() + self.plan.window - 1;
        let mut codes = Vec::new();
        let number = block * (BLOCK / SMALLEST_CHUNK) as u64 + (windows.start / SMALLEST_CHUNK) as u64;
        self.background.fill(self.seed, number, left + covered + right, &mut codes);
        let own = left as u64..(left + windows.len()) as u64;
        let end = (left + covered) as u64;
        Chunk { own, end, ..Chunk::whole("background", codes) }
    }
}

/// Binning of scores. Bins are relative to the range of the scores: a model whose scores are all scaled has
/// the same counts.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// The lowest score that has a bin.
    floor: f32,
    /// Width of a bin.
    step: f64,
    bins: usize,
}

impl Scale {
    /// A scale that suits the scores seen first; `None` if they are not finite.
    fn from_scores(scores: &Scores, row: usize, rows: usize) -> Option<Scale> {
        let mut seen = strand(scores, row).to_vec();
        let at = (seen.len() as f64 * FLOOR) as usize;
        let (_, floor, above) = seen.select_nth_unstable_by(at, f32::total_cmp);
        let floor = *floor;
        let highest = above.iter().copied().fold(floor, f32::max);
        if !floor.is_finite() || !highest.is_finite() {
            return None;
        }
        let bins = (BINS / rows).clamp(1 << 8, MOST_BINS);
        // Room for scores twice as far up as those seen. Where all are equal, any width will do.
        let range = 2.0 * (f64::from(highest) - f64::from(floor));
        let narrowest = f64::from(floor.abs().max(f32::MIN_POSITIVE) * f32::EPSILON);
        let step = (range / (bins - 1) as f64).max(narrowest);
        Some(Scale { floor, step, bins: (range / step) as usize + 1 })
    }

    /// The bin of a score, or of what lies above all bins the number of bins or more; `None` below the first.
    fn bin(&self, score: f32) -> Option<usize> {
        (score >= self.floor).then(|| ((f64::from(score) - f64::from(self.floor)) / self.step) as usize)
    }

    /// The lowest score of a bin.
    fn edge(&self, bin: usize) -> f32 {
        let mut edge = at_least(f64::from(self.floor) + bin as f64 * self.step);
        // Rounding changed the edge as it changed scores.
        while self.bin(edge).is_none_or(|at| at < bin) {
            edge = edge.next_up();
        }
        while self.bin(edge.next_down()).is_some_and(|at| at >= bin) {
            edge = edge.next_down();
        }
        edge
    }

    /// Lower limit of the scores of this bin and of higher ones; no score is below that of bin 0.
    fn bound(&self, bin: usize) -> f32 {
        if bin == 0 { f32::NEG_INFINITY } else { self.edge(bin) }
    }
}

/// Scores of a row: of one output on one strand.
fn strand(scores: &Scores, row: usize) -> &[f32] {
    let (output, strand) = match (scores.forward.as_slice(), scores.reverse.as_slice()) {
        (only, []) | ([], only) => (row, only),
        (forward, reverse) => (row / 2, if row.is_multiple_of(2) { forward } else { reverse }),
    };
    &strand[output * scores.windows..(output + 1) * scores.windows]
}

/// Scores of one output on one strand, counted.
#[derive(Debug, Default)]
struct Counts {
    /// Strands of windows, by their score's bin.
    tests: Vec<u64>,
    /// Stretches as long as a window, by the bin of their highest score.
    highest: Vec<u64>,
    /// Scores above all bins: of strands of windows, and of stretches.
    over: Vec<f32>,
    highest_over: Vec<f32>,
    /// Strands of windows, and stretches, in all.
    all: u64,
    stretches: u64,
    not_finite: bool,
}

impl Counts {
    fn new(scale: &Scale) -> Counts {
        let mut counts = Counts::default();
        counts.reset(scale);
        counts
    }

    fn reset(&mut self, scale: &Scale) {
        for bins in [&mut self.tests, &mut self.highest] {
            bins.clear();
            bins.resize(scale.bins, 0);
        }
        self.over.clear();
        self.highest_over.clear();
        (self.all, self.stretches, self.not_finite) = (0, 0, false);
    }

    /// Adds the scores of a row; there is no need to count those below `bound`.
    fn add(&mut self, scores: &[f32], (scale, bound): (&Scale, f32), window: usize) {
        self.all += scores.len() as u64;
        for &score in scores {
            // Minus infinity is a score below all others.
            self.not_finite |= score.is_nan() || score == f32::INFINITY;
            if score >= bound {
                count(score, scale, &mut self.tests, &mut self.over);
            }
        }
        for stretch in scores.chunks(window) {
            let highest = stretch.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            self.stretches += 1;
            if highest >= bound {
                count(highest, scale, &mut self.highest, &mut self.highest_over);
            }
        }
    }

    fn merge(&mut self, other: &Counts) {
        let sum = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        sum(&mut self.tests, &other.tests);
        sum(&mut self.highest, &other.highest);
        self.over.extend_from_slice(&other.over);
        self.highest_over.extend_from_slice(&other.highest_over);
        self.all += other.all;
        self.stretches += other.stretches;
        self.not_finite |= other.not_finite;
    }

    /// The lowest bin whose scores are wanted of all windows, `times` as many as these: so that it is rare, and that twice
    /// as many stretches will reach it as a tail is fitted to.
    fn rare(&self, times: f64) -> usize {
        let most = (self.all as f64 * RARE) as u64;
        let fitted = fitted((self.stretches as f64 * times) as u64);
        let stretches = (2.0 * fitted as f64 / times).ceil() as u64;
        let tests = from_above(&self.tests, &self.over);
        let highest = from_above(&self.highest, &self.highest_over);
        let bin = tests.partition_point(|&count| count > most);
        bin.min(highest.partition_point(|&count| count >= stretches).max(1) - 1)
    }

    /// These counts with those of further windows, of which scores count from bin `rare` on. Below it, what is left of the
    /// further windows is spread as it is here.
    fn and_rare(mut self, rest: &Counts, rare: usize) -> Counts {
        let spread =
            |here: &mut Vec<u64>, all: u64, over: usize, rest: &[u64], rest_all: u64, rest_over: usize| {
                let reach = |bins: &[u64], over: usize| bins[rare..].iter().sum::<u64>() + over as u64;
                let below = all - reach(here, over);
                let times = 1.0 + (rest_all - reach(rest, rest_over)) as f64 / below.max(1) as f64;
                here[rare..].iter_mut().zip(&rest[rare..]).for_each(|(sum, count)| *sum += count);
                // Rounded as sums from the highest bin down, so that no error adds up.
                let (mut sum, mut rounded) = (0, 0);
                for count in here[..rare].iter_mut().rev() {
                    sum += *count;
                    *count = (sum as f64 * times).round() as u64 - rounded;
                    rounded += *count;
                }
            };
        spread(&mut self.tests, self.all, self.over.len(), &rest.tests, rest.all, rest.over.len());
        let (over, rest_over) = (self.highest_over.len(), rest.highest_over.len());
        spread(&mut self.highest, self.stretches, over, &rest.highest, rest.stretches, rest_over);
        self.over.extend_from_slice(&rest.over);
        self.highest_over.extend_from_slice(&rest.highest_over);
        self.all += rest.all;
        self.stretches += rest.stretches;
        self
    }

    /// The steps as far as they are supported, and the tail above them.
    fn distribution(mut self, scale: &Scale) -> Distribution {
        self.over.sort_unstable_by(f32::total_cmp);
        self.highest_over.sort_unstable_by(f32::total_cmp);
        let (values, tests) = survival(&self.tests, &self.over, scale);
        let (highest_values, highest) = survival(&self.highest, &self.highest_over, scale);
        // The highest score that is supported.
        let supported = highest.iter().rposition(|&count| count >= SUPPORT);
        let supported = supported.map_or(values[0], |at| highest_values[at]);
        let last = values.partition_point(|&value| value <= supported).max(1) - 1;
        let kept = thin(tests[..=last].iter().map(|&count| count as f64), STEP);
        let mut steps: Vec<(f32, u64)> =
            kept.into_iter().map(|(at, count)| (values[at], count as u64)).collect();
        if steps.last().is_some_and(|&(value, _)| value < values[last]) {
            steps.push((values[last], tests[last]));
        }
        let tail = (last + 1 < values.len())
            .then(|| fit_tail(&highest_values, &highest, (self.stretches, values[last]), scale))
            .flatten();
        Distribution {
            scores: steps.iter().map(|&(value, _)| value).collect(),
            counts: steps.iter().map(|&(_, count)| count).collect(),
            tests: self.all,
            tail,
            reverse: None,
        }
    }
}

fn count(score: f32, scale: &Scale, bins: &mut [u64], over: &mut Vec<f32>) {
    match scale.bin(score) {
        Some(bin) if bin < bins.len() => bins[bin] += 1,
        Some(_) => over.push(score),
        None => {}
    }
}

/// Number of scores in each bin and the higher ones.
fn from_above(bins: &[u64], over: &[f32]) -> Vec<u64> {
    let mut counts = vec![0; bins.len()];
    let mut above = over.len() as u64;
    for (sum, &count) in counts.iter_mut().zip(bins).rev() {
        above += count;
        *sum = above;
    }
    counts
}

/// Stretches, of so many, whose highest scores a tail is fitted to.
fn fitted(stretches: u64) -> u64 {
    FITTED.min((stretches as f64 * FITTED_SHARE) as u64)
}

/// Scores (ascending) and how many are as high or higher, down to the last that is not 0.
fn survival(bins: &[u64], over: &[f32], scale: &Scale) -> (Vec<f32>, Vec<u64>) {
    let mut values: Vec<f32> = (0..bins.len()).map(|bin| scale.edge(bin)).collect();
    let mut counts = from_above(bins, over);
    for (i, &value) in over.iter().enumerate() {
        if i == 0 || over[i - 1] < value {
            values.push(value);
            counts.push((over.len() - i) as u64);
        }
    }
    let end = counts.partition_point(|&count| count > 0);
    values.truncate(end);
    counts.truncate(end);
    (values, counts)
}

/// Fits a tail to the highest scores of so many stretches, to begin at `from`.
fn fit_tail(values: &[f32], counts: &[u64], (stretches, from): (u64, f32), scale: &Scale) -> Option<Tail> {
    let most = fitted(stretches);
    let threshold = counts.partition_point(|&count| count > most);
    let base = *values.get(threshold)?;
    if base > from {
        return None;
    }
    let mut exceedances = Vec::new();
    for at in threshold..values.len() {
        let here = counts[at] - counts.get(at + 1).copied().unwrap_or(0);
        // The edge of a bin stands for all scores of the bin.
        let middle = if at < scale.bins { scale.step / 2.0 } else { 0.0 };
        let over = f64::from(values[at]) - f64::from(base) + middle;
        exceedances.extend(std::iter::repeat_n(over, here as usize));
    }
    Tail::fit(base, &exceedances, from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCALE: Scale = Scale { floor: 0.0, step: 10.0, bins: 8 };

    fn counts(scores: &[i64], bound: i64) -> Counts {
        let mut counts = Counts::new(&SCALE);
        for &score in scores {
            counts.all += 1;
            counts.stretches += 1;
            if score >= bound {
                let score = score as f32;
                count(score, &SCALE, &mut counts.tests, &mut counts.over);
                count(score, &SCALE, &mut counts.highest, &mut counts.highest_over);
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn rare_scores_are_all_counted_and_common_ones_spread(
            first in prop::collection::vec(-30i64..120, 1..200),
            rest in prop::collection::vec(-30i64..120, 0..400), rare in 0usize..=8
        ) {
            let bound = if rare == 0 { i64::MIN } else { rare as i64 * 10 };
            let joined = counts(&first, i64::MIN).and_rare(&counts(&rest, bound), rare);
            let all: Vec<i64> = first.iter().chain(&rest).copied().collect();
            prop_assert_eq!(joined.all, all.len() as u64);
            let from = |scores: &[i64], score: i64| scores.iter().filter(|&&s| s >= score).count() as f64;
            for (bins, over) in [(&joined.tests, &joined.over), (&joined.highest, &joined.highest_over)] {
                let have = from_above(bins, over);
                for (bin, &count) in have.iter().enumerate() {
                    let score = bin as i64 * 10;
                    if bin >= rare {
                        prop_assert_eq!(count as f64, from(&all, score));
                        continue;
                    }
                    // As many above it, of those that are common, as in the first scores.
                    let (edge, common) = (from(&all, bound), all.len() as f64 - from(&all, bound));
                    let of_first = first.len() as f64 - from(&first, bound);
                    let share = (from(&first, score) - from(&first, bound)) / of_first.max(1.0);
                    prop_assert!((count as f64 - edge - share * common).abs() <= 0.5 + 1e-6);
                }
            }
        }
    }
}
