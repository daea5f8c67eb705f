//! One small network that gives the scores of an ensemble (Hinton, Vinyals & Dean 2015).
//!
//! The ensemble scores any sequence, so that there is no end of examples: the training sequences, and shuffles of the bound
//! ones. (Mutants and recombinants of them make the small network no better.) It begins with those filters of the ensemble
//! that together predict its scores best.

use std::sync::atomic::AtomicBool;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use crate::dataset::{Dataset, TargetKind};
use crate::model::{Dense, Network, Strands};
use crate::seq::shuffle::shuffle_kmers;
use crate::simd;
use crate::train::deepbind::fit::{Examples, Fit, Settings, Stopped};
use crate::train::deepbind::gradient;
use crate::train::deepbind::gradient::{Score, Workspace};
use crate::train::deepbind::init::Start;
use crate::train::deepbind::optimizer::{Optimizer, Penalty};
use crate::train::deepbind::parameters::{Architecture, Layout};
use crate::{Error, Result};

/// The network that is wanted, and the effort.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distillation {
    /// Filters. With [`Strands::Symmetric`], their reverse complements come in addition.
    pub filters: usize,
    /// Bases of a filter.
    pub length: usize,
    /// True if windows are padded with N.
    pub padded: bool,
    /// Sequences that the ensemble scores.
    pub sequences: usize,
    /// Steps of the fit.
    pub steps: usize,
}

/// Sequences a step.
const BATCH: usize = 64;

/// Learning rate of the first step; it falls along half a cosine to nearly 0.
const RATE: f32 = 3e-3;

/// Parts of the fit, each with a learning rate of its own.
const LEGS: usize = 50;

/// Sequences that filters are chosen by, at most.
const CHOOSING: usize = 6_000;

/// Sequences that are scored together.
const SCORED_TOGETHER: usize = 64;

impl Distillation {
    /// Fits a network to the scores of `teacher`, which reads `strands`, on sequences like those of `dataset`. Both networks
    /// are as they are fitted: with [`Strands::Symmetric`], without the reverse complements of their filters
    /// ([`unfold`](crate::train::deepbind::rc_tied::unfold)).
    ///
    /// # Errors
    /// A fit that diverges, and cancellation.
    pub fn run(
        &self,
        teacher: &Network,
        strands: Strands,
        dataset: &Dataset,
        seed: u64,
        cancel: &AtomicBool,
    ) -> Result<Network> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let sequences = examples(dataset, self.sequences, &mut rng);
        let scores = score(teacher, strands, &sequences)?;
        let architecture = Architecture {
            filters: self.filters.min(teacher.filters),
            filter_length: self.length,
            padded: self.padded,
            pooling: teacher.pooling,
            hidden: 0,
            outputs: teacher.output.outputs,
            strands,
        };
        let start = self.start(teacher, &architecture, &sequences, &scores)?;
        let lesson = Dataset::new(sequences, scores, dataset.output_names.clone(), TargetKind::Real)?;
        let examples = Examples::new(&lesson, &architecture);
        let ranks: Vec<u32> = (0..lesson.len() as u32).collect();
        let mut fit = Fit::from_network(&examples, &ranks, architecture, &start, settings(), seed);
        for leg in 0..LEGS {
            let phase = (leg as f32 + 0.5) / LEGS as f32 * std::f32::consts::PI;
            fit.set_rate(RATE * (0.5 + 0.5 * phase.cos()));
            match fit.run(self.steps * (leg + 1) / LEGS - self.steps * leg / LEGS, cancel) {
                Ok(_) => {}
                Err(Stopped::Diverged) => {
                    return Err(Error::Diverged("the small network diverged; give another seed".into()));
                }
                Err(Stopped::Cancelled) => return Err(Error::Interrupted),
            }
        }
        Ok(fit.half())
    }

    /// The small network before its first step: the filters of `teacher` that predict its `scores` best, one by one, and the
    /// weights of least squares.
    fn start(
        &self,
        teacher: &Network,
        architecture: &Architecture,
        sequences: &[Vec<u8>],
        scores: &[f32],
    ) -> Result<Network> {
        let outputs = architecture.outputs;
        let step = sequences.len().div_ceil(CHOOSING);
        let sample: Vec<Vec<u8>> = sequences.iter().step_by(step).cloned().collect();
        let targets: Vec<f32> = scores.chunks_exact(outputs).step_by(step).flatten().copied().collect();
        let features = score(&opened(teacher), architecture.strands, &sample)?;
        let regression = Regression::new(&features, &targets, teacher.features(), outputs);
        let chosen = regression.choose(architecture.filters);
        let output = regression.fit(&chosen, teacher.features(), outputs);
        let mut network = Layout::new(*architecture).zero();
        for (k, &from) in chosen.iter().enumerate() {
            copy_filter(teacher, from, &mut network, k);
        }
        network.output = output;
        Ok(network)
    }
}

fn settings() -> Settings {
    Settings {
        batch: BATCH,
        optimizer: Optimizer::Adam,
        rate: RATE,
        keep: 1.0,
        penalty: Penalty::default(),
        start: Start { filter_scale: 0.0, dense_scale: None, kmers: 0.0 },
        averaged: true,
    }
}

/// The network with its pooled features as outputs.
fn opened(network: &Network) -> Network {
    let features = network.features();
    let mut weights = vec![0.0; features * features];
    (0..features).for_each(|i| weights[i * features + i] = 1.0);
    let output = Dense { inputs: features, outputs: features, weights, bias: vec![0.0; features] };
    Network { hidden: None, output, ..network.clone() }
}

/// Copies a filter into a network whose filters may be longer (around it come zeros) or shorter (its strongest columns are
/// kept).
fn copy_filter(from: &Network, k: usize, into: &mut Network, place: usize) {
    let (length, wanted) = (from.filter_length, into.filter_length);
    let weight = |base: usize, j: usize| from.weights[(k * 4 + base) * length + j];
    let strength = |start: usize| -> f32 {
        let columns = (start..start + wanted.min(length)).flat_map(|j| (0..4).map(move |base| (base, j)));
        columns.map(|(base, j)| weight(base, j).powi(2)).sum()
    };
    let starts = 0..=length.saturating_sub(wanted);
    let start =
        starts.reduce(|best, next| if strength(next) > strength(best) { next } else { best }).unwrap_or(0);
    let offset = wanted.saturating_sub(length) / 2;
    for base in 0..4 {
        for j in 0..wanted.min(length) {
            into.weights[(place * 4 + base) * wanted + offset + j] = weight(base, start + j);
        }
    }
    into.biases[place] = from.biases[k];
}

/// Sequences like those of `dataset`: in turn a positive, a shuffle of one, and any sequence.
fn examples(dataset: &Dataset, count: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<Vec<u8>> {
    let (sequences, high) = (&dataset.sequences, high_ranks(dataset));
    let example = |i: usize| {
        let positive = &sequences[high[i / 4 % high.len()]];
        match i % 4 {
            0 | 2 => positive.clone(),
            1 => shuffle_kmers(positive, 2, rng),
            _ => sequences[rng.random_range(0..sequences.len())].clone(),
        }
    };
    (0..count).map(example).collect()
}

/// Ranks of the positives; of measured numbers, those of the highest tenth (by the first output that is known).
fn high_ranks(dataset: &Dataset) -> Vec<usize> {
    let column = dataset.target_column(0);
    let mut ranks: Vec<usize> = (0..dataset.len()).filter(|&rank| !column[rank].is_nan()).collect();
    match dataset.kind {
        TargetKind::Binary => ranks.retain(|&rank| column[rank] > 0.5),
        TargetKind::Real => {
            ranks.sort_by(|&a, &b| column[b].total_cmp(&column[a]));
            ranks.truncate(ranks.len().div_ceil(10));
        }
    }
    if ranks.is_empty() { (0..dataset.len()).collect() } else { ranks }
}

/// Scores of sequences by a network as it is fitted: `[sequence][output]`.
fn score(network: &Network, strands: Strands, sequences: &[Vec<u8>]) -> Result<Vec<f32>> {
    let error = |message: String| Error::model("to be distilled", message);
    let architecture = Architecture::from_network(network, strands).map_err(error)?;
    let layout = Layout::new(architecture);
    let parameters = layout.parameters(network);
    let part = |sequences: &[Vec<u8>]| {
        let triplets = gradient::index(sequences, &architecture);
        let mut workspace = Workspace::new(&layout, SCORED_TOGETHER);
        let ranks: Vec<u32> = (0..sequences.len() as u32).collect();
        let mut scores = Vec::with_capacity(sequences.len() * architecture.outputs);
        for batch in ranks.chunks(SCORED_TOGETHER) {
            simd::run(Score {
                layout: &layout,
                parameters: &parameters,
                triplets: &triplets,
                batch,
                workspace: &mut workspace,
                scores: &mut scores,
            });
        }
        scores
    };
    Ok(sequences.par_chunks(16 * SCORED_TOGETHER).map(part).collect::<Vec<_>>().concat())
}

/// Least squares of scores on features, all centred.
struct Regression {
    features: usize,
    /// Products of features, `[feature][feature]`.
    gram: Vec<f64>,
    /// Products of features and scores, `[feature][output]`.
    cross: Vec<f64>,
    feature_means: Vec<f64>,
    score_means: Vec<f64>,
}

impl Regression {
    fn new(features: &[f32], scores: &[f32], count: usize, outputs: usize) -> Regression {
        let rows = features.chunks_exact(count).zip(scores.chunks_exact(outputs));
        let n = (features.len() / count).max(1) as f64;
        let (mut feature_means, mut score_means) = (vec![0.0; count], vec![0.0; outputs]);
        for (x, y) in rows.clone() {
            feature_means.iter_mut().zip(x).for_each(|(mean, &x)| *mean += f64::from(x) / n);
            score_means.iter_mut().zip(y).for_each(|(mean, &y)| *mean += f64::from(y) / n);
        }
        let (mut gram, mut cross) = (vec![0.0; count * count], vec![0.0; count * outputs]);
        for (x, y) in rows {
            let x: Vec<f64> = x.iter().zip(&feature_means).map(|(&x, mean)| f64::from(x) - mean).collect();
            for (i, a) in x.iter().enumerate() {
                gram[i * count..][..count].iter_mut().zip(&x).for_each(|(sum, b)| *sum += a * b);
                let centred = y.iter().zip(&score_means).map(|(&y, mean)| f64::from(y) - mean);
                cross[i * outputs..][..outputs].iter_mut().zip(centred).for_each(|(sum, y)| *sum += a * y);
            }
        }
        Regression { features: count, gram, cross, feature_means, score_means }
    }

    /// Ranks of `count` features, each the one that lowers the squared error most beside those before it. What is left of
    /// the others is made orthogonal to it (Gram and Schmidt, in the products).
    fn choose(&self, count: usize) -> Vec<usize> {
        let (size, outputs) = (self.features, self.score_means.len());
        let (mut gram, mut cross) = (self.gram.clone(), self.cross.clone());
        let least: Vec<f64> = (0..size).map(|i| 1e-6 * self.gram[i * size + i]).collect();
        let mut chosen: Vec<usize> = Vec::with_capacity(count);
        while chosen.len() < count.min(size) {
            let gain = |i: usize| {
                let norm = gram[i * size + i];
                let product: f64 = cross[i * outputs..][..outputs].iter().map(|x| x * x).sum();
                if norm > least[i] { product / norm } else { 0.0 }
            };
            let free = (0..size).filter(|i| !chosen.contains(i));
            let Some(best) = free.reduce(|best, next| if gain(next) > gain(best) { next } else { best })
            else {
                break;
            };
            let norm = gram[best * size + best];
            let (row, products) =
                (gram[best * size..][..size].to_vec(), cross[best * outputs..][..outputs].to_vec());
            if norm > least[best] {
                for i in 0..size {
                    let share = row[i] / norm;
                    gram[i * size..][..size].iter_mut().zip(&row).for_each(|(x, y)| *x -= share * y);
                    cross[i * outputs..][..outputs]
                        .iter_mut()
                        .zip(&products)
                        .for_each(|(x, y)| *x -= share * y);
                }
            }
            chosen.push(best);
        }
        chosen
    }

    /// The output layer of the features `chosen`.
    fn fit(&self, chosen: &[usize], size: usize, outputs: usize) -> Dense {
        let count = chosen.len();
        let mut weights = vec![0.0; outputs * count];
        let mut bias = vec![0.0; outputs];
        for output in 0..outputs {
            let mut matrix: Vec<Vec<f64>> = chosen
                .iter()
                .map(|&i| {
                    let products = chosen.iter().map(|&j| self.gram[i * size + j]);
                    products.chain([self.cross[i * outputs + output]]).collect()
                })
                .collect();
            for (i, row) in matrix.iter_mut().enumerate() {
                row[i] = row[i] * (1.0 + 1e-4) + 1e-9;
            }
            let solution = solve(matrix);
            let mean: f64 = chosen.iter().zip(&solution).map(|(&i, w)| self.feature_means[i] * w).sum();
            bias[output] = (self.score_means[output] - mean) as f32;
            weights[output * count..][..count].iter_mut().zip(&solution).for_each(|(w, &x)| *w = x as f32);
        }
        Dense { inputs: count, outputs, weights, bias }
    }
}

/// Solves a positive definite system, its right side in the last column, by elimination.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for i in 0..n {
        let pivot = rows[i].clone();
        for row in &mut rows[i + 1..] {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).skip(i).for_each(|(x, y)| *x -= factor * y);
        }
    }
    let mut solution = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][n] - known) / rows[i][i];
    }
    solution
}
