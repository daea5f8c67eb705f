//! Steps down a gradient.

use crate::simd::{Lanes, Task, WIDTH};
use crate::train::adam::Adam;
use crate::train::deepbind::parameters::Layout;

/// A rule that turns gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent with Nesterov's momentum μ: `v ← μ v - r g`, `θ ← θ + μ v - r g` (the parameters
    /// are kept at the point that looks ahead).
    Nesterov {
        /// μ.
        momentum: f32,
    },
    /// Adam (Kingma & Ba 2015) with decay rates 0.9 and 0.999 and ε = 1e-8.
    Adam,
}

/// State of an optimizer.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    optimizer: Optimizer,
    steps: i32,
    first: Vec<Lanes>,
    second: Vec<Lanes>,
}

impl Memory {
    pub(crate) fn new(optimizer: Optimizer, size: usize) -> Memory {
        let second = if optimizer == Optimizer::Adam { size } else { 0 };
        Memory { optimizer, steps: 0, first: vec![Lanes::ZERO; size], second: vec![Lanes::ZERO; second] }
    }

    /// Steps made.
    pub(crate) fn steps(&self) -> usize {
        self.steps as usize
    }
}

/// L1 penalty of each layer's weights; biases and biases have none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalty {
    /// β₁, of the filters.
    pub filters: f32,
    /// β₂, of the hidden layer.
    pub hidden: f32,
    /// β₃, of the output layer.
    pub output: f32,
}

/// One step.
pub(crate) struct Update<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) memory: &'a mut Memory,
    pub(crate) rate: f32,
    pub(crate) penalty: Penalty,
    pub(crate) parameters: &'a mut [Lanes],
    /// Gradient of the loss; that of the penalty is added to it.
    pub(crate) gradient: &'a mut [Lanes],
    /// Running averages of the parameters, from 0 on; none at all if not wanted.
    pub(crate) averages: &'a mut [Lanes],
    /// Decay rate of the averages.
    pub(crate) averaging: f32,
}

impl Task for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Update { layout, memory, rate, penalty, parameters, gradient, averages, averaging } = self;
        for (range, strength) in [
            (layout.filters.clone(), penalty.filters),
            (layout.hidden_weights.clone(), penalty.hidden),
            (layout.output_weights.clone(), penalty.output),
        ] {
            if strength > 0.0 {
                for (g, &w) in gradient[range.clone()].iter_mut().zip(&parameters[range]) {
                    *g += w.map(|w| {
                        if w > 0.0 {
                            strength
                        } else if w < 0.0 {
                            -strength
                        } else {
                            0.0
                        }
                    });
                }
            }
        }
        memory.steps += 1;
        match memory.optimizer {
            Optimizer::Nesterov { momentum } => {
                let (momentum, rate) = (Lanes::splat(momentum), Lanes::splat(-rate));
                for ((w, &g), v) in parameters.iter_mut().zip(&*gradient).zip(&mut memory.first) {
                    let step = rate * g;
                    *v = momentum * *v + step;
                    *w += momentum * *v + step;
                }
            }
            Optimizer::Adam => {
                let adam = Adam::folded(memory.steps, rate);
                let moments = memory.first.iter_mut().zip(&mut memory.second);
                for ((w, g), (m, v)) in parameters.iter_mut().zip(&*gradient).zip(moments) {
                    for lane in 0..WIDTH {
                        adam.update(&mut w.0[lane], g.0[lane], &mut m.0[lane], &mut v.0[lane]);
                    }
                }
            }
        }
        for (average, &w) in averages.iter_mut().zip(&*parameters) {
            *average = *average * Lanes::splat(averaging) + w * Lanes::splat(1.0 - averaging);
        }
    }
}
