//! Functions of a number, written so that the compiler computes many at a time.

use crate::simd;
use crate::simd::Task;
use crate::train::layers::architecture::Function;

/// e^x to 2 units in the last place, from about 1e-38 to 1.7e38; beyond, those.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r, |r| <= ln 2 / 2; adding and subtracting 1.5 · 2^23 rounds to a whole number.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    // ln 2 in two parts, the first of few digits so that its product is exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    // The Taylor series; its next term is below 4e-9.
    let mut p = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + factor;
    }
    // The last bits of the sum are n; shifted to the place of the exponent, they make 2^n.
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + e^-x)
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to 1e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

impl Function {
    /// The function of every number.
    pub(crate) fn apply(self, values: &mut [f32]) {
        simd::run(Apply { function: self, values });
    }

    /// Makes gradients of results those of arguments; `results` are the function's values.
    pub(crate) fn derive(self, results: &[f32], gradients: &mut [f32]) {
        simd::run(Derive { function: self, results, gradients });
    }
}

struct Apply<'a> {
    function: Function,
    values: &'a mut [f32],
}

impl Task for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.function {
            // NaN stays NaN.
            Function::Relu => self.values.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
            Function::Exponential => self.values.iter_mut().for_each(|x| *x = exp(*x)),
            Function::Sigmoid => self.values.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Function::Tanh => self.values.iter_mut().for_each(|x| *x = tanh(*x)),
        }
    }
}

struct Derive<'a> {
    function: Function,
    results: &'a [f32],
    gradients: &'a mut [f32],
}

impl Task for Derive<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pairs = self.gradients.iter_mut().zip(self.results);
        match self.function {
            Function::Relu => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
            Function::Exponential => pairs.for_each(|(g, &y)| *g *= y),
            Function::Sigmoid => pairs.for_each(|(g, &y)| *g *= y * (1.0 - y)),
            Function::Tanh => pairs.for_each(|(g, &y)| *g *= 1.0 - y * y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_they_approximate() {
        for i in -8_000..8_800 {
            let x = i as f32 / 100.0;
            let (wide, e) = (f64::from(x), f64::from(x).exp());
            assert!((f64::from(exp(x)) - e).abs() <= 2.5e-7 * e, "{x}: {} {e}", exp(x));
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 2e-7, "{x}");
            assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 2e-7, "{x}");
        }
        assert!(exp(1e9).is_finite() && exp(-1e9) > 0.0);
        assert!(exp(f32::NAN).is_nan(), "what is no number must not be hidden");
    }
}
