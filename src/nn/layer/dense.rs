//! Layers of units that take everything.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Pass, uniform};
use crate::nn::parameter::Parameter;
use crate::nn::tensor::{Matrix, MatrixMut, Tensor, add_rows};

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
        let mut y = Tensor::zeros(x.rows, 1, self.units);
        y.values.chunks_exact_mut(self.units).for_each(|row| row.copy_from_slice(&self.bias.values));
        let weights = Matrix::new(&self.weights.values, self.inputs, self.units);
        MatrixMut::new(&mut y.values, x.rows, self.units)
            .add_product(Matrix::new(&x.values, x.rows, self.inputs), weights);
        if pass.is_training() {
            self.given = x;
        }
        y
    }

    pub(in crate::nn) fn backward(&mut self, gradient: &Tensor) -> Tensor {
        let mut back = self.given.like();
        let rows = gradient.rows;
        let slopes = Matrix::new(&gradient.values, rows, self.units);
        let given = Matrix::new(&self.given.values, rows, self.inputs);
        MatrixMut::new(&mut self.weights.gradient, self.inputs, self.units)
            .add_product(given.turned(), slopes);
        add_rows(&gradient.values, &mut self.bias.gradient);
        let weights = Matrix::new(&self.weights.values, self.inputs, self.units);
        MatrixMut::new(&mut back.values, rows, self.inputs).add_product(slopes, weights.turned());
        back
    }
}
