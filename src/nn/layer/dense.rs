//! Layers of units that take everything.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Pass, affine, uniform};
use crate::nn::parameter::Parameter;
use crate::nn::tensor::Tensor;

/// `weights[input][unit]`.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Dense {
    pub(in crate::nn) inputs: usize,
    pub(in crate::nn) units: usize,
    pub(in crate::nn) weights: Parameter,
    pub(in crate::nn) bias: Parameter,
    given: Tensor,
}

impl Dense {
    pub(in crate::nn) fn new(inputs: usize, units: usize, rng: &mut Xoshiro256PlusPlus) -> Dense {
        let weights = uniform(inputs * units, inputs, rng);
        Dense {
            inputs,
            units,
            weights: Parameter::weights(weights),
            bias: Parameter::biases(vec![0.0; units]),
            given: Tensor::default(),
        }
    }

    pub(in crate::nn) fn forward(&mut self, x: Tensor, pass: &Pass<'_>) -> Tensor {
        let y = affine::forward(&x, &self.weights, &self.bias);
        if pass.is_training() {
            self.given = x;
        }
        y
    }

    pub(in crate::nn) fn backward(&mut self, gradient: &Tensor) -> Tensor {
        affine::backward(&self.given, gradient, &mut self.weights, &mut self.bias)
    }
}
