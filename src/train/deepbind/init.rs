//! Initial parameters.

use std::collections::HashMap;

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::dataset::{Dataset, TargetKind};
use crate::model::{Dense, Network, Strands};
use crate::seq::alphabet::{N, complement};
use crate::train::deepbind::parameters::Architecture;

/// Distribution of parameters before the first step. Weights are normal with mean 0, biases and biases are 0 (the
/// bias of an output with real targets: their mean).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// Standard deviation of the filters' weights.
    pub filter_scale: f32,
    /// Standard deviation of the dense layers' weights; `None` for 1 / √inputs.
    pub dense_scale: Option<f32>,
    /// Share of the filters that begin as a k-mer that is over-represented in the positives (or in the sequences
    /// with high targets).
    pub kmers: f32,
}

/// Draws a network for the examples with the given ranks.
pub(crate) fn network(
    dataset: &Dataset,
    ranks: &[u32],
    architecture: &Architecture,
    start: Start,
    motifs: &[Network],
    rng: &mut Xoshiro256PlusPlus,
) -> Network {
    let Architecture { filters, filter_length, pooling, hidden, outputs, .. } = *architecture;
    let features = filters * pooling.features_per_filter();
    let mut weights = normals(filters * 4 * filter_length, start.filter_scale, rng);
    let mut dense = |inputs: usize, outputs: usize| Dense {
        inputs,
        outputs,
        weights: normals(inputs * outputs, start.dense_scale.unwrap_or(1.0 / (inputs as f32).sqrt()), rng),
        bias: vec![0.0; outputs],
    };
    let hidden_layer = (hidden > 0).then(|| dense(features, hidden));
    let mut output = dense(if hidden > 0 { hidden } else { features }, outputs);
    if dataset.kind == TargetKind::Real {
        output.bias = (0..outputs).map(|output| mean(dataset, ranks, output)).collect();
    }
    let mut biases = vec![0.0; filters];
    let mut first = 0;
    for (motif, crossed) in
        motifs.iter().flat_map(|motif| CROSSED.map(|crossed| (motif, crossed))).take(filters)
    {
        let filter = &mut weights[4 * filter_length * first..4 * filter_length * (first + 1)];
        filter.iter_mut().zip(scaled(motif, filter_length)).for_each(|(weight, x)| *weight += x);
        biases[first] = -crossed * BEST;
        if hidden == 0 {
            output_weights_to_begin_with(&mut output, first);
        }
        first += 1;
    }
    let from_kmers = ((filters - first) as f32 * start.kmers).round() as usize;
    let length = KMER.min(filter_length);
    let kmers = if from_kmers > 0 {
        enriched(dataset, ranks, length, architecture.strands, from_kmers)
    } else {
        Vec::new()
    };
    for (k, kmer) in (first..).zip(kmers) {
        let offset = (filter_length - length) / 2;
        for (j, base) in letters(kmer, length).enumerate() {
            for b in 0..4 {
                let weight = if b == base { MATCH } else { -MATCH / 3.0 };
                weights[(k * 4 + usize::from(b)) * filter_length + offset + j] += weight;
            }
        }
        biases[k] = -MATCH * (length as f32 - 2.0 * 4.0 / 3.0);
    }
    Network {
        filters,
        filter_length,
        weights,
        biases,
        rectify: true,
        padding: architecture.padding(),
        pooling,
        hidden: hidden_layer,
        output,
        sigmoid: false,
    }
}

/// Activation of the best site of a motif, before the bias.
const BEST: f32 = 2.0;

/// Shares of a motif's best score above which the filters that begin as it are active.
const CROSSED: [f32; 2] = [0.4, 0.7];

/// Lets the outputs begin with a feature that speaks for binding.
fn output_weights_to_begin_with(output: &mut Dense, feature: usize) {
    let inputs = output.inputs;
    output.weights.iter_mut().skip(feature).step_by(inputs).for_each(|weight| *weight = 1.0);
}

/// The weights of a matrix as a filter of `length` bases: N gives 0, the best site [`BEST`]. Of a longer matrix the columns
/// that matter most are kept; a shorter one lies in the middle.
fn scaled(motif: &Network, length: usize) -> Vec<f32> {
    let width = motif.filter_length;
    let column = |j: usize| [0, 1, 2, 3].map(|base| motif.weights[base * width + j]);
    let centred = |j: usize| {
        let mean = column(j).iter().sum::<f32>() / 4.0;
        column(j).map(|weight| weight - mean)
    };
    let best = |j: usize| centred(j).into_iter().fold(0.0, f32::max);
    let used = width.min(length);
    let strength = |start: usize| (start..start + used).map(best).sum::<f32>();
    let starts = 0..=width - used;
    let start = starts.reduce(|a, b| if strength(b) > strength(a) { b } else { a }).unwrap_or(0);
    let scale = if strength(start) > 0.0 { BEST / strength(start) } else { 0.0 };
    let mut weights = vec![0.0; 4 * length];
    let offset = (length - used) / 2;
    for j in 0..used {
        for (base, weight) in centred(start + j).into_iter().enumerate() {
            weights[base * length + offset + j] = weight * scale;
        }
    }
    weights
}

/// Length of the k-mers that filters begin as.
const KMER: usize = 8;

/// Weight of a k-mer's own base; the other three have minus a third of it, so that an N gives 0. The bias is
/// crossed with fewer than two mismatches.
const MATCH: f32 = 0.25;

/// Sequences that are counted, at most: enough to rank k-mers.
const COUNTED: usize = 20_000;

/// The `count` k-mers whose presence in a sequence goes with a high target, most strongly first, none within one
/// mismatch and one shift of another. A k-mer is a number in base 4, its first base the highest digit.
fn enriched(dataset: &Dataset, ranks: &[u32], length: usize, strands: Strands, count: usize) -> Vec<u32> {
    let weights = weights(dataset, ranks);
    let mut totals: HashMap<u32, (f64, f64)> = HashMap::new();
    let mut present = Vec::new();
    let step = ranks.len().div_ceil(COUNTED).max(1);
    for (&rank, weight) in ranks.iter().zip(weights).step_by(step) {
        present.clear();
        let codes = &dataset.sequences[rank as usize];
        let kmers = codes.windows(length).filter(|kmer| !kmer.contains(&N)).map(number);
        present.extend(
            kmers.map(
                |kmer| {
                    if strands == Strands::Single { kmer } else { kmer.min(reversed(kmer, length)) }
                },
            ),
        );
        present.sort_unstable();
        present.dedup();
        for &kmer in &present {
            let total = totals.entry(kmer).or_default();
            total.0 += weight;
            total.1 += weight * weight;
        }
    }
    let mut ranked: Vec<(f64, u32)> =
        totals.into_iter().map(|(kmer, (sum, squares))| (sum / (squares + 1.0).sqrt(), kmer)).collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<u32> = Vec::with_capacity(count);
    for (_, kmer) in ranked {
        if chosen.len() == count {
            break;
        }
        let both = [kmer, reversed(kmer, length)];
        let near = |&other: &u32| {
            let strands = if strands == Strands::Single { &both[..1] } else { &both[..] };
            strands.iter().any(|&kmer| alike(kmer, other, length))
        };
        if !chosen.iter().any(near) {
            chosen.push(kmer);
        }
    }
    chosen
}

/// Weight of a sequence for the k-mers in it: its target as a standard score, the mean over outputs.
fn weights(dataset: &Dataset, ranks: &[u32]) -> Vec<f64> {
    let mut weights = vec![0.0; ranks.len()];
    for output in 0..dataset.outputs {
        let of = |&rank: &u32| f64::from(dataset.targets[rank as usize * dataset.outputs + output]);
        let known = || ranks.iter().map(of).filter(|target| !target.is_nan());
        let count = known().count().max(1) as f64;
        let mean = known().sum::<f64>() / count;
        let deviation = (known().map(|target| (target - mean).powi(2)).sum::<f64>() / count).sqrt();
        for (weight, target) in weights.iter_mut().zip(ranks.iter().map(of)) {
            if deviation > 0.0 && !target.is_nan() {
                *weight += (target - mean) / deviation / dataset.outputs as f64;
            }
        }
    }
    weights
}

/// True if two k-mers differ in one base at most, side by side or shifted by one.
fn alike(a: u32, b: u32, length: usize) -> bool {
    let overlap = 2 * (length as u32 - 1);
    let low = (1u32 << overlap) - 1;
    [(a, b), (a & low, b >> 2), (a >> 2, b & low)].into_iter().any(|(a, b)| mismatches(a, b) < 2)
}

fn mismatches(a: u32, b: u32) -> u32 {
    let differ = a ^ b;
    ((differ | differ >> 1) & 0x5555_5555).count_ones()
}

fn number(kmer: &[u8]) -> u32 {
    kmer.iter().fold(0, |number, &code| number << 2 | u32::from(code))
}

fn letters(kmer: u32, length: usize) -> impl Iterator<Item = u8> {
    (0..length).rev().map(move |i| (kmer >> (2 * i) & 3) as u8)
}

fn reversed(kmer: u32, length: usize) -> u32 {
    let bases: Vec<u8> = letters(kmer, length).map(complement).collect();
    bases.iter().rev().fold(0, |number, &code| number << 2 | u32::from(code))
}

fn mean(dataset: &Dataset, ranks: &[u32], output: usize) -> f32 {
    let targets = ranks.iter().map(|&rank| dataset.targets[rank as usize * dataset.outputs + output]);
    let (sum, count) =
        targets.filter(|t| !t.is_nan()).fold((0.0, 0.0), |(s, n), t| (s + f64::from(t), n + 1.0));
    if count > 0.0 { (sum / count) as f32 } else { 0.0 }
}

/// Normal numbers with mean 0, by Box and Muller.
fn normals(count: usize, deviation: f32, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let draw = |_| {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32 * deviation
    };
    (0..count).map(draw).collect()
}
