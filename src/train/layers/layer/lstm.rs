//! Long short-term memory.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::simd;
use crate::simd::Task;
use crate::train::layers::function::{sigmoid, tanh};
use crate::train::layers::layer::affine;
use crate::train::layers::layer::recurrent::{Cell, earlier};
use crate::train::layers::layer::{Pass, uniform};
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::{Matrix, MatrixMut, Tensor};

/// Gates, in ONNX's order: input i, output o, forget f, candidate c.
const GATES: usize = 4;

/// `i, o, f = σ(W x + R h + b)`, `c̃ = tanh(…)`, `c = f c + i c̃`, `h = o tanh(c)`. `inputs[channel][gate][unit]`,
/// `recurrent[unit][gate][unit]`.
#[derive(Debug, Clone)]
pub(crate) struct Lstm {
    pub(crate) units: usize,
    pub(crate) inputs: Parameter,
    pub(crate) recurrent: Parameter,
    pub(crate) bias: Parameter,
    given: Tensor,
    /// The gates' values, what the cells hold, and the states.
    gates: Tensor,
    cells: Tensor,
    states: Tensor,
}

impl Lstm {
    pub(crate) fn new(channels: usize, units: usize, rng: &mut Xoshiro256PlusPlus) -> Lstm {
        let mut bias = vec![0.0; GATES * units];
        // The cell keeps its state at first (Jozefowicz et al. 2015).
        bias[2 * units..3 * units].fill(1.0);
        Lstm {
            units,
            inputs: Parameter::weights(uniform(channels * GATES * units, units, rng)),
            recurrent: Parameter::weights(uniform(units * GATES * units, units, rng)),
            bias: Parameter::biases(bias),
            given: Tensor::default(),
            gates: Tensor::default(),
            cells: Tensor::default(),
            states: Tensor::default(),
        }
    }

    pub(crate) fn parameters(&mut self) -> [&mut Parameter; 3] {
        [&mut self.inputs, &mut self.recurrent, &mut self.bias]
    }
}

impl Cell for Lstm {
    fn units(&self) -> usize {
        self.units
    }

    fn forward(&mut self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let (units, rows, positions) = (self.units, x.rows, x.positions);
        let mut gates = affine::forward(x, &self.inputs, &self.bias);
        let (mut cells, mut states) =
            (Tensor::zeros(rows, positions, units), Tensor::zeros(rows, positions, units));
        let recurrent = Matrix::new(&self.recurrent.values, units, GATES * units);
        for t in 0..positions {
            if t > 0 {
                let sums = &mut gates.values[t * GATES * units..];
                MatrixMut::spaced(sums, rows, GATES * units, positions * GATES * units)
                    .add_product(states.position(t - 1), recurrent);
            }
            simd::run(Forward {
                t,
                units,
                positions,
                gates: &mut gates.values,
                cells: &mut cells.values,
                states: &mut states.values,
            });
        }
        if pass.is_training() {
            self.given.clone_from(x);
            (self.gates, self.cells, self.states) = (gates, cells, states.clone());
        }
        states
    }

    fn backward(&mut self, gradient: &Tensor) -> Tensor {
        let (units, rows, positions) = (self.units, gradient.rows, gradient.positions);
        let mut slopes = Tensor::zeros(rows, positions, GATES * units);
        let (mut of_state, mut of_cell) = (vec![0.0f32; rows * units], vec![0.0f32; rows * units]);
        for t in (0..positions).rev() {
            simd::run(Backward {
                t,
                units,
                positions,
                gradient: &gradient.values,
                gates: &self.gates.values,
                cells: &self.cells.values,
                of_state: &of_state,
                of_cell: &mut of_cell,
                slopes: &mut slopes.values,
            });
            of_state.fill(0.0);
            MatrixMut::new(&mut of_state, rows, units).add_product(
                slopes.position(t),
                Matrix::new(&self.recurrent.values, units, GATES * units).turned(),
            );
        }
        let last = earlier(&self.states);
        MatrixMut::new(&mut self.recurrent.gradient, units, GATES * units)
            .add_product(last.matrix().turned(), slopes.matrix());
        let Lstm { given, inputs, bias, .. } = self;
        affine::backward(given, &slopes, inputs, bias)
    }
}

/// One position of all windows, from sums to gates and states.
struct Forward<'a> {
    t: usize,
    units: usize,
    positions: usize,
    gates: &'a mut [f32],
    cells: &'a mut [f32],
    states: &'a mut [f32],
}

impl Task for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Forward { t, units, positions, gates, cells, states } = self;
        let windows = gates
            .chunks_exact_mut(positions * GATES * units)
            .zip(cells.chunks_exact_mut(positions * units))
            .zip(states.chunks_exact_mut(positions * units));
        for ((gates, cells), states) in windows {
            let gates = &mut gates[t * GATES * units..][..GATES * units];
            let (squashed, candidates) = gates.split_at_mut(3 * units);
            squashed.iter_mut().for_each(|x| *x = sigmoid(*x));
            candidates.iter_mut().for_each(|x| *x = tanh(*x));
            let (before, now) =
                cells[t.saturating_sub(1) * units..].split_at_mut(if t > 0 { units } else { 0 });
            let now = &mut now[..units];
            for (i, cell) in now.iter_mut().enumerate() {
                let held = if t > 0 { squashed[2 * units + i] * before[i] } else { 0.0 };
                *cell = held + squashed[i] * candidates[i];
            }
            let states = &mut states[t * units..][..units];
            for (i, state) in states.iter_mut().enumerate() {
                *state = squashed[units + i] * tanh(now[i]);
            }
        }
    }
}

/// One position of all windows, from the gradient of the states to that of the gates' sums.
struct Backward<'a> {
    t: usize,
    units: usize,
    positions: usize,
    gradient: &'a [f32],
    gates: &'a [f32],
    cells: &'a [f32],
    /// Gradient from the next position.
    of_state: &'a [f32],
    of_cell: &'a mut [f32],
    slopes: &'a mut [f32],
}

impl Task for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Backward { t, units, positions, gradient, gates, cells, of_state, of_cell, slopes } = self;
        for (row, slopes) in slopes.chunks_exact_mut(positions * GATES * units).enumerate() {
            let at = row * positions + t;
            let slopes = &mut slopes[t * GATES * units..][..GATES * units];
            let gates = &gates[at * GATES * units..][..GATES * units];
            let gradient = &gradient[at * units..][..units];
            let now = &cells[at * units..][..units];
            let before = if t > 0 { Some(&cells[(at - 1) * units..][..units]) } else { None };
            let of_state = &of_state[row * units..][..units];
            let of_cell = &mut of_cell[row * units..][..units];
            for i in 0..units {
                let (input, output) = (gates[i], gates[units + i]);
                let (forget, candidate) = (gates[2 * units + i], gates[3 * units + i]);
                let state = gradient[i] + of_state[i];
                let squashed = tanh(now[i]);
                let cell = of_cell[i] + state * output * (1.0 - squashed * squashed);
                slopes[i] = cell * candidate * input * (1.0 - input);
                slopes[units + i] = state * squashed * output * (1.0 - output);
                let held = before.map_or(0.0, |before| before[i]);
                slopes[2 * units + i] = cell * held * forget * (1.0 - forget);
                slopes[3 * units + i] = cell * input * (1.0 - candidate * candidate);
                of_cell[i] = cell * forget;
            }
        }
    }
}
