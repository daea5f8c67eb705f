//! The dense layers, 16 windows at a time: one window a lane, so that no sum runs across lanes.

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
            sum_products::<V, SIDE>(weights, bias, x, floor, y);
        }
        let singles = narrow.chunks_exact(self.inputs).zip(rest.chunks_exact(1));
        for ((weights, bias), y) in singles.zip(y_rest.chunks_exact_mut(1)) {
            sum_products::<V, 1>(weights, bias, x, floor, y);
        }
    }
}

#[inline(always)]
fn sum_products<V: Vector, const N: usize>(
    weights: &[f32],
    bias: &[f32],
    x: &[Lanes],
    floor: Option<f32>,
    y: &mut [Lanes],
) {
    let mut sums = [V::splat(0.0); N];
    for (sum, &bias) in sums.iter_mut().zip(bias) {
        *sum = V::splat(bias);
    }
    for (weights, x) in weights.as_chunks::<N>().0.iter().zip(x) {
        let x = V::load(x);
        for (sum, &weight) in sums.iter_mut().zip(weights) {
            *sum = sum.add(V::splat(weight).mul(x));
        }
    }
    for (sum, y) in sums.into_iter().zip(y) {
        match floor {
            Some(floor) => sum.max(V::splat(floor)).store(y),
            None => sum.store(y),
        }
    }
}

/// The dense layers of a network, for windows with a given number of alignments.
#[derive(Debug, Clone)]
pub(super) struct Head {
    detectors: usize,
    hidden: Option<Layer>,
    output: Layer,
    sigmoid: bool,
}

impl Head {
    /// The layers of `network`, where a mean is over `alignments` activations: features come as sums, and the
    /// division is part of the weights.
    pub(super) fn new(network: &Network, alignments: usize) -> Head {
        let maxima = if network.pooling.has_max() { network.detectors } else { 0 };
        let pooled = |i: usize| if i < maxima { 1.0 } else { 1.0 / alignments as f64 };
        let (hidden, output) = match &network.hidden {
            Some(hidden) => (Some(Layer::new(hidden, pooled)), Layer::new(&network.output, |_| 1.0)),
            None => (None, Layer::new(&network.output, pooled)),
        };
        Head { detectors: network.detectors, hidden, output, sigmoid: network.sigmoid }
    }

    /// Lanes of working memory that [`Apply`] needs.
    pub(super) fn scratch(&self) -> usize {
        let hidden = self.hidden.as_ref().map_or(0, |layer| layer.inputs + layer.outputs);
        hidden + self.output.inputs + self.output.outputs
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
        let Head { detectors, hidden, output, .. } = self.head;
        let groups = detectors.div_ceil(WIDTH);
        for first in (0..self.windows).step_by(WIDTH) {
            let first_layer = hidden.as_ref().unwrap_or(output);
            let (x, rest) = self.scratch.split_at_mut(first_layer.inputs);
            for (vector, features) in self.features.chunks_exact(self.room).enumerate() {
                let rows: &[Lanes; WIDTH] = features[first..].first_chunk().expect("room for 16");
                let mut columns = [Lanes::ZERO; WIDTH];
                V::transpose(rows, &mut columns);
                let at = vector / groups * detectors + vector % groups * WIDTH;
                let width = WIDTH.min(detectors - vector % groups * WIDTH);
                x[at..at + width].copy_from_slice(&columns[..width]);
            }
            let (x, y) = match hidden {
                None => (&*x, rest),
                Some(layer) => {
                    let (h, y) = rest.split_at_mut(layer.outputs);
                    layer.apply::<V>(x, Some(0.0), h);
                    (&*h, y)
                }
            };
            output.apply::<V>(x, None, y);
            let width = WIDTH.min(self.windows - first);
            for (y, out) in y.iter().zip(self.out.chunks_mut(self.pitch)) {
                let out = &mut out[first..first + width];
                out.copy_from_slice(&y.0[..width]);
                if self.head.sigmoid {
                    out.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
                }
            }
        }
    }
}
