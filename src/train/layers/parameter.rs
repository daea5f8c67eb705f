//! Numbers that are fitted, with what a fit remembers of each.

use crate::simd;
use crate::simd::Task;
use crate::train::adam::Adam;

/// Some numbers of a layer, with their gradient and what Adam remembers of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) values: Vec<f32>,
    pub(crate) gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    /// True if they are weights, which the penalty draws to 0.
    is_weight: bool,
}

impl Parameter {
    pub(crate) fn weights(values: Vec<f32>) -> Parameter {
        Parameter { is_weight: true, ..Parameter::biases(values) }
    }

    pub(crate) fn biases(values: Vec<f32>) -> Parameter {
        let zeros = vec![0.0; values.len()];
        Parameter { gradient: zeros, values, first: Vec::new(), second: Vec::new(), is_weight: false }
    }

    /// One step of Adam, the `step`-th (from 1), after which the gradient is 0. `penalty` is that of half the sum of
    /// squares of the weights.
    pub(crate) fn step(&mut self, step: u64, rate: f32, penalty: f32) {
        // The moments are made when there is something to remember: a network that only scores has none.
        self.first.resize(self.values.len(), 0.0);
        self.second.resize(self.values.len(), 0.0);
        let adam = Adam::corrected(i32::try_from(step).unwrap_or(i32::MAX), rate);
        let penalty = if self.is_weight { penalty } else { 0.0 };
        simd::run(Update { parameter: self, adam, penalty });
    }

    /// All numbers that a fit goes on from.
    pub(crate) fn memory(&mut self) -> [&mut Vec<f32>; 3] {
        self.first.resize(self.values.len(), 0.0);
        self.second.resize(self.values.len(), 0.0);
        [&mut self.values, &mut self.first, &mut self.second]
    }
}

struct Update<'a> {
    parameter: &'a mut Parameter,
    adam: Adam,
    penalty: f32,
}

impl Task for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Parameter { values, gradient, first, second, .. } = self.parameter;
        let moments = first.iter_mut().zip(second);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            let slope = *gradient + self.penalty * *value;
            self.adam.update(value, slope, first, second);
            *gradient = 0.0;
        }
    }
}
