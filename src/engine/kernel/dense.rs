//! The dense layers, many windows at a time.
//!
//! A hidden layer takes 32 windows, one in each lane, so that no sum runs across lanes. A single output layer has too little
//! work to pay for the transposition: it takes 16 windows and folds their sums over lanes together.

use std::ops::Range;

use crate::engine::kernel::simd::{Lanes, Numbers, PartRow, Sixteen, Task, Vector, WIDTH};
use crate::model::{Dense, Network};

/// Outputs computed side by side.
const SIDE: usize = 8;

/// One number of each of 32 windows.
type Pair = [Lanes; 2];

/// Windows that [`Apply`] takes at a time.
pub(crate) const WINDOWS: usize = 2 * WIDTH;

/// A dense layer with its weights in the order of their use. Weights of 0 are left out where a stretch of inputs has
/// no other for eight outputs, as between the members of an ensemble.
#[derive(Debug, Clone)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Outputs eight at a time.
    blocks: Vec<Block>,
    /// Weights of a block's outputs, for one input of its stretches after another, block by block.
    weights: Vec<[f32; SIDE]>,
    /// Weights of each output left over, `[output][input]`.
    narrow: Vec<f32>,
    /// Biases of the outputs left over.
    narrow_bias: Vec<f32>,
}

/// Eight outputs.
#[derive(Debug, Clone)]
struct Block {
    bias: [f32; SIDE],
    /// Stretches of inputs outside of which all weights are 0.
    stretches: Vec<Range<usize>>,
}

/// Inputs without weight that end a stretch; fewer cost less than another one.
const GAP: usize = 4;

impl Layer {
    /// A layer with these weights, `weight(output, input)`.
    fn new(inputs: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Layer {
        let outputs = bias.len();
        let (wide, narrow_bias) = bias.as_chunks::<SIDE>();
        let (mut blocks, mut weights) = (Vec::new(), Vec::new());
        for (block, &bias) in wide.iter().enumerate() {
            let rows = |i: usize| std::array::from_fn(|o| weight(block * SIDE + o, i));
            let stretches = stretches(inputs, |i| rows(i) != [0.0; SIDE]);
            weights.extend(stretches.iter().cloned().flatten().map(rows));
            // A sum that starts from 0 is never -0 for want of a product of 0.
            blocks.push(Block { bias: bias.map(|bias| bias + 0.0), stretches });
        }
        let left = (outputs - narrow_bias.len()..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i)));
        let narrow = left.map(|(o, i)| weight(o, i)).collect();
        Layer { inputs, outputs, blocks, weights, narrow, narrow_bias: narrow_bias.to_vec() }
    }

    /// All weights, `[output][input]`.
    fn matrix(&self) -> Vec<f32> {
        let mut matrix = vec![0.0; self.blocks.len() * SIDE * self.inputs];
        let mut weights = self.weights.iter();
        for (block, rows) in self.blocks.iter().zip(matrix.chunks_mut(SIDE * self.inputs)) {
            for (i, weights) in block.stretches.iter().cloned().flatten().zip(&mut weights) {
                for (row, &weight) in rows.chunks_mut(self.inputs).zip(weights) {
                    row[i] = weight;
                }
            }
        }
        matrix.extend(&self.narrow);
        matrix
    }

    /// `y[output] = bias + Σ weight · x[input]`, for 32 windows.
    #[inline(always)]
    fn apply<V: Vector>(&self, x: &[Pair], y: &mut [Pair]) {
        let (x, y) = (&x[..self.inputs], &mut y[..self.outputs]);
        let (y, y_rest) = y.as_chunks_mut();
        let mut weights = self.weights.as_slice();
        for (block, y) in self.blocks.iter().zip(y) {
            let rest = if V::REGISTERS == 32 {
                sum_products::<V, SIDE, 2>(block, weights, 0, 0, x, y)
            } else {
                const FEWER: usize = SIDE / 2;
                sum_products::<V, FEWER, 1>(block, weights, 0, 0, x, y);
                sum_products::<V, FEWER, 1>(block, weights, 0, 1, x, y);
                sum_products::<V, FEWER, 1>(block, weights, FEWER, 0, x, y);
                sum_products::<V, FEWER, 1>(block, weights, FEWER, 1, x, y)
            };
            weights = rest;
        }
        for ((weights, &bias), y) in self.narrow.chunks_exact(self.inputs).zip(&self.narrow_bias).zip(y_rest)
        {
            sum_products_of_one::<V>(weights, bias, x, y);
        }
    }
}

/// Stretches of the indices below `count` that hold all those which are `wanted`, with no more than `GAP` - 1 others
/// side by side in them.
fn stretches(count: usize, wanted: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for i in (0..count).filter(|&i| wanted(i)) {
        match stretches.last_mut() {
            Some(last) if i < last.end + GAP => last.end = i + 1,
            _ => stretches.push(i..i + 1),
        }
    }
    stretches
}

/// Outputs `output .. output + O` of eight, for 16 `M` windows from the half `half` of each pair on. The weights are
/// those of the block first; gives those that are left.
#[inline(always)]
fn sum_products<'a, V: Vector, const O: usize, const M: usize>(
    block: &Block,
    weights: &'a [[f32; SIDE]],
    output: usize,
    half: usize,
    x: &[Pair],
    y: &mut [Pair; SIDE],
) -> &'a [[f32; SIDE]] {
    let mut sums = [[V::splat(0.0); M]; O];
    for (o, sums) in sums.iter_mut().enumerate() {
        *sums = [V::splat(block.bias[output + o]); M];
    }
    let mut rest = weights;
    for stretch in &block.stretches {
        let x = &x[stretch.clone()];
        let (weights, others) = rest.split_at(x.len());
        rest = others;
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
    }
    for (o, sums) in sums.into_iter().enumerate() {
        for (m, sum) in sums.into_iter().enumerate() {
            sum.store(&mut y[output + o][half + m]);
        }
    }
    rest
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

/// An output layer on pooled features as they come: 16 filters a vector.
#[derive(Debug, Clone)]
struct Linear {
    /// `weights[output * vectors + vector]`.
    weights: Vec<Lanes>,
    vectors: usize,
    bias: Vec<f32>,
}

impl Linear {
    /// `layer` on maxima and means of `filters` filters, those in `order` in this order, the weights multiplied
    /// by `scale(input)`.
    fn new(layer: &Dense, filters: usize, order: &[usize], scale: impl Fn(usize) -> f64) -> Linear {
        let groups = order.len().div_ceil(WIDTH);
        let statistics = layer.inputs / filters;
        let vectors = statistics * groups;
        let mut weights = vec![Lanes::ZERO; layer.outputs * vectors];
        for (row, weights) in layer.weights.chunks_exact(layer.inputs).zip(weights.chunks_exact_mut(vectors))
        {
            for statistic in 0..statistics {
                for (place, filter) in order.iter().enumerate() {
                    let i = statistic * filters + filter;
                    let vector = statistic * groups + place / WIDTH;
                    weights[vector].0[place % WIDTH] = (f64::from(row[i]) * scale(i)) as f32;
                }
            }
        }
        Linear { weights, vectors, bias: layer.bias.clone() }
    }

    /// `y[output]` of the 32 windows from `first` on; features as in [`Apply`].
    #[inline(always)]
    fn apply<V: Vector>(&self, features: &[Lanes], room: usize, first: usize, y: &mut [Pair]) {
        for ((weights, &bias), y) in self.weights.chunks_exact(self.vectors).zip(&self.bias).zip(y) {
            for (half, y) in y.iter_mut().enumerate() {
                let first = first + half * WIDTH;
                let sums = if let [weights] = weights {
                    let (weights, windows) = (V::load(weights), V::sixteen(&features[..room], first));
                    V::sum_lanes(|i| window::<V>(&windows, i).mul(weights))
                } else {
                    let mut sums = [V::splat(0.0); WIDTH];
                    for (vector, (weights, block)) in
                        weights.iter().zip(features.chunks_exact(room)).enumerate()
                    {
                        let (weights, windows) = (V::load(weights), V::sixteen(block, first));
                        for (i, sum) in sums.iter_mut().enumerate() {
                            let product = window::<V>(&windows, i).mul(weights);
                            *sum = if vector == 0 { product } else { sum.add(product) };
                        }
                    }
                    V::sum_lanes(|i| sums[i])
                };
                sums.add(V::splat(bias)).store(y);
            }
        }
    }
}

/// Vector `i` of sixteen.
#[inline(always)]
fn window<V: Vector>(windows: &Sixteen<'_, PartRow<V>>, i: usize) -> V {
    V::join(V::Part::load(&windows[0][i]), V::Part::load(&windows[1][i]))
}

/// The dense layers of a network, for windows with a given number of alignments.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    layers: Layers,
    sigmoid: bool,
    /// For each output, layers that bound it from above.
    bounds: Vec<Head>,
}

/// Networks with a hidden layer and more outputs than this are not bounded: it would cost as much as it saves.
const MOST_BOUNDED: usize = 2;

#[derive(Debug, Clone)]
enum Layers {
    One(Linear),
    Two(Box<Two>),
}

/// A hidden layer, rectified, and the output layer.
#[derive(Debug, Clone)]
struct Two {
    /// Inputs of the hidden layer in each lane, vector by vector.
    places: Vec<Vec<usize>>,
    hidden: Layer,
    output: Layer,
}

impl Two {
    /// The layers on maxima and means of the filters in `order`, the hidden weights multiplied by `scale(input)`.
    fn new(network: &Network, hidden: &Dense, order: &[usize], scale: impl Fn(usize) -> f64) -> Two {
        let mut kept = order.to_vec();
        // In the network's order, those that a unit of an ensemble sees stay together.
        kept.sort_unstable();
        let statistics = network.pooling.features_per_filter();
        let place = |statistic: usize, filter: &usize| {
            statistic * kept.len() + kept.partition_point(|other| other < filter)
        };
        let of_group =
            |statistic: usize, group: &[usize]| group.iter().map(|k| place(statistic, k)).collect();
        let places = (0..statistics).flat_map(|s| order.chunks(WIDTH).map(move |group| of_group(s, group)));
        let weight = |o: usize, i: usize| {
            let i = i / kept.len() * network.filters + kept[i % kept.len()];
            let weight = hidden.weights.get(o * hidden.inputs + i);
            weight.map_or(0.0, |&weight| (f64::from(weight) * scale(i)) as f32)
        };
        let output = &network.output;
        // Filled up with units that are 0, so that all units are summed in the same order.
        let mut bias = hidden.bias.clone();
        bias.resize(bias.len().next_multiple_of(SIDE), 0.0);
        let output_weight =
            |o: usize, i: usize| if i < output.inputs { output.weights[o * output.inputs + i] } else { 0.0 };
        Two {
            places: places.collect(),
            hidden: Layer::new(statistics * kept.len(), &bias, weight),
            output: Layer::new(bias.len(), &output.bias, output_weight),
        }
    }

    /// Layers that take the greatest and the least of each vector of features, one after the other, and give output
    /// `output` no less than these layers give it for any features between them.
    fn bound(&self, output: usize) -> Two {
        let both = |places: &Vec<usize>| [0, 1].map(|least| places.iter().map(|i| 2 * i + least).collect());
        let Layer { inputs, blocks, .. } = &self.hidden;
        let (hidden, outputs) = (self.hidden.matrix(), self.output.matrix());
        let favoured = &outputs[output * self.output.inputs..][..self.output.inputs];
        let bias: Vec<f32> = blocks.iter().flat_map(|block| block.bias).collect();
        let weight = |o: usize, i: usize| {
            let weight = hidden[o * inputs + i / 2];
            // A unit that the output counts against it is bounded from below.
            let favours_greatest = (weight > 0.0) == (favoured[o] > 0.0);
            if favours_greatest == i.is_multiple_of(2) { weight } else { 0.0 }
        };
        Two {
            places: self.places.iter().flat_map(both).collect(),
            hidden: Layer::new(2 * inputs, &bias, weight),
            output: self.output.clone(),
        }
    }
}

impl Head {
    /// The layers of `network`, where a mean is over `alignments` activations: features come as sums, and the
    /// division is part of the weights. `order`: the filters in the lanes.
    pub(crate) fn new(network: &Network, order: &[usize], alignments: usize) -> Head {
        let filters = network.filters;
        let maxima = if network.pooling.has_max() { filters } else { 0 };
        let pooled = |i: usize| if i < maxima { 1.0 } else { 1.0 / alignments as f64 };
        let layers = match &network.hidden {
            None => Layers::One(Linear::new(&network.output, filters, order, pooled)),
            Some(hidden) => Layers::Two(Box::new(Two::new(network, hidden, order, pooled))),
        };
        Head { layers, sigmoid: network.sigmoid, bounds: Vec::new() }
    }

    /// Makes the [`bounds`](Head::bounds), if they are not there yet and pay.
    pub(crate) fn make_bounds(&mut self) {
        let Layers::Two(two) = &self.layers else { return };
        let outputs = two.output.outputs;
        if self.bounds.is_empty() && outputs <= MOST_BOUNDED {
            let bound = |output| Layers::Two(Box::new(two.bound(output)));
            let head = |layers| Head { layers, sigmoid: self.sigmoid, bounds: Vec::new() };
            self.bounds = (0..outputs).map(bound).map(head).collect();
        }
    }

    /// For each output, layers that bound it from above (the output of the same number): they take the greatest and
    /// the least of each vector of features, one after the other. Empty unless [made](Head::make_bounds).
    pub(crate) fn bounds(&self) -> &[Head] {
        &self.bounds
    }

    /// Weights of one output for the features of 16 filters a vector, if the score is linear in the features.
    pub(crate) fn weights(&self, output: usize) -> Option<&[Lanes]> {
        match &self.layers {
            Layers::One(layer) => Some(&layer.weights[output * layer.vectors..][..layer.vectors]),
            Layers::Two(_) => None,
        }
    }

    /// True if there is a hidden layer.
    pub(crate) fn is_deep(&self) -> bool {
        matches!(self.layers, Layers::Two(_))
    }

    /// Working memory that [`Apply`] needs.
    pub(crate) fn scratch(&self) -> usize {
        match &self.layers {
            Layers::One(output) => output.bias.len(),
            Layers::Two(two) => {
                let inputs = self.bounds.first().map_or(two.hidden.inputs, |_| 2 * two.hidden.inputs);
                inputs + two.hidden.outputs + two.output.outputs
            }
        }
    }
}

/// Scores of consecutive windows from their pooled features.
pub(crate) struct Apply<'a> {
    pub(crate) head: &'a Head,
    /// Features, 16 filters a vector, all maxima before all sums: a [block](Vector) of windows for each vector.
    pub(crate) features: &'a [Lanes],
    /// Windows that each vector of features has room for, a multiple of [`WINDOWS`].
    pub(crate) room: usize,
    /// Windows that there are.
    pub(crate) windows: usize,
    pub(crate) scratch: &'a mut [Pair],
    /// `out[output * pitch + window]`.
    pub(crate) out: &'a mut [f32],
    /// Distance between outputs.
    pub(crate) pitch: usize,
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
                Layers::Two(two) => {
                    let Two { places, hidden, output } = &**two;
                    let (x, rest) = scratch.split_at_mut(hidden.inputs);
                    let (h, y) = rest.split_at_mut(hidden.outputs);
                    windows_in_lanes::<V>(places, features, room, first, x);
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
    places: &[Vec<usize>],
    features: &[Lanes],
    room: usize,
    first: usize,
    x: &mut [Pair],
) {
    for (places, features) in places.iter().zip(features.chunks_exact(room)) {
        for (half, first) in [first, first + WIDTH].into_iter().enumerate() {
            let mut columns = [Lanes::ZERO; WIDTH];
            V::transpose(V::sixteen(features, first), &mut columns);
            for (&place, column) in places.iter().zip(&columns) {
                V::load(column).store(&mut x[place][half]);
            }
        }
    }
}
