//! Recurrent layers in one direction or both.

use crate::train::layers::layer::Pass;
use crate::train::layers::tensor::Tensor;

/// Units that read positions one after another, each time with their last state.
pub(crate) trait Cell {
    /// Units.
    fn units(&self) -> usize;
    /// Their states at all positions.
    fn forward(&mut self, x: &Tensor, pass: &Pass<'_>) -> Tensor;
    /// Takes the gradient of the states; adds to the parameters' gradients, and gives that of what went in.
    fn backward(&mut self, gradient: &Tensor) -> Tensor;
}

/// Units that read from the first position on, and perhaps as many that read from the last one on.
#[derive(Debug, Clone)]
pub(crate) struct Recurrent<C> {
    pub(crate) onward: C,
    pub(crate) back: Option<C>,
}

impl<C: Cell> Recurrent<C> {
    pub(crate) fn new(bidirectional: bool, mut make: impl FnMut() -> C) -> Recurrent<C> {
        let onward = make();
        Recurrent { onward, back: bidirectional.then(make) }
    }

    pub(crate) fn visit(&mut self, seen: impl FnMut(&mut C)) {
        [&mut self.onward].into_iter().chain(&mut self.back).for_each(seen);
    }

    pub(crate) fn forward(&mut self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let onward = self.onward.forward(x, pass);
        let Some(back) = &mut self.back else { return onward };
        let back = reversed(&back.forward(&reversed(x), pass));
        let units = onward.channels;
        let mut y = Tensor::zeros(x.rows, x.positions, 2 * units);
        let states = onward.values.chunks_exact(units).zip(back.values.chunks_exact(units));
        for (y, (onward, back)) in y.values.chunks_exact_mut(2 * units).zip(states) {
            y[..units].copy_from_slice(onward);
            y[units..].copy_from_slice(back);
        }
        y
    }

    pub(crate) fn backward(&mut self, gradient: &Tensor) -> Tensor {
        let units = self.onward.units();
        let Some(back) = &mut self.back else { return self.onward.backward(gradient) };
        let half = |first: usize| {
            let mut half = Tensor::zeros(gradient.rows, gradient.positions, units);
            let rows = gradient.values.chunks_exact(2 * units);
            half.values
                .chunks_exact_mut(units)
                .zip(rows)
                .for_each(|(half, row)| half.copy_from_slice(&row[first..first + units]));
            half
        };
        let mut sum = self.onward.backward(&half(0));
        let other = reversed(&back.backward(&reversed(&half(units))));
        sum.values.iter_mut().zip(&other.values).for_each(|(sum, x)| *sum += x);
        sum
    }
}

/// With the positions of each window in reverse order.
fn reversed(x: &Tensor) -> Tensor {
    let mut turned = x.like();
    let rows = x.values.chunks_exact(x.width()).zip(turned.values.chunks_exact_mut(x.width()));
    for (row, turned) in rows {
        let positions = row.chunks_exact(x.channels).rev();
        turned.chunks_exact_mut(x.channels).zip(positions).for_each(|(to, from)| to.copy_from_slice(from));
    }
    turned
}

/// The states one position earlier, 0 before the first.
pub(crate) fn earlier(states: &Tensor) -> Tensor {
    let mut earlier = states.like();
    let (width, channels) = (states.width(), states.channels);
    for (row, states) in earlier.values.chunks_exact_mut(width).zip(states.values.chunks_exact(width)) {
        row[channels..].copy_from_slice(&states[..width - channels]);
    }
    earlier
}
