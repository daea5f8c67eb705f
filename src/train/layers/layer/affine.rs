//! A product with weights and a sum with biases, at each position by itself.

use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::{Matrix, MatrixMut, Tensor, add_rows};

/// `x · weights + bias` at all positions: `[window][position][unit]`, with `weights[channel][unit]`.
pub(crate) fn forward(x: &Tensor, weights: &Parameter, bias: &Parameter) -> Tensor {
    let units = bias.values.len();
    let mut sums = Tensor::zeros(x.rows, x.positions, units);
    sums.values.chunks_exact_mut(units).for_each(|row| row.copy_from_slice(&bias.values));
    MatrixMut::new(&mut sums.values, x.rows * x.positions, units)
        .add_product(x.matrix(), Matrix::new(&weights.values, x.channels, units));
    sums
}

/// Adds the gradients of [`forward`]'s parameters, given that of its sums, and gives that of `x`.
pub(crate) fn backward(x: &Tensor, slopes: &Tensor, weights: &mut Parameter, bias: &mut Parameter) -> Tensor {
    let units = slopes.channels;
    MatrixMut::new(&mut weights.gradient, x.channels, units)
        .add_product(x.matrix().turned(), slopes.matrix());
    add_rows(&slopes.values, &mut bias.gradient);
    let mut back = x.like();
    MatrixMut::new(&mut back.values, x.rows * x.positions, x.channels)
        .add_product(slopes.matrix(), Matrix::new(&weights.values, x.channels, units).turned());
    back
}
