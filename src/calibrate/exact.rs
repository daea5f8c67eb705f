//! Exact p-values of matrices, by dynamic programming.
//!
//! The score of a matrix is a sum with one term a position, so its distribution under a Markov background is built
//! position by position (Staden 1989; Wu, Nevill-Manning & Brutlag 2000). Terms are rounded to a fine grid. Each
//! position's grid is shifted so that rounding takes little away, and the most that it may have taken is given back to
//! every score: a p-value is never below the true one, and hardly above it.

use crate::model::Network;
use crate::null::distribution::{Null, Origin, at_least, thin};
use crate::null::markov::Markov;
use crate::seq::alphabet::complement;
use crate::seq::contig::Strand;
use crate::seq::window::StrandChoice;
use crate::simd::Task;

/// Steps of the grid between the lowest and the highest score, for a background of order 0 to 5.
const GRID: [usize; 6] = [1 << 18, 1 << 17, 1 << 16, 1 << 15, 1 << 15, 1 << 15];

/// Ratio of the p-values of two steps.
const STEP: f64 = 0.999;

/// The null distribution of a [matrix](Network::is_matrix) on the strands that are scanned.
pub fn null(matrix: &Network, markov: &Markov, strands: StrandChoice) -> Null {
    let grid = Grid::new(matrix, GRID[markov.order()]);
    match strands {
        StrandChoice::Forward => of_strand(&grid, markov, Strand::Forward),
        StrandChoice::Reverse => of_strand(&grid, markov, Strand::Reverse),
        StrandChoice::Both => {
            let [forward, reverse] =
                [Strand::Forward, Strand::Reverse].map(|strand| of_strand(&grid, markov, strand));
            Null::from_strands(forward, reverse)
        }
    }
}

fn of_strand(grid: &Grid, markov: &Markov, strand: Strand) -> Null {
    let mut survival = distribute(&grid.steps_on(strand), markov);
    let mut above = 0.0;
    for p in survival.iter_mut().rev() {
        above += *p;
        *p = above;
    }
    let mut steps: Vec<(f32, f64)> = Vec::new();
    for (value, p) in thin(survival, STEP) {
        // Of grid values with the same score the first has the highest probability.
        let score = grid.lowest_score(value);
        if steps.last().is_none_or(|&(last, _)| score > last) {
            steps.push((score, p));
        }
    }
    Null::new(steps, Origin::Exact)
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
        let width = matrix.detector_length;
        let scale = f64::from(matrix.output.weights[0]);
        let term = |position: usize, base: usize| scale * f64::from(matrix.weights[base * width + position]);
        let columns: Vec<[f64; 4]> =
            (0..width).map(|position| std::array::from_fn(|base| term(position, base))).collect();
        let range: f64 = columns.iter().map(|column| max(column) - min(column)).sum();
        let unit = (range / size as f64).max(f64::MIN_POSITIVE);
        let base = scale * f64::from(matrix.thresholds[0]) + f64::from(matrix.output.bias[0]);
        // A sum of `n` terms in single precision is off by no more than n / 2 · ε · the sum of their magnitudes.
        let size = columns.iter().map(|column| max(&column.map(f64::abs))).sum::<f64>()
            + (scale * f64::from(matrix.thresholds[0])).abs()
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

/// Probability of each sum of steps, one a position, in sequence of the background.
///
/// It is computed in single precision, and raised by the most that rounding may have taken away: by less than 0.001 % for 30
/// positions.
fn distribute(steps: &[[usize; 4]], markov: &Markov) -> Vec<f64> {
    let (contexts, transitions) = (markov.contexts(), markov.probabilities());
    let highest: usize = steps.iter().map(|column| column.iter().max().copied().unwrap_or(0)).sum();
    let width = highest + 1;
    // `now[context * width + sum]`
    let mut now = vec![0.0f32; contexts.len() * width];
    let mut next = now.clone();
    for (context, p) in contexts.iter().enumerate() {
        now[context * width] = (*p * f64::from(SCALE)) as f32;
    }
    let mut reached = 1;
    for column in steps {
        let reaches = reached + column.iter().max().copied().unwrap_or(0);
        for (to, row) in next.chunks_exact_mut(width).enumerate() {
            let from = sources(to, column, &transitions).map(|(context, step, p)| Source {
                row: &now[context * width..][..reached],
                step,
                p: p as f32,
            });
            crate::simd::run(Gather { from, into: &mut row[..reaches] });
        }
        std::mem::swap(&mut now, &mut next);
        reached = reaches;
    }
    let mut all = vec![0.0; width];
    for row in now.chunks_exact(width) {
        all.iter_mut().zip(row).for_each(|(sum, p)| *sum += f64::from(*p));
    }
    // Each position rounds a probability of the background, a product and three sums, by 2^-24 at the most.
    let rounding = 1.0 + (5 * steps.len() + 4) as f64 * f64::from(f32::EPSILON) / 2.0;
    let scale = rounding / f64::from(SCALE);
    all.iter_mut().for_each(|p| *p *= scale);
    all
}

/// The four contexts that a context follows, each with the steps and the probability of the base that leads from it there.
fn sources(to: usize, column: &[usize; 4], transitions: &[[f64; 4]]) -> [(usize, usize, f64); 4] {
    let contexts = transitions.len();
    std::array::from_fn(|i| {
        // Without contexts each base leads from the only one to itself.
        let (context, base) = if contexts == 1 { (0, i) } else { (to / 4 + i * (contexts / 4), to % 4) };
        (context, column[base], transitions[context][base])
    })
}

/// Probabilities that are moved up by so many steps and multiplied.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    row: &'a [f32],
    step: usize,
    p: f32,
}

/// Replaces probabilities by the sum of four sources.
struct Gather<'a> {
    from: [Source<'a>; 4],
    into: &'a mut [f32],
}

impl Task for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Gather { from, into } = self;
        let [first, .., last] = from;
        if first.step == last.step && from.iter().all(|source| source.step == first.step) {
            let length = first.row.len();
            let [a, b, c, d] = from.map(|source| &source.row[..length]);
            let [p, q, r, s] = from.map(|source| source.p);
            into[..first.step].fill(0.0);
            into[first.step + length..].fill(0.0);
            let into = &mut into[first.step..][..length];
            for i in 0..length {
                into[i] = (a[i] * p + b[i] * q) + (c[i] * r + d[i] * s);
            }
            return;
        }
        into.fill(0.0);
        for Source { row, step, p } in from {
            let into = &mut into[step..][..row.len()];
            for i in 0..row.len() {
                into[i] += row[i] * p;
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
            detectors: 1,
            detector_length: width,
            weights: (0..4 * width).map(|_| rng.random::<f32>() * 6.0 - 4.0).collect(),
            thresholds: vec![0.25],
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
        let width = matrix.detector_length;
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
        for (width, order) in [(1, 0), (6, 0), (6, 2), (5, 3)] {
            let matrix = matrix(width, &mut rng);
            let mut markov = Markov::new(order);
            markov.count(&bases);
            let forward = by_enumeration(&matrix, &markov, Strand::Forward);
            let reverse = by_enumeration(&matrix, &markov, Strand::Reverse);
            for strands in [StrandChoice::Forward, StrandChoice::Reverse, StrandChoice::Both] {
                let null = null(&matrix, &markov, strands);
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
                        assert!(p <= exact(score - 4e-3) * 1.002, "{width} {order} {strands} {score}");
                    }
                    assert!((null.p(-1e6, strand) - 1.0).abs() < 1e-9);
                }
            }
        }
    }
}
