//! Gated recurrent units.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::simd;
use crate::simd::Task;
use crate::train::layers::function::{sigmoid, tanh};
use crate::train::layers::layer::affine;
use crate::train::layers::layer::recurrent::{Cell, earlier};
use crate::train::layers::layer::{Pass, uniform};
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::{Matrix, MatrixMut, Tensor, add_rows};

/// Gates, in ONNX's order: update z, reset r, candidate n.
const GATES: usize = 3;

/// `z, r = σ(W x + R h + b)`, `n = tanh(W x + b + r (R h + b'))`, `h = (1 - z) n + z h`. `inputs[channel][gate][unit]`,
/// `recurrent[unit][gate][unit]`.
#[derive(Debug, Clone)]
pub(crate) struct Gru {
    pub(crate) units: usize,
    pub(crate) inputs: Parameter,
    pub(crate) recurrent: Parameter,
    pub(crate) bias: Parameter,
    /// b', of the candidates' recurrent sums.
    pub(crate) recurrent_bias: Parameter,
    given: Tensor,
    gates: Tensor,
    /// R h + b' of the candidates.
    recurrent_sums: Tensor,
    states: Tensor,
}

impl Gru {
    pub(crate) fn new(channels: usize, units: usize, rng: &mut Xoshiro256PlusPlus) -> Gru {
        Gru {
            units,
            inputs: Parameter::weights(uniform(channels * GATES * units, units, rng)),
            recurrent: Parameter::weights(uniform(units * GATES * units, units, rng)),
            bias: Parameter::biases(vec![0.0; GATES * units]),
            recurrent_bias: Parameter::biases(vec![0.0; units]),
            given: Tensor::default(),
            gates: Tensor::default(),
            recurrent_sums: Tensor::default(),
            states: Tensor::default(),
        }
    }

    pub(crate) fn parameters(&mut self) -> [&mut Parameter; 4] {
        [&mut self.inputs, &mut self.recurrent, &mut self.bias, &mut self.recurrent_bias]
    }
}

impl Cell for Gru {
    fn units(&self) -> usize {
        self.units
    }

    fn forward(&mut self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let (units, rows, positions) = (self.units, x.rows, x.positions);
        let mut gates = affine::forward(x, &self.inputs, &self.bias);
        let (mut kept, mut states) =
            (Tensor::zeros(rows, positions, units), Tensor::zeros(rows, positions, units));
        let recurrent = Matrix::new(&self.recurrent.values, units, GATES * units);
        let mut sums = vec![0.0; rows * GATES * units];
        for t in 0..positions {
            for row in sums.chunks_exact_mut(GATES * units) {
                row[..2 * units].fill(0.0);
                row[2 * units..].copy_from_slice(&self.recurrent_bias.values);
            }
            if t > 0 {
                MatrixMut::new(&mut sums, rows, GATES * units).add_product(states.position(t - 1), recurrent);
            }
            simd::run(Forward {
                t,
                units,
                positions,
                sums: &sums,
                gates: &mut gates.values,
                kept: &mut kept.values,
                states: &mut states.values,
            });
        }
        if pass.is_training() {
            self.given.clone_from(x);
            (self.gates, self.recurrent_sums, self.states) = (gates, kept, states.clone());
        }
        states
    }

    fn backward(&mut self, gradient: &Tensor) -> Tensor {
        let (units, rows, positions) = (self.units, gradient.rows, gradient.positions);
        // Gradients of the sums of inputs and of the recurrent sums; they differ in the candidates.
        let mut slopes = Tensor::zeros(rows, positions, GATES * units);
        let mut recurrent_slopes = slopes.clone();
        let last = earlier(&self.states);
        let mut of_state = vec![0.0f32; rows * units];
        for t in (0..positions).rev() {
            simd::run(Backward {
                t,
                units,
                positions,
                gradient: &gradient.values,
                gates: &self.gates.values,
                kept: &self.recurrent_sums.values,
                last: &last.values,
                of_state: &mut of_state,
                slopes: &mut slopes.values,
                recurrent_slopes: &mut recurrent_slopes.values,
            });
            MatrixMut::new(&mut of_state, rows, units).add_product(
                recurrent_slopes.position(t),
                Matrix::new(&self.recurrent.values, units, GATES * units).turned(),
            );
        }
        MatrixMut::new(&mut self.recurrent.gradient, units, GATES * units)
            .add_product(last.matrix().turned(), recurrent_slopes.matrix());
        let mut sums = vec![0.0; GATES * units];
        add_rows(&recurrent_slopes.values, &mut sums);
        let candidates = self.recurrent_bias.gradient.iter_mut().zip(&sums[2 * units..]);
        candidates.for_each(|(sum, x)| *sum += x);
        let Gru { given, inputs, bias, .. } = self;
        affine::backward(given, &slopes, inputs, bias)
    }
}

/// One position of all windows, from sums to gates and states.
struct Forward<'a> {
    t: usize,
    units: usize,
    positions: usize,
    sums: &'a [f32],
    gates: &'a mut [f32],
    kept: &'a mut [f32],
    states: &'a mut [f32],
}

impl Task for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Forward { t, units, positions, sums, gates, kept, states } = self;
        for (row, sums) in sums.chunks_exact(GATES * units).enumerate() {
            let at = row * positions + t;
            let gates = &mut gates[at * GATES * units..][..GATES * units];
            let kept = &mut kept[at * units..][..units];
            kept.copy_from_slice(&sums[2 * units..]);
            let (squashed, candidates) = gates.split_at_mut(2 * units);
            squashed.iter_mut().zip(sums).for_each(|(x, sum)| *x = sigmoid(*x + sum));
            for (i, x) in candidates.iter_mut().enumerate() {
                *x = tanh(*x + squashed[units + i] * kept[i]);
            }
            let (before, now) = states.split_at_mut(at * units);
            let before = if t > 0 { &before[(at - 1) * units..] } else { &[] };
            for (i, state) in now[..units].iter_mut().enumerate() {
                let last = before.get(i).copied().unwrap_or(0.0);
                *state = candidates[i] + squashed[i] * (last - candidates[i]);
            }
        }
    }
}

/// One position of all windows, from the gradient of the states to those of the sums.
struct Backward<'a> {
    t: usize,
    units: usize,
    positions: usize,
    gradient: &'a [f32],
    gates: &'a [f32],
    kept: &'a [f32],
    last: &'a [f32],
    /// From the next position; then for the one before, without what comes through the sums.
    of_state: &'a mut [f32],
    slopes: &'a mut [f32],
    recurrent_slopes: &'a mut [f32],
}

impl Task for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Backward { t, units, positions, gradient, gates, kept, last, of_state, slopes, recurrent_slopes } =
            self;
        for (row, of_state) in of_state.chunks_exact_mut(units).enumerate() {
            let at = row * positions + t;
            let slopes = &mut slopes[at * GATES * units..][..GATES * units];
            let recurrent = &mut recurrent_slopes[at * GATES * units..][..GATES * units];
            let gates = &gates[at * GATES * units..][..GATES * units];
            let gradient = &gradient[at * units..][..units];
            let kept = &kept[at * units..][..units];
            let last = &last[at * units..][..units];
            for i in 0..units {
                let (update, reset, candidate) = (gates[i], gates[units + i], gates[2 * units + i]);
                let state = gradient[i] + of_state[i];
                let sum = state * (1.0 - update) * (1.0 - candidate * candidate);
                slopes[i] = state * (last[i] - candidate) * update * (1.0 - update);
                slopes[units + i] = sum * kept[i] * reset * (1.0 - reset);
                slopes[2 * units + i] = sum;
                recurrent[i] = slopes[i];
                recurrent[units + i] = slopes[units + i];
                recurrent[2 * units + i] = sum * reset;
                of_state[i] = state * update;
            }
        }
    }
}
