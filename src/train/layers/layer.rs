//! Layers with weights: what goes forward through them, and gradients back.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::train::layers::architecture::{Cell, Function, Layer, Padding, PoolKind, Shape};
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::Tensor;

mod affine;
mod convolution;
mod dense;
mod gru;
mod lstm;
mod normalization;
mod pool;
mod recurrent;

pub(crate) use self::convolution::Convolution;
pub(crate) use self::dense::Dense;
pub(crate) use self::gru::Gru;
pub(crate) use self::lstm::Lstm;
pub(crate) use self::normalization::Normalization;
pub(crate) use self::pool::Pool;
pub(crate) use self::recurrent::Recurrent;

/// A layer and what it keeps of the last pass in training.
#[derive(Debug, Clone)]
pub(crate) enum Module {
    Convolution(Box<Convolution>),
    Normalization(Box<Normalization>),
    Activation(Activation),
    Pool(Pool),
    /// Of all positions.
    GlobalPool(Pool),
    Dropout(Dropout),
    Residual(Residual),
    Lstm(Box<Recurrent<Lstm>>),
    Gru(Box<Recurrent<Gru>>),
    Flatten(Flatten),
    Dense(Box<Dense>),
}

/// Purpose of a pass.
#[derive(Debug)]
pub(crate) enum Pass<'a> {
    /// Scores.
    Scoring,
    /// A step of training: numbers are left out at random, and batches are normalised by themselves.
    Training(&'a mut Xoshiro256PlusPlus),
}

impl Pass<'_> {
    pub(crate) fn is_training(&self) -> bool {
        matches!(self, Pass::Training(_))
    }
}

impl Module {
    /// A layer for inputs of this shape, with random weights.
    ///
    /// # Panics
    /// If the layer does not fit there ([`Architecture::shapes`](crate::train::layers::Architecture::shapes)).
    pub(crate) fn new(layer: &Layer, shape: Shape, rng: &mut Xoshiro256PlusPlus) -> Module {
        match *layer {
            Layer::Convolution { filters, kernel, stride, dilation, padding, groups } => {
                let sizes = convolution::Sizes {
                    channels: shape.channels,
                    filters,
                    groups,
                    kernel,
                    stride,
                    dilation,
                    padding,
                };
                Module::Convolution(Box::new(Convolution::new(sizes, rng)))
            }
            Layer::BatchNorm {} => Module::Normalization(Box::new(Normalization::new(shape.channels))),
            Layer::Activation { function } => {
                Module::Activation(Activation { function, results: Vec::new() })
            }
            Layer::Pool { kind, size, stride, padding } => {
                Module::Pool(Pool::new(kind, size, stride.unwrap_or(size), padding))
            }
            Layer::GlobalPool { kind } => Module::GlobalPool(Pool::global(kind)),
            Layer::Dropout { rate } => Module::Dropout(Dropout { rate, mask: Vec::new() }),
            Layer::Residual { ref layers } => {
                Module::Residual(Residual { modules: modules(layers, shape, rng).0, positions: 0 })
            }
            Layer::Recurrent { cell: Cell::Lstm, units, bidirectional } => {
                let make = || Lstm::new(shape.channels, units, rng);
                Module::Lstm(Box::new(Recurrent::new(bidirectional, make)))
            }
            Layer::Recurrent { cell: Cell::Gru, units, bidirectional } => {
                let make = || Gru::new(shape.channels, units, rng);
                Module::Gru(Box::new(Recurrent::new(bidirectional, make)))
            }
            Layer::Flatten {} => Module::Flatten(Flatten { positions: 0 }),
            Layer::Dense { units } => Module::Dense(Box::new(Dense::new(shape.channels, units, rng))),
        }
    }

    pub(crate) fn forward(&mut self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        match self {
            Module::Convolution(layer) => layer.forward(x, pass),
            Module::Normalization(layer) => layer.forward(x, pass),
            Module::Activation(layer) => layer.forward(x, pass),
            Module::Pool(layer) | Module::GlobalPool(layer) => layer.forward(&x, pass),
            Module::Dropout(layer) => layer.forward(x, pass),
            Module::Residual(layer) => layer.forward(x, pass),
            Module::Lstm(layer) => layer.forward(&x, pass),
            Module::Gru(layer) => layer.forward(&x, pass),
            Module::Flatten(layer) => layer.forward(x),
            Module::Dense(layer) => layer.forward(x, pass),
        }
    }

    /// Takes the gradient of the last training pass's results; adds to the parameters' gradients, and gives that of what
    /// went in.
    pub(crate) fn backward(&mut self, gradient: Tensor) -> Tensor {
        match self {
            Module::Convolution(layer) => layer.backward(&gradient),
            Module::Normalization(layer) => layer.backward(gradient),
            Module::Activation(layer) => layer.backward(gradient),
            Module::Pool(layer) | Module::GlobalPool(layer) => layer.backward(&gradient),
            Module::Dropout(layer) => layer.backward(gradient),
            Module::Residual(layer) => layer.backward(gradient),
            Module::Lstm(layer) => layer.backward(&gradient),
            Module::Gru(layer) => layer.backward(&gradient),
            Module::Flatten(layer) => layer.backward(gradient),
            Module::Dense(layer) => layer.backward(&gradient),
        }
    }

    /// Shows every parameter, always in the same order.
    pub(crate) fn visit(&mut self, seen: &mut dyn FnMut(&mut Parameter)) {
        match self {
            Module::Convolution(layer) => [&mut layer.weights, &mut layer.bias].into_iter().for_each(seen),
            Module::Normalization(layer) => [&mut layer.scale, &mut layer.shift].into_iter().for_each(seen),
            Module::Residual(layer) => layer.modules.iter_mut().for_each(|module| module.visit(seen)),
            Module::Lstm(layer) => layer.visit(|cell| cell.parameters().into_iter().for_each(&mut *seen)),
            Module::Gru(layer) => layer.visit(|cell| cell.parameters().into_iter().for_each(&mut *seen)),
            Module::Dense(layer) => [&mut layer.weights, &mut layer.bias].into_iter().for_each(seen),
            Module::Activation(_)
            | Module::Pool(_)
            | Module::GlobalPool(_)
            | Module::Dropout(_)
            | Module::Flatten(_) => {}
        }
    }

    /// Shows the running means and variances of normalisations, always in the same order.
    pub(crate) fn visit_statistics(&mut self, seen: &mut dyn FnMut(&mut Vec<f32>)) {
        match self {
            Module::Normalization(layer) => [&mut layer.mean, &mut layer.variance].into_iter().for_each(seen),
            Module::Residual(layer) => {
                layer.modules.iter_mut().for_each(|module| module.visit_statistics(seen));
            }
            _ => {}
        }
    }
}

/// Layers one after another, and the shape of what they give.
pub(crate) fn modules(
    layers: &[Layer],
    mut shape: Shape,
    rng: &mut Xoshiro256PlusPlus,
) -> (Vec<Module>, Shape) {
    let mut modules = Vec::with_capacity(layers.len());
    for layer in layers {
        modules.push(Module::new(layer, shape, rng));
        shape = layer.shape(shape, 0).expect("layers that were checked");
    }
    (modules, shape)
}

/// Initial weights of units that see so many numbers, as PyTorch has them: uniform within ±1/√inputs. Larger ones (He et
/// al. 2015) are moved more slowly by Adam's steps, whose size does not depend on them.
fn uniform(count: usize, inputs: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let most = 1.0 / (inputs as f32).sqrt();
    (0..count).map(|_| rng.random_range(-most..most)).collect()
}

/// A function of each number.
#[derive(Debug, Clone)]
pub(crate) struct Activation {
    pub(crate) function: Function,
    results: Vec<f32>,
}

impl Activation {
    fn forward(&mut self, mut x: Tensor, pass: &Pass<'_>) -> Tensor {
        self.function.apply(&mut x.values);
        if pass.is_training() {
            self.results.clone_from(&x.values);
        }
        x
    }

    fn backward(&self, mut gradient: Tensor) -> Tensor {
        self.function.derive(&self.results, &mut gradient.values);
        gradient
    }
}

/// Numbers left out in training.
#[derive(Debug, Clone)]
pub(crate) struct Dropout {
    rate: f32,
    mask: Vec<f32>,
}

impl Dropout {
    fn forward(&mut self, mut x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        if let Pass::Training(rng) = pass {
            let (limit, factor) = ((f64::from(self.rate) * 65536.0) as u64, 1.0 / (1.0 - self.rate));
            self.mask.resize(x.values.len(), 0.0);
            for four in self.mask.chunks_mut(4) {
                let bits: u64 = rng.random();
                for (i, kept) in four.iter_mut().enumerate() {
                    *kept = if bits >> (16 * i) & 0xFFFF < limit { 0.0 } else { factor };
                }
            }
            x.values.iter_mut().zip(&self.mask).for_each(|(x, kept)| *x *= kept);
        }
        x
    }

    fn backward(&self, mut gradient: Tensor) -> Tensor {
        gradient.values.iter_mut().zip(&self.mask).for_each(|(x, kept)| *x *= kept);
        gradient
    }
}

/// Layers around which their input goes, too.
#[derive(Debug, Clone)]
pub(crate) struct Residual {
    pub(crate) modules: Vec<Module>,
    /// Positions of what went in.
    positions: usize,
}

impl Residual {
    fn forward(&mut self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        self.positions = x.positions;
        let skipped = x.clone();
        let mut y = self.modules.iter_mut().fold(x, |x, module| module.forward(x, pass));
        let (before, length) = ((skipped.positions - y.positions) / 2 * y.channels, y.width());
        for (row, skipped) in
            y.values.chunks_exact_mut(length).zip(skipped.values.chunks_exact(skipped.width()))
        {
            row.iter_mut().zip(&skipped[before..]).for_each(|(y, x)| *y += x);
        }
        y
    }

    fn backward(&mut self, gradient: Tensor) -> Tensor {
        let skipped = gradient.clone();
        let mut gradient =
            self.modules.iter_mut().rev().fold(gradient, |gradient, module| module.backward(gradient));
        let (width, length) = (gradient.width(), skipped.width());
        let before = (self.positions - skipped.positions) / 2 * skipped.channels;
        for (row, skipped) in gradient.values.chunks_exact_mut(width).zip(skipped.values.chunks_exact(length))
        {
            row[before..].iter_mut().zip(skipped).for_each(|(x, y)| *x += y);
        }
        gradient
    }
}

/// All positions in one row: the same numbers in the same order.
#[derive(Debug, Clone)]
pub(crate) struct Flatten {
    positions: usize,
}

impl Flatten {
    fn forward(&mut self, x: Tensor) -> Tensor {
        self.positions = x.positions;
        Tensor { positions: 1, channels: x.width(), ..x }
    }

    fn backward(&self, gradient: Tensor) -> Tensor {
        Tensor { positions: self.positions, channels: gradient.channels / self.positions, ..gradient }
    }
}

impl Pool {
    /// A pool of all positions.
    fn global(kind: PoolKind) -> Pool {
        Pool::new(kind, 0, 1, Padding::Valid)
    }
}
