//! The dense layers, 16 windows at a time.
//!
//! A hidden layer takes them with one window a lane, so that no sum runs across lanes. An output layer that stands
//! alone is too little work to be worth the transposition: its sums over the lanes of 16 windows are folded together.

use super::simd::{Lanes, Task, Vector, WIDTH};
use crate::model::{Dense, Network};

/// Outputs computed side by side.
const SIDE: usize = 8;

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

    /// `y[output] = bias + Σ weight · x[input]`, each raised to `floor` if there is one.
    #[inline(always)]
    fn apply<V: Vector>(&self, x: &[Lanes], floor: Option<f32>, y: &mut [Lanes]) {
        let (x, y) = (&x[..self.inputs], &mut y[..self.outputs]);
        let bulk = self.outputs / SIDE * SIDE;
        let (wide, narrow) = self.weights.split_at(bulk * self.inputs);
        let (bias, rest) = self.bias.split_at(bulk);
        let (y, y_rest) = y.split_at_mut(bulk);
        let blocks = wide.chunks_exact(SIDE * self.inputs).zip(bias.chunks_exact(SIDE));
        for ((weights, bias), y) in blocks.zip(y.chunks_exact_mut(SIDE)) {
            sum_products::<V>(weights, bias, x, floor, y);
        }
        for ((weights, &bias), y) in narrow.chunks_exact(self.inputs).zip(rest).zip(y_rest) {
            sum_products_of_one::<V>(weights, bias, x, floor, y);
        }
    }
}

/// Eight outputs: `weights[input * 8 + output]`.
#[inline(always)]
fn sum_products<V: Vector>(weights: &[f32], bias: &[f32], x: &[Lanes], floor: Option<f32>, y: &mut [Lanes]) {
    let mut sums = [V::splat(0.0); SIDE];
    for (sum, &bias) in sums.iter_mut().zip(bias) {
        *sum = V::splat(bias);
    }
    for (weights, x) in weights.as_chunks::<SIDE>().0.iter().zip(x) {
        let x = V::load(x);
        for (sum, &weight) in sums.iter_mut().zip(weights) {
            *sum = sum.add(V::splat(weight).mul(x));
        }
    }
    for (sum, y) in sums.into_iter().zip(y) {
        raise(sum, floor).store(y);
    }
}

/// One output, in four sums so that each addition need not wait for the one before.
#[inline(always)]
fn sum_products_of_one<V: Vector>(
    weights: &[f32],
    bias: f32,
    x: &[Lanes],
    floor: Option<f32>,
    y: &mut Lanes,
) {
    let mut sums = [V::splat(bias), V::splat(0.0), V::splat(0.0), V::splat(0.0)];
    for (weights, x) in weights.chunks(4).zip(x.chunks(4)) {
        for ((&weight, x), sum) in weights.iter().zip(x).zip(&mut sums) {
            *sum = sum.add(V::splat(weight).mul(V::load(x)));
        }
    }
    let [a, b, c, d] = sums;
    raise(a.add(b).add(c.add(d)), floor).store(y);
}

#[inline(always)]
fn raise<V: Vector>(x: V, floor: Option<f32>) -> V {
    match floor {
        Some(floor) => x.max(V::splat(floor)),
        None => x,
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

    /// `y[output]` of the 16 windows from `first` on; features as in [`Apply`].
    #[inline(always)]
    fn apply<V: Vector>(&self, features: &[Lanes], room: usize, first: usize, y: &mut [Lanes]) {
        for ((weights, &bias), y) in self.weights.chunks_exact(self.vectors).zip(&self.bias).zip(y) {
            let mut sums = [V::splat(0.0); WIDTH];
            for (i, (weights, features)) in weights.iter().zip(features.chunks_exact(room)).enumerate() {
                let weights = V::load(weights);
                let windows: &[Lanes; WIDTH] = features[first..].first_chunk().expect("room for 16");
                for (sum, window) in sums.iter_mut().zip(windows) {
                    let product = V::load(window).mul(weights);
                    *sum = if i == 0 { product } else { sum.add(product) };
                }
            }
            V::sum_lanes(&sums).add(V::splat(bias)).store(y);
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

    /// Lanes of working memory that [`Apply`] needs.
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
    /// Windows that each vector of features has room for, a multiple of 16.
    pub(super) room: usize,
    /// Windows that there are.
    pub(super) windows: usize,
    pub(super) scratch: &'a mut [Lanes],
    /// `out[output * pitch + window]`.
    pub(super) out: &'a mut [f32],
    /// Distance between outputs.
    pub(super) pitch: usize,
}

impl Task for Apply<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Apply { head, features, room, windows, scratch, out, pitch } = self;
        for first in (0..windows).step_by(WIDTH) {
            let y = match &head.layers {
                Layers::One(output) => {
                    output.apply::<V>(features, room, first, scratch);
                    &scratch[..]
                }
                Layers::Two { detectors, hidden, output } => {
                    let (x, rest) = scratch.split_at_mut(hidden.inputs);
                    let (h, y) = rest.split_at_mut(hidden.outputs);
                    windows_in_lanes::<V>(*detectors, features, room, first, x);
                    hidden.apply::<V>(x, Some(0.0), h);
                    output.apply::<V>(h, None, y);
                    &*y
                }
            };
            let width = WIDTH.min(windows - first);
            for (y, out) in y.iter().zip(out.chunks_mut(pitch)) {
                let out = &mut out[first..first + width];
                out.copy_from_slice(&y.0[..width]);
                if head.sigmoid {
                    out.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
                }
            }
        }
    }
}

/// Features of the 16 windows from `first` on, one window a lane: `x[feature]`.
#[inline(always)]
fn windows_in_lanes<V: Vector>(
    detectors: usize,
    features: &[Lanes],
    room: usize,
    first: usize,
    x: &mut [Lanes],
) {
    let groups = detectors.div_ceil(WIDTH);
    for (vector, features) in features.chunks_exact(room).enumerate() {
        let rows: &[Lanes; WIDTH] = features[first..].first_chunk().expect("room for 16");
        let (statistic, group) = (vector / groups, vector % groups);
        let x = &mut x[statistic * detectors..][..detectors][group * WIDTH..];
        if let Some(x) = x.first_chunk_mut() {
            V::transpose(rows, x);
        } else {
            let mut columns = [Lanes::ZERO; WIDTH];
            V::transpose(rows, &mut columns);
            x.copy_from_slice(&columns[..x.len()]);
        }
    }
}
