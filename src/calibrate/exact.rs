//! Exact p-values of matrices, by dynamic programming.
//!
//! The score of a matrix is a sum with one term a position, so its distribution under a Markov background is built
//! position by position (Staden 1989; Wu, Nevill-Manning & Brutlag 2000). Terms are rounded to a fine grid. Each
//! position's grid is shifted so that rounding takes little away, and the most that it may have taken is given back to
//! every score: a p-value is never below the true one, and hardly above it.

use std::ops::Range;

use crate::model::Network;
use crate::null::distribution::{Null, Origin, at_least};
use crate::null::markov::Markov;
use crate::seq::alphabet::complement;
use crate::seq::contig::Strand;
use crate::seq::window::StrandChoice;
use crate::simd::Task;

/// Steps of the grid between the lowest and the highest score, for a background of order 0 to 5.
const GRID: [usize; 6] = [1 << 18, 1 << 17, 1 << 16, 1 << 15, 1 << 15, 1 << 15];

/// p-values above this are computed on a grid of fewer steps. Most sums have such p-values, and nobody asks for sites there.
const FINE: f64 = 0.05;

/// Ratio of the steps of the two grids.
const COARSER: usize = 8;

/// Ratio of the p-values of two steps.
const STEP: f64 = 0.999;

/// Memory that computations share, one after the other. Fresh memory costs as much as the computation.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Probability of each context and sum: `now[context * width + sum]`.
    now: Vec<f32>,
    next: Vec<f32>,
    /// Probability of each sum.
    sums: Vec<f64>,
}

/// The null distribution of a [matrix](Network::is_matrix) on the strands that are scanned.
pub(crate) fn null(matrix: &Network, markov: &Markov, strands: StrandChoice, buffers: &mut Buffers) -> Null {
    let grids = [GRID[markov.order()], GRID[markov.order()] / COARSER].map(|size| Grid::new(matrix, size));
    let mut of = |strand| of_strand(&grids, markov, strand, buffers);
    match strands {
        StrandChoice::Forward => of(Strand::Forward),
        StrandChoice::Reverse => of(Strand::Reverse),
        StrandChoice::Both => {
            let [forward, reverse] = [Strand::Forward, Strand::Reverse].map(of);
            Null::from_strands(forward, reverse)
        }
    }
}

/// The null distribution on one strand: by the fine grid, the first one, as far as p-values are at most [`FINE`], and by the
/// coarse one for lower scores.
fn of_strand([fine, coarse]: &[Grid; 2], markov: &Markov, strand: Strand, buffers: &mut Buffers) -> Null {
    let mut low = steps_from(coarse, 0, markov, strand, buffers);
    // Sums below the first of these have p-values above FINE, surely.
    let (first, _) = low.iter().rev().find(|(_, p)| *p > 1.01 * FINE).copied().unwrap_or_default();
    let reached = coarse.base + first as f64 * coarse.unit;
    let lowest = ((reached - fine.base - fine.lost) / fine.unit).floor().max(0.0) as usize;
    let high = steps_from(fine, lowest, markov, strand, buffers);
    let (begin, most) = high.first().map_or((f32::MAX, 0.0), |&(sum, p)| (fine.lowest_score(sum), p));
    low.retain(|&(sum, p)| coarse.lowest_score(sum) < begin && p > most);
    let scores = |grid: &Grid, steps: Vec<(usize, f64)>| -> Vec<(f32, f64)> {
        steps.into_iter().map(|(sum, p)| (grid.lowest_score(sum), p)).collect()
    };
    let mut steps = scores(coarse, low);
    steps.extend(scores(fine, high));
    // Of sums with the same score the first has the highest probability.
    steps.dedup_by_key(|(score, _)| *score);
    Null::new(steps, Origin::Exact)
}

/// Sums from `lowest` on, ascending, each with the probability of that sum or a higher one. Of sums whose probabilities differ
/// by less than the ratio [`STEP`], only the lowest is given, even if no word has it. They are chosen from the highest
/// downwards, so that `lowest` does not change the others.
fn steps_from(
    grid: &Grid,
    lowest: usize,
    markov: &Markov,
    strand: Strand,
    buffers: &mut Buffers,
) -> Vec<(usize, f64)> {
    let probabilities = distribute(&grid.steps_on(strand), lowest, markov, buffers);
    let mut steps: Vec<(usize, f64)> = Vec::new();
    let (mut above, mut least) = (0.0, 0.0);
    for (i, p) in probabilities.iter().enumerate().rev().skip_while(|(_, p)| **p == 0.0) {
        above += p;
        let step = (lowest + i, above);
        match steps.last_mut() {
            Some(last) if STEP * above <= least => *last = step,
            _ => {
                least = above;
                steps.push(step);
            }
        }
    }
    steps.reverse();
    steps
}

/// A matrix with its terms on a grid.
struct Grid {
    /// Grid steps of A, C, G and T at each position.
    steps: Vec<[usize; 4]>,
    unit: f64,
    /// Score of a sum of 0 steps, and the most that rounding to the grid took from any score.
    base: f64,
    lost: f64,
    /// The most that single precision may take from a score.
    single: f64,
}

impl Grid {
    fn new(matrix: &Network, size: usize) -> Grid {
        let width = matrix.filter_length;
        let scale = f64::from(matrix.output.weights[0]);
        let term = |position: usize, base: usize| scale * f64::from(matrix.weights[base * width + position]);
        let columns: Vec<[f64; 4]> =
            (0..width).map(|position| std::array::from_fn(|base| term(position, base))).collect();
        let range: f64 = columns.iter().map(|column| max(column) - min(column)).sum();
        let unit = (range / size as f64).max(f64::MIN_POSITIVE);
        let base = scale * f64::from(matrix.biases[0]) + f64::from(matrix.output.bias[0]);
        // A sum of `n` terms in single precision is off by no more than n / 2 · ε · the sum of their magnitudes.
        let size = columns.iter().map(|column| max(&column.map(f64::abs))).sum::<f64>()
            + (scale * f64::from(matrix.biases[0])).abs()
            + f64::from(matrix.output.bias[0]).abs();
        let single = (width + 4) as f64 * 0.5 * f64::from(f32::EPSILON) * size;
        let mut grid = Grid { steps: Vec::new(), unit, base, lost: 0.0, single };
        for column in &columns {
            let Placed { zero, steps, most } = place(column, unit);
            grid.base += zero;
            grid.lost += most;
            grid.steps.push(steps);
        }
        grid
    }

    /// Grid steps at each position of the forward sequence, as `strand` reads it.
    fn steps_on(&self, strand: Strand) -> Vec<[usize; 4]> {
        let complemented =
            |column: &[usize; 4]| std::array::from_fn(|base| column[usize::from(complement(base as u8))]);
        match strand {
            Strand::Forward => self.steps.clone(),
            Strand::Reverse => self.steps.iter().rev().map(complemented).collect(),
        }
    }

    /// The lowest score that needs so many steps or more.
    fn lowest_score(&self, steps: usize) -> f32 {
        if steps == 0 {
            return f32::MIN;
        }
        let most_below = self.base + (steps - 1) as f64 * self.unit + self.lost + self.single;
        at_least(most_below.next_up())
    }
}

/// A position's terms on the grid: term ≈ zero + unit · steps, above it by `most` at the most and nowhere below it.
struct Placed {
    zero: f64,
    steps: [usize; 4],
    most: f64,
}

/// Puts four terms on a grid of `unit`, shifted so that they lie close above grid values.
fn place(column: &[f64; 4], unit: f64) -> Placed {
    let low = min(column);
    let over = |zero: f64| {
        let steps = column.map(|term| ((term - zero) / unit + 1e-9).floor().max(0.0));
        let rest: [f64; 4] = std::array::from_fn(|base| column[base] - zero - steps[base] * unit);
        (steps, max(&rest).max(0.0))
    };
    // The best shift lets some term lie on the grid.
    let shifts = column.map(|term| {
        let fraction = ((term - low) / unit).fract() * unit;
        if fraction > 0.0 { low + fraction - unit } else { low }
    });
    let best = shifts
        .into_iter()
        .map(|zero| (zero, over(zero)))
        .min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b))
        .expect("there are four");
    let (zero, (steps, most)) = best;
    Placed { zero, steps: steps.map(|step| step as usize), most }
}

/// Factor of probabilities: those of wide matrices would be too small for single precision otherwise.
const SCALE: f32 = 1.267_650_6e30;

/// Probability of each sum of steps, one a position, in sequence of the background: of the sums from `lowest` on. Partial sums
/// that cannot come to that are left out.
///
/// It is computed in single precision, and raised by the most that rounding may have taken away: by less than 0.001 % for 30
/// positions.
fn distribute<'a>(
    steps: &[[usize; 4]],
    lowest: usize,
    markov: &Markov,
    buffers: &'a mut Buffers,
) -> &'a [f64] {
    let (contexts, transitions) = (markov.contexts(), markov.probabilities());
    let most = |column: &[usize; 4]| column.iter().max().copied().unwrap_or(0);
    let highest: usize = steps.iter().map(most).sum();
    let lowest = lowest.min(highest);
    let width = highest + 1;
    let Buffers { now, next, sums } = buffers;
    // What is left in them is overwritten: each column fills what the next one reads.
    for rows in [&mut *now, &mut *next] {
        rows.resize(rows.len().max(contexts.len() * width), 0.0);
    }
    for (context, p) in contexts.iter().enumerate() {
        now[context * width] = (*p * f64::from(SCALE)) as f32;
    }
    // Partial sums so far, and the most that can be added to them.
    let (mut reached, mut rest) = (0..1, highest);
    for column in steps {
        rest -= most(column);
        let reaches = lowest.saturating_sub(rest)..reached.end + most(column);
        let shifts = column.map(|step| Shift::new(&reached, step, &reaches));
        if contexts.len() == 1 {
            let (from, into) = (&now[reached], &mut next[reaches.clone()]);
            crate::simd::run(Spread { from, shifts, p: transitions[0].map(|p| p as f32), into });
        } else {
            // The contexts that differ in their first base alone lead to the same four, which differ in their last.
            let quarter = contexts.len() / 4;
            for (rest, rows) in next.chunks_exact_mut(4 * width).take(quarter).enumerate() {
                let row = |first: usize| &now[(first * quarter + rest) * width..][reached.clone()];
                let p = |base: usize| {
                    std::array::from_fn(|first| transitions[first * quarter + rest][base] as f32)
                };
                let (from, p) = (std::array::from_fn(row), std::array::from_fn(p));
                let mut rows = rows.chunks_exact_mut(width);
                let into =
                    std::array::from_fn(|_| &mut rows.next().expect("there are four")[reaches.clone()]);
                crate::simd::run(Gather { from, shifts, p, into });
            }
        }
        std::mem::swap(now, next);
        reached = reaches;
    }
    sums.clear();
    sums.resize(width - lowest, 0.0);
    for row in now.chunks_exact(width).take(contexts.len()) {
        sums.iter_mut().zip(&row[lowest..]).for_each(|(sum, p)| *sum += f64::from(*p));
    }
    // Each position rounds a probability of the background, a product and three sums, by 2^-24 at the most.
    let rounding = 1.0 + (5 * steps.len() + 4) as f64 * f64::from(f32::EPSILON) / 2.0;
    let scale = rounding / f64::from(SCALE);
    sums.iter_mut().for_each(|p| *p *= scale);
    sums
}

/// Where sums go when so many steps are added: from entry `from` on of the one range to entry `to` on of the other.
#[derive(Debug, Clone, Copy)]
struct Shift {
    from: usize,
    to: usize,
}

impl Shift {
    fn new(from: &Range<usize>, step: usize, to: &Range<usize>) -> Shift {
        let first = from.start + step;
        Shift { from: to.start.saturating_sub(first), to: first.saturating_sub(to.start) }
    }
}

/// Sums that are computed for four contexts before the next: what they are computed from stays in the nearest cache.
const BLOCK: usize = 1024;

/// Moves the probabilities of four contexts up by the steps of each base, into the context that the base leads to.
struct Gather<'a> {
    from: [&'a [f32]; 4],
    shifts: [Shift; 4],
    /// Probability of each base after each of the four contexts.
    p: [[f32; 4]; 4],
    into: [&'a mut [f32]; 4],
}

impl Task for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Gather { from, shifts, p, mut into } = self;
        let length = from[0].len();
        for (row, shift) in into.iter_mut().zip(shifts) {
            row[..shift.to].fill(0.0);
            row[shift.to + length.saturating_sub(shift.from)..].fill(0.0);
        }
        for start in (0..length).step_by(BLOCK) {
            let end = (start + BLOCK).min(length);
            for ((row, shift), [p, q, r, s]) in into.iter_mut().zip(shifts).zip(p) {
                let start = start.max(shift.from);
                if start >= end {
                    continue;
                }
                let [a, b, c, d] = from.map(|row| &row[start..end]);
                let row = &mut row[shift.to + start - shift.from..][..end - start];
                for i in 0..row.len() {
                    row[i] = (a[i] * p + b[i] * q) + (c[i] * r + d[i] * s);
                }
            }
        }
    }
}

/// Spreads the probabilities of the one context there is by the steps of each base.
struct Spread<'a> {
    from: &'a [f32],
    shifts: [Shift; 4],
    p: [f32; 4],
    into: &'a mut [f32],
}

impl Task for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Spread { from, shifts, p, into } = self;
        into.fill(0.0);
        for (shift, p) in shifts.into_iter().zip(p) {
            let from = from.get(shift.from..).unwrap_or_default();
            for (sum, from) in into[shift.to..].iter_mut().zip(from) {
                *sum += from * p;
            }
        }
    }
}

fn max(values: &[f64; 4]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn min(values: &[f64; 4]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::model::{Dense, Padding, Pooling};

    fn matrix(width: usize, rng: &mut Xoshiro256PlusPlus) -> Network {
        Network {
            filters: 1,
            filter_length: width,
            weights: (0..4 * width).map(|_| rng.random::<f32>() * 6.0 - 4.0).collect(),
            biases: vec![0.25],
            rectify: false,
            padding: Padding::NONE,
            pooling: Pooling::Max,
            hidden: None,
            output: Dense { inputs: 1, outputs: 1, weights: vec![1.5], bias: vec![-0.5] },
            sigmoid: false,
        }
    }

    /// Score and probability of every word on one strand.
    fn by_enumeration(matrix: &Network, markov: &Markov, strand: Strand) -> Vec<(f64, f64)> {
        let width = matrix.filter_length;
        let (contexts, transitions) = (markov.contexts(), markov.probabilities());
        let word = |number: usize| {
            let bases: Vec<usize> = (0..width).map(|j| number >> (2 * j) & 3).collect();
            let read: Vec<usize> = match strand {
                Strand::Forward => bases.clone(),
                Strand::Reverse => bases.iter().rev().map(|base| 3 - base).collect(),
            };
            let sum: f64 = (0..width).map(|j| f64::from(matrix.weights[read[j] * width + j])).sum();
            let p: f64 = contexts
                .iter()
                .enumerate()
                .map(|(context, p)| {
                    let mut context = context;
                    bases.iter().fold(*p, |p, base| {
                        let step = transitions[context][*base];
                        context = (context * 4 + base) % contexts.len();
                        p * step
                    })
                })
                .sum();
            (1.5 * (sum + 0.25) - 0.5, p)
        };
        (0..4usize.pow(width as u32)).map(word).collect()
    }

    #[test]
    fn p_values_are_those_of_all_words_and_never_below_them() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let bases: Vec<u8> = (0..5000).map(|i| if i % 3 == 0 { 0 } else { rng.random_range(0..4) }).collect();
        // Buffers are shared: nothing of a larger matrix may be left in a smaller one.
        let mut buffers = Buffers::default();
        for (width, order) in [(6, 2), (1, 0), (6, 0), (5, 3), (4, 1), (3, 2), (6, 2)] {
            let matrix = matrix(width, &mut rng);
            let mut markov = Markov::new(order);
            markov.count(&bases);
            let forward = by_enumeration(&matrix, &markov, Strand::Forward);
            let reverse = by_enumeration(&matrix, &markov, Strand::Reverse);
            for strands in [StrandChoice::Forward, StrandChoice::Reverse, StrandChoice::Both] {
                let null = null(&matrix, &markov, strands, &mut buffers);
                assert_eq!(null.differs_by_strand(), strands == StrandChoice::Both);
                for (scanned, strand, words) in [
                    (strands.forward(), Strand::Forward, &forward),
                    (strands.reverse(), Strand::Reverse, &reverse),
                ] {
                    let exact = |least: f64| -> f64 {
                        words.iter().filter(|(score, _)| *score >= least).map(|(_, p)| p).sum()
                    };
                    for (score, _) in words.iter().step_by(7).filter(|_| scanned) {
                        let p = null.p(*score as f32, strand);
                        // Terms are rounded to the grid; no step may be missed for that.
                        assert!(p >= exact(score + 1e-6) - 1e-12, "{width} {order} {strands} {score}");
                        let near = if exact(*score) < 0.98 * FINE { 4e-3 } else { 4e-3 * COARSER as f64 };
                        assert!(p <= exact(score - near) * 1.002, "{width} {order} {strands} {score}");
                    }
                    assert!((null.p(-1e6, strand) - 1.0).abs() < 1e-9);
                }
            }
        }
    }
    #[test]
    fn probabilities_of_high_sums_do_not_depend_on_what_is_left_out() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let bases: Vec<u8> = (0..5000).map(|_| rng.random_range(0..4)).collect();
        let mut buffers = Buffers::default();
        for (width, order) in [(9, 0), (12, 2), (7, 3), (1, 1)] {
            let matrix = matrix(width, &mut rng);
            let mut markov = Markov::new(order);
            markov.count(&bases);
            let grid = Grid::new(&matrix, 1 << 12);
            let all = steps_from(&grid, 0, &markov, Strand::Reverse, &mut buffers);
            for lowest in [1, 700, 2000, 3500, 4095] {
                let high = steps_from(&grid, lowest, &markov, Strand::Reverse, &mut buffers);
                // The lowest step may begin further down than it could see.
                let wanted = &all[all.len() + 1 - high.len()..];
                assert_eq!(&high[1..], wanted, "{width} {order} {lowest}");
            }
        }
    }
}
