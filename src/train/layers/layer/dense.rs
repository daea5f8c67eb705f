//! Layers of units that take everything.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::train::layers::layer::{Pass, affine, uniform};
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::Tensor;

/// `weights[input][unit]`.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    pub(crate) inputs: usize,
    pub(crate) units: usize,
    pub(crate) weights: Parameter,
    pub(crate) bias: Parameter,
    given: Tensor,
}

impl Dense {
    pub(crate) fn new(inputs: usize, units: usize, rng: &mut Xoshiro256PlusPlus) -> Dense {
        let weights = uniform(inputs * units, inputs, rng);
        Dense {
            inputs,
            units,
            weights: Parameter::weights(weights),
            bias: Parameter::biases(vec![0.0; units]),
            given: Tensor::default(),
        }
    }

    pub(crate) fn forward(&mut self, x: Tensor, pass: &Pass<'_>) -> Tensor {
        let y = affine::forward(&x, &self.weights, &self.bias);
        if pass.is_training() {
            self.given = x;
        }
        y
    }

    pub(crate) fn backward(&mut self, gradient: &Tensor) -> Tensor {
        affine::backward(&self.given, gradient, &mut self.weights, &mut self.bias)
    }
}
