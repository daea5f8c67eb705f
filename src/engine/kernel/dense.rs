//! The dense layers, many windows at a time.
//!
//! A hidden layer takes 32 windows, one a lane, so that no sum runs across lanes. An output layer that stands alone
//! is too little work to be worth the transposition: it takes 16, and their sums over lanes are folded together.

use super::simd::{Lanes, Task, Vector, WIDTH};
use crate::model::{Dense, Network};

/// Outputs computed side by side.
const SIDE: usize = 8;

/// One number of each of 32 windows.
type Pair = [Lanes; 2];

/// Windows that [`Apply`] takes at a time.
pub(super) const WINDOWS: usize = 2 * WIDTH;

/// A dense layer with its weights in the order of their use.
#[derive(Debug, Clone)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Weights of eight outputs at a time, `[block][input][8]`, then those of each output left over, `[input]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    /// `layer` with the weights of each input multiplied by `scale(input)`.
    fn new(layer: &Dense, scale: impl Fn(usize) -> f64) -> Layer {
        let Dense { inputs, outputs, .. } = *layer;
        let weight = |o: usize, i: usize| (f64::from(layer.weights[o * inputs + i]) * scale(i)) as f32;
        let bulk = outputs / SIDE * SIDE;
        let mut weights = Vec::with_capacity(inputs * outputs);
        for first in (0..bulk).step_by(SIDE) {
            weights.extend((0..inputs * SIDE).map(|n| weight(first + n % SIDE, n / SIDE)));
        }
        weights.extend((bulk * inputs..outputs * inputs).map(|n| weight(n / inputs, n % inputs)));
        Layer { inputs, outputs, weights, bias: layer.bias.clone() }
    }

    /// `y[output] = bias + Σ weight · x[input]`, for 32 windows.
    #[inline(always)]
    fn apply<V: Vector>(&self, x: &[Pair], y: &mut [Pair]) {
        let (x, y) = (&x[..self.inputs], &mut y[..self.outputs]);
        let bulk = self.outputs / SIDE * SIDE;
        let (wide, narrow) = self.weights.split_at(bulk * self.inputs);
        let (bias, rest) = self.bias.split_at(bulk);
        let (y, y_rest) = y.split_at_mut(bulk);
        let blocks = wide.as_chunks().0.chunks_exact(self.inputs).zip(bias.as_chunks().0);
        for ((weights, bias), y) in blocks.zip(y.as_chunks_mut().0) {
            if V::MANY {
                sum_products::<V, SIDE, 2>(weights, bias, 0, 0, x, y);
            } else {
                const FEWER: usize = SIDE / 2;
                sum_products::<V, FEWER, 1>(weights, bias, 0, 0, x, y);
                sum_products::<V, FEWER, 1>(weights, bias, 0, 1, x, y);
                sum_products::<V, FEWER, 1>(weights, bias, FEWER, 0, x, y);
                sum_products::<V, FEWER, 1>(weights, bias, FEWER, 1, x, y);
            }
        }
        for ((weights, &bias), y) in narrow.chunks_exact(self.inputs).zip(rest).zip(y_rest) {
            sum_products_of_one::<V>(weights, bias, x, y);
        }
    }
}

/// Outputs `output .. output + O` of eight, for 16 `M` windows from the half `half` of each pair on.
#[inline(always)]
fn sum_products<V: Vector, const O: usize, const M: usize>(
    weights: &[[f32; SIDE]],
    bias: &[f32; SIDE],
    output: usize,
    half: usize,
    x: &[Pair],
    y: &mut [Pair; SIDE],
) {
    let mut sums = [[V::splat(0.0); M]; O];
    for (o, sums) in sums.iter_mut().enumerate() {
        *sums = [V::splat(bias[output + o]); M];
    }
    for (weights, x) in weights.iter().zip(x) {
        let mut values = [V::splat(0.0); M];
        for (m, value) in values.iter_mut().enumerate() {
            *value = V::load(&x[half + m]);
        }
        for o in 0..O {
            let weight = V::splat(weights[output + o]);
            for m in 0..M {
                sums[o][m] = weight.mul_add(values[m], sums[o][m]);
            }
        }
    }
    for (o, sums) in sums.into_iter().enumerate() {
        for (m, sum) in sums.into_iter().enumerate() {
            sum.store(&mut y[output + o][half + m]);
        }
    }
}

/// One output, in four sums so that each addition need not wait for the one before.
#[inline(always)]
fn sum_products_of_one<V: Vector>(weights: &[f32], bias: f32, x: &[Pair], y: &mut Pair) {
    let ((weights, weights_left), (x, x_left)) = (weights.as_chunks::<4>(), x.as_chunks::<4>());
    for (half, y) in y.iter_mut().enumerate() {
        let mut sums = [V::splat(bias), V::splat(0.0), V::splat(0.0), V::splat(0.0)];
        for (weights, x) in weights.iter().zip(x) {
            for i in 0..4 {
                sums[i] = V::splat(weights[i]).mul_add(V::load(&x[i][half]), sums[i]);
            }
        }
        for (&weight, x) in weights_left.iter().zip(x_left) {
            sums[0] = V::splat(weight).mul_add(V::load(&x[half]), sums[0]);
        }
        let [a, b, c, d] = sums;
        a.add(b).add(c.add(d)).store(y);
    }
}

/// Negative numbers become 0.
#[inline(always)]
fn rectify<V: Vector>(x: &mut [Pair]) {
    let zero = V::splat(0.0);
    for x in x.as_flattened_mut() {
        zero.max_from_zero(V::load(x)).store(x);
    }
}

/// An output layer on pooled features as they come: 16 detectors a vector.
#[derive(Debug, Clone)]
struct Linear {
    /// `weights[output * vectors + vector]`.
    weights: Vec<Lanes>,
    vectors: usize,
    bias: Vec<f32>,
}

impl Linear {
    /// `layer` on maxima and means of `detectors` detectors, the weights multiplied by `scale(input)`.
    fn new(layer: &Dense, detectors: usize, scale: impl Fn(usize) -> f64) -> Linear {
        let groups = detectors.div_ceil(WIDTH);
        let vectors = layer.inputs / detectors * groups;
        let mut weights = vec![Lanes::ZERO; layer.outputs * vectors];
        for (row, weights) in layer.weights.chunks_exact(layer.inputs).zip(weights.chunks_exact_mut(vectors))
        {
            for (i, &weight) in row.iter().enumerate() {
                let (statistic, detector) = (i / detectors, i % detectors);
                let vector = statistic * groups + detector / WIDTH;
                weights[vector].0[detector % WIDTH] = (f64::from(weight) * scale(i)) as f32;
            }
        }
        Linear { weights, vectors, bias: layer.bias.clone() }
    }

    /// `y[output]` of the 32 windows from `first` on; features as in [`Apply`].
    #[inline(always)]
    fn apply<V: Vector>(&self, features: &[Lanes], room: usize, first: usize, y: &mut [Pair]) {
        for ((weights, &bias), y) in self.weights.chunks_exact(self.vectors).zip(&self.bias).zip(y) {
            for (half, y) in y.iter_mut().enumerate() {
                let mut sums = [V::splat(0.0); WIDTH];
                for (i, (weights, features)) in weights.iter().zip(features.chunks_exact(room)).enumerate() {
                    let weights = V::load(weights);
                    let windows: &[Lanes; WIDTH] =
                        features[first + half * WIDTH..].first_chunk().expect("room for 16");
                    for (sum, window) in sums.iter_mut().zip(windows) {
                        let product = V::load(window).mul(weights);
                        *sum = if i == 0 { product } else { sum.add(product) };
                    }
                }
                V::sum_lanes(&sums).add(V::splat(bias)).store(y);
            }
        }
    }
}

/// The dense layers of a network, for windows with a given number of alignments.
#[derive(Debug, Clone)]
pub(super) struct Head {
    layers: Layers,
    sigmoid: bool,
}

#[derive(Debug, Clone)]
enum Layers {
    One(Linear),
    Two { detectors: usize, hidden: Layer, output: Layer },
}

impl Head {
    /// The layers of `network`, where a mean is over `alignments` activations: features come as sums, and the
    /// division is part of the weights.
    pub(super) fn new(network: &Network, alignments: usize) -> Head {
        let detectors = network.detectors;
        let maxima = if network.pooling.has_max() { detectors } else { 0 };
        let pooled = |i: usize| if i < maxima { 1.0 } else { 1.0 / alignments as f64 };
        let layers = match &network.hidden {
            None => Layers::One(Linear::new(&network.output, detectors, pooled)),
            Some(hidden) => Layers::Two {
                detectors,
                hidden: Layer::new(hidden, pooled),
                output: Layer::new(&network.output, |_| 1.0),
            },
        };
        Head { layers, sigmoid: network.sigmoid }
    }

    /// Weights of one output for the features of 16 detectors a vector, if the score is linear in the features.
    pub(super) fn weights(&self, output: usize) -> Option<&[Lanes]> {
        match &self.layers {
            Layers::One(layer) => Some(&layer.weights[output * layer.vectors..][..layer.vectors]),
            Layers::Two { .. } => None,
        }
    }

    /// Working memory that [`Apply`] needs.
    pub(super) fn scratch(&self) -> usize {
        match &self.layers {
            Layers::One(output) => output.bias.len(),
            Layers::Two { hidden, output, .. } => hidden.inputs + hidden.outputs + output.outputs,
        }
    }
}

/// Scores of consecutive windows from their pooled features.
pub(super) struct Apply<'a> {
    pub(super) head: &'a Head,
    /// Features, 16 detectors a vector: `features[vector * room + window]`, all maxima before all sums.
    pub(super) features: &'a [Lanes],
    /// Windows that each vector of features has room for, a multiple of [`WINDOWS`].
    pub(super) room: usize,
    /// Windows that there are.
    pub(super) windows: usize,
    pub(super) scratch: &'a mut [Pair],
    /// `out[output * pitch + window]`.
    pub(super) out: &'a mut [f32],
    /// Distance between outputs.
    pub(super) pitch: usize,
}

impl Task for Apply<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Apply { head, features, room, windows, scratch, out, pitch } = self;
        for first in (0..windows).step_by(WINDOWS) {
            let y = match &head.layers {
                Layers::One(output) => {
                    output.apply::<V>(features, room, first, scratch);
                    &*scratch
                }
                Layers::Two { detectors, hidden, output } => {
                    let (x, rest) = scratch.split_at_mut(hidden.inputs);
                    let (h, y) = rest.split_at_mut(hidden.outputs);
                    windows_in_lanes::<V>(*detectors, features, room, first, x);
                    hidden.apply::<V>(x, h);
                    rectify::<V>(h);
                    output.apply::<V>(h, y);
                    &*y
                }
            };
            let width = WINDOWS.min(windows - first);
            for (y, out) in y.iter().zip(out.chunks_mut(pitch)) {
                let out = &mut out[first..first + width];
                for (out, y) in out.chunks_mut(WIDTH).zip(y) {
                    out.copy_from_slice(&y.0[..out.len()]);
                }
                if head.sigmoid {
                    out.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
                }
            }
        }
    }
}

/// Features of the 32 windows from `first` on, one window a lane: `x[feature]`.
#[inline(always)]
fn windows_in_lanes<V: Vector>(
    detectors: usize,
    features: &[Lanes],
    room: usize,
    first: usize,
    x: &mut [Pair],
) {
    let groups = detectors.div_ceil(WIDTH);
    for (vector, features) in features.chunks_exact(room).enumerate() {
        let (statistic, group) = (vector / groups, vector % groups);
        let x = &mut x[statistic * detectors..][..detectors][group * WIDTH..];
        for half in 0..2 {
            let rows = features[first + half * WIDTH..].first_chunk().expect("room for 16");
            let mut columns = [Lanes::ZERO; WIDTH];
            V::transpose(rows, &mut columns);
            for (x, column) in x.iter_mut().zip(&columns) {
                V::load(column).store(&mut x[half]);
            }
        }
    }
}
