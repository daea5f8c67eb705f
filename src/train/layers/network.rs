//! A network with its weights.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::seq::alphabet::ONE_HOT;
use crate::train::layers::architecture::{Architecture, Layer, Shape};
use crate::train::layers::layer::{Dense, Module, Pass, modules};
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::Tensor;

/// A network for windows of one length: its layers, and a dense layer with one unit an output.
#[derive(Debug, Clone)]
pub struct Network {
    pub(crate) architecture: Architecture,
    pub(crate) window: usize,
    pub(crate) modules: Vec<Module>,
    pub(crate) output: Dense,
}

/// Output of a layer for some windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// Numbers of a window.
    pub shape: Shape,
    /// `values[(window * positions + position) * channels + channel]`; without positions, `[window * channels + channel]`.
    pub values: Vec<f32>,
}

impl Network {
    /// A network with random weights.
    ///
    /// # Errors
    /// A layer that does not fit ([`Architecture::shapes`]).
    ///
    /// # Panics
    /// If there are no outputs.
    pub fn new(
        architecture: &Architecture,
        window: usize,
        outputs: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Network, String> {
        assert!(outputs > 0);
        architecture.shapes(window)?;
        let bases = Shape { positions: Some(window), channels: 4 };
        let (modules, last) = modules(&architecture.layers, bases, rng);
        let output = Dense::new(last.channels, outputs, rng);
        Ok(Network { architecture: architecture.clone(), window, modules, output })
    }

    /// Its description.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Length of the windows it was made for, in bases.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Outputs.
    pub fn outputs(&self) -> usize {
        self.output.units
    }

    /// Numbers that are fitted.
    pub fn parameters(&self) -> usize {
        let mut count = 0;
        self.clone().visit(&mut |parameter| count += parameter.values.len());
        count
    }

    /// Scores of windows on the strand given, `codes[window * bases + base]`: `[window * outputs + output]`.
    ///
    /// # Panics
    /// If the codes are not `windows` windows of one length that the layers fit in.
    pub fn scores(&mut self, codes: &[u8], windows: usize) -> Vec<f32> {
        assert!(windows > 0 && codes.len().is_multiple_of(windows));
        self.forward(codes, windows, &mut Pass::Scoring).values
    }

    /// Outputs of each layer for windows, the output layer last.
    ///
    /// # Panics
    /// As [`scores`](Network::scores).
    pub fn activations(&mut self, codes: &[u8], windows: usize) -> Vec<Activations> {
        assert!(windows > 0 && codes.len().is_multiple_of(windows));
        let shapes = self.architecture.shapes(codes.len() / windows).expect("windows that fit");
        let mut all = Vec::with_capacity(shapes.len() + 1);
        let mut x = Tensor::default();
        for (rank, shape) in shapes.into_iter().enumerate() {
            x = match rank {
                0 => self.first(codes, windows, &mut Pass::Scoring),
                _ => self.modules[rank].forward(x, &mut Pass::Scoring),
            };
            all.push(Activations { shape, values: x.values.clone() });
        }
        let scores = self.output.forward(x, &Pass::Scoring);
        let shape = Shape { positions: None, channels: self.output.units };
        all.push(Activations { shape, values: scores.values });
        all
    }

    pub(crate) fn forward(&mut self, codes: &[u8], windows: usize, pass: &mut Pass<'_>) -> Tensor {
        let first = self.first(codes, windows, pass);
        let last = self.modules[1..].iter_mut().fold(first, |x, module| module.forward(x, pass));
        self.output.forward(last, pass)
    }

    /// The first layer: a convolution takes bases as they are.
    fn first(&mut self, codes: &[u8], windows: usize, pass: &mut Pass<'_>) -> Tensor {
        match &mut self.modules[0] {
            Module::Convolution(layer) if layer.sizes.groups == 1 => {
                layer.forward_bases(codes, windows, pass)
            }
            module => {
                let values = codes.iter().flat_map(|&code| ONE_HOT[usize::from(code)]).collect();
                let x = Tensor { values, rows: windows, positions: codes.len() / windows, channels: 4 };
                module.forward(x, pass)
            }
        }
    }

    /// Adds the gradients of all parameters, from that of the outputs of the last training pass.
    pub(crate) fn backward(&mut self, gradient: &Tensor) {
        let gradient = self.output.backward(gradient);
        self.modules.iter_mut().rev().fold(gradient, |gradient, module| module.backward(gradient));
    }

    /// Shows every parameter, always in the same order.
    pub(crate) fn visit(&mut self, seen: &mut dyn FnMut(&mut Parameter)) {
        self.modules.iter_mut().for_each(|module| module.visit(seen));
        [&mut self.output.weights, &mut self.output.bias].into_iter().for_each(seen);
    }

    /// Shows the vectors of numbers that make the network what it is: parameters, then running means and variances.
    pub(crate) fn visit_values(&mut self, seen: &mut dyn FnMut(&mut Vec<f32>)) {
        self.visit(&mut |parameter| seen(&mut parameter.values));
        self.modules.iter_mut().for_each(|module| module.visit_statistics(seen));
    }

    /// The numbers that make the network what it is.
    pub(crate) fn values(&mut self) -> Vec<f32> {
        let mut all = Vec::new();
        self.visit_values(&mut |values| all.extend_from_slice(values));
        all
    }

    /// Takes numbers that [`values`](Network::values) gave.
    ///
    /// # Panics
    /// If they are not as many.
    pub(crate) fn set_values(&mut self, all: &[f32]) {
        let mut rest = all;
        self.visit_values(&mut |values| {
            let (own, others) = rest.split_at(values.len());
            values.copy_from_slice(own);
            rest = others;
        });
        assert!(rest.is_empty());
    }

    /// Positions that a filter of the first layer looks at, if that is a convolution.
    pub(crate) fn first_kernel(&self) -> Option<usize> {
        match self.architecture.layers.first() {
            Some(Layer::Convolution { kernel, .. }) => Some(*kernel),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::train::layers::architecture::{Cell, Function, InputForm, Padding, PoolKind};

    fn random(seed: u64) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(seed)
    }

    fn convolution(
        filters: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
        groups: usize,
    ) -> Layer {
        Layer::Convolution { filters, kernel, stride, dilation, padding, groups }
    }

    /// Networks in which every layer occurs, in several places.
    fn networks() -> Vec<Vec<Layer>> {
        use Padding::{Same, Valid};
        let function = |function| Layer::Activation { function };
        let recurrent = |cell, bidirectional| Layer::Recurrent { cell, units: 3, bidirectional };
        let global = |kind| Layer::GlobalPool { kind };
        let pool = |kind, size, stride, padding| Layer::Pool { kind, size, stride: Some(stride), padding };
        vec![
            vec![
                convolution(17, 4, 1, 1, Valid, 1),
                Layer::BatchNorm {},
                function(Function::Exponential),
                pool(PoolKind::Max, 3, 2, Valid),
                convolution(4, 3, 2, 2, Same, 1),
                function(Function::Tanh),
                Layer::Flatten {},
                Layer::Dense { units: 5 },
                Layer::BatchNorm {},
                function(Function::Sigmoid),
            ],
            vec![
                convolution(6, 5, 2, 2, Same, 1),
                convolution(6, 3, 1, 1, Same, 3),
                Layer::Residual {
                    layers: vec![
                        convolution(4, 3, 1, 2, Valid, 2),
                        Layer::BatchNorm {},
                        convolution(6, 1, 1, 1, Valid, 1),
                        function(Function::Tanh),
                    ],
                },
                pool(PoolKind::Avg, 3, 2, Same),
                global(PoolKind::Avg),
            ],
            vec![recurrent(Cell::Lstm, true), recurrent(Cell::Gru, true), global(PoolKind::Max)],
            vec![
                convolution(8, 3, 1, 1, Same, 2),
                recurrent(Cell::Gru, false),
                recurrent(Cell::Lstm, false),
                Layer::Flatten {},
            ],
        ]
    }

    fn codes(rng: &mut Xoshiro256PlusPlus, count: usize) -> Vec<u8> {
        (0..count).map(|_| rng.random_range(0..5)).collect()
    }

    /// Sum of the outputs, each times a weight.
    fn loss(network: &mut Network, codes: &[u8], rows: usize, weights: &[f32]) -> f64 {
        let outputs = network.forward(codes, rows, &mut Pass::Training(&mut random(1)));
        outputs.values.iter().zip(weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    }

    /// Every gradient against the difference quotient.
    #[test]
    fn gradients_are_those_of_the_outputs() {
        for (number, layers) in networks().into_iter().enumerate() {
            let architecture = Architecture { input: InputForm::Sequence, layers };
            let mut rng = random(number as u64);
            let (window, rows) = (23, 4);
            let mut network = Network::new(&architecture, window, 2, &mut rng).unwrap();
            let codes = codes(&mut rng, rows * window);
            let weights: Vec<f32> = (0..rows * 2).map(|_| rng.random_range(-1.0..1.0)).collect();
            loss(&mut network, &codes, rows, &weights);
            let gradient = Tensor { values: weights.clone(), rows, positions: 1, channels: 2 };
            network.backward(&gradient);
            let mut gradients = Vec::new();
            network.visit(&mut |parameter| gradients.push(parameter.gradient.clone()));
            for (place, gradient) in gradients.iter().enumerate() {
                for _ in 0..6 {
                    let i = rng.random_range(0..gradient.len());
                    let at = |offset: f32| {
                        let mut moved = network.clone();
                        let mut seen = 0;
                        moved.visit(&mut |parameter| {
                            if seen == place {
                                parameter.values[i] += offset;
                            }
                            seen += 1;
                        });
                        loss(&mut moved, &codes, rows, &weights)
                    };
                    let step = 2e-3;
                    let quotient = (at(step) - at(-step)) / f64::from(2.0 * step);
                    let have = f64::from(gradient[i]);
                    let close = (quotient - have).abs() < 2e-2 * have.abs().max(0.1);
                    assert!(
                        close,
                        "network {number}, parameter {place}, number {i}: {have} against {quotient}"
                    );
                }
            }
        }
    }

    #[test]
    fn bases_and_their_one_hot_columns_give_the_same() {
        let layers =
            vec![convolution(19, 6, 2, 3, Padding::Same, 1), Layer::GlobalPool { kind: PoolKind::Max }];
        let architecture = Architecture { input: InputForm::Sequence, layers };
        let mut rng = random(7);
        let mut network = Network::new(&architecture, 30, 1, &mut rng).unwrap();
        let codes = codes(&mut rng, 90);
        let Module::Convolution(layer) = &mut network.modules[0] else { panic!() };
        let mut gradients = [Vec::new(), Vec::new()];
        let mut results = Vec::new();
        for (way, gradients) in gradients.iter_mut().enumerate() {
            let mut layer = layer.clone();
            let mut rng = random(1);
            let pass = Pass::Training(&mut rng);
            let y = if way == 0 {
                layer.forward_bases(&codes, 3, &pass)
            } else {
                let values = codes.iter().flat_map(|&code| ONE_HOT[usize::from(code)]).collect();
                layer.forward(Tensor { values, rows: 3, positions: 30, channels: 4 }, &pass)
            };
            layer.backward(&y);
            gradients.clone_from(&layer.weights.gradient);
            results.push(y.values);
        }
        let close =
            |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-4 * y.abs().max(1.0));
        assert!(close(&results[0], &results[1]) && close(&gradients[0], &gradients[1]));
    }
}
