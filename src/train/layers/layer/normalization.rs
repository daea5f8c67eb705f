//! Batch normalisation.

use crate::train::layers::layer::Pass;
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::Tensor;

/// Added to a variance before its root is taken, as PyTorch does.
pub(crate) const EPSILON: f32 = 1e-5;
/// Share of a batch in the running mean and variance.
const MOMENTUM: f32 = 0.1;

/// `(x - mean) / √(variance + ε) · scale + shift`, channel by channel: with the batch's own mean and variance in training,
/// with their running means when scoring.
#[derive(Debug, Clone)]
pub(crate) struct Normalization {
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
    normal: Tensor,
    /// 1 / √(variance + ε) of the last batch.
    factors: Vec<f32>,
}

impl Normalization {
    pub(crate) fn new(channels: usize) -> Normalization {
        Normalization {
            scale: Parameter::biases(vec![1.0; channels]),
            shift: Parameter::biases(vec![0.0; channels]),
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            normal: Tensor::default(),
            factors: Vec::new(),
        }
    }

    /// For each channel what a number is multiplied with, and what is added then, when scoring.
    pub(crate) fn line(&self) -> Vec<(f32, f32)> {
        let statistics = self.mean.iter().zip(&self.variance);
        let parameters = self.scale.values.iter().zip(&self.shift.values);
        let line = |((mean, variance), (scale, shift)): ((&f32, &f32), (&f32, &f32))| {
            let factor = scale / (variance + EPSILON).sqrt();
            (factor, shift - mean * factor)
        };
        statistics.zip(parameters).map(line).collect()
    }

    /// Mean of `each` number, given its channel, over a batch.
    fn mean_of(&self, values: &[f32], each: impl Fn(usize, f32) -> f32) -> Vec<f32> {
        let channels = self.mean.len();
        let mut sums = vec![0.0f32; channels];
        for row in values.chunks_exact(channels) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum += each(i, row[i]);
            }
        }
        let count = (values.len() / channels) as f32;
        sums.iter_mut().for_each(|sum| *sum /= count);
        sums
    }

    pub(crate) fn forward(&mut self, mut x: Tensor, pass: &Pass<'_>) -> Tensor {
        let channels = x.channels;
        if !pass.is_training() {
            let line = self.line();
            for row in x.values.chunks_exact_mut(channels) {
                row.iter_mut().zip(&line).for_each(|(x, (factor, offset))| *x = *x * factor + offset);
            }
            return x;
        }
        let count = (x.rows * x.positions) as f32;
        let mean = self.mean_of(&x.values, |_, x| x);
        let variance = self.mean_of(&x.values, |i, x| (x - mean[i]) * (x - mean[i]));
        // The running variance is that of the population.
        let unbiased = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
        for i in 0..channels {
            self.mean[i] += MOMENTUM * (mean[i] - self.mean[i]);
            self.variance[i] += MOMENTUM * (variance[i] * unbiased - self.variance[i]);
        }
        self.factors = variance.iter().map(|variance| 1.0 / (variance + EPSILON).sqrt()).collect();
        let mut normal = x.like();
        for (row, normal) in x.values.chunks_exact_mut(channels).zip(normal.values.chunks_exact_mut(channels))
        {
            for i in 0..channels {
                normal[i] = (row[i] - mean[i]) * self.factors[i];
                row[i] = normal[i] * self.scale.values[i] + self.shift.values[i];
            }
        }
        self.normal = normal;
        x
    }

    pub(crate) fn backward(&mut self, mut gradient: Tensor) -> Tensor {
        let channels = gradient.channels;
        let count = (gradient.rows * gradient.positions) as f32;
        let (mut shift, mut scale) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        for (row, normal) in
            gradient.values.chunks_exact(channels).zip(self.normal.values.chunks_exact(channels))
        {
            for i in 0..channels {
                shift[i] += row[i];
                scale[i] += row[i] * normal[i];
            }
        }
        let factors: Vec<f32> = self.factors.iter().zip(&self.scale.values).map(|(a, b)| a * b).collect();
        for (row, normal) in
            gradient.values.chunks_exact_mut(channels).zip(self.normal.values.chunks_exact(channels))
        {
            for i in 0..channels {
                row[i] = factors[i] * (row[i] - (shift[i] + normal[i] * scale[i]) / count);
            }
        }
        self.shift.gradient.iter_mut().zip(&shift).for_each(|(sum, x)| *sum += x);
        self.scale.gradient.iter_mut().zip(&scale).for_each(|(sum, x)| *sum += x);
        gradient
    }
}
