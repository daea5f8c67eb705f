//! Sixteen filters at a time: arrays that the compiler keeps in vector registers, and code compiled for the
//! instruction set that the CPU has.
//!
//! All operations are lane by lane, in a fixed order and without fused multiply-add, so that every instruction set
//! gives the same bits.

use std::ops::{Add, AddAssign, Mul};

/// Filters in a vector.
pub(crate) const WIDTH: usize = 16;

/// Sixteen numbers, one cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; WIDTH]);

impl Lanes {
    /// Zero in every lane.
    pub(crate) const ZERO: Lanes = Lanes([0.0; WIDTH]);

    /// `x` in every lane.
    #[inline(always)]
    pub(crate) fn splat(x: f32) -> Lanes {
        Lanes([x; WIDTH])
    }

    /// `f` of every lane.
    #[inline(always)]
    pub(crate) fn map(self, f: impl Fn(f32) -> f32) -> Lanes {
        Lanes(self.0.map(f))
    }

    /// `f` of every lane of the two.
    #[inline(always)]
    pub(crate) fn zip(self, other: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
        let mut out = Lanes::ZERO;
        for l in 0..WIDTH {
            out.0[l] = f(self.0[l], other.0[l]);
        }
        out
    }

    /// Sum over the lanes: halves added together, four times.
    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        let mut x = self.0;
        let mut half = WIDTH / 2;
        while half > 0 {
            for l in 0..half {
                x[l] += x[l + half];
            }
            half /= 2;
        }
        x[0]
    }
}

impl Add for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn add(self, other: Lanes) -> Lanes {
        self.zip(other, |a, b| a + b)
    }
}

impl Mul for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn mul(self, other: Lanes) -> Lanes {
        self.zip(other, |a, b| a * b)
    }
}

impl AddAssign for Lanes {
    #[inline(always)]
    fn add_assign(&mut self, other: Lanes) {
        for l in 0..WIDTH {
            self.0[l] += other.0[l];
        }
    }
}

/// Work to be compiled for every instruction set. `run` and all it calls must be `#[inline(always)]`, or the compiler
/// does not use the instruction set there.
pub(crate) trait Task {
    /// Result of the work.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Runs a task with the widest vectors that the CPU has.
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vl") {
            // SAFETY: the CPU has the features that the function was compiled for.
            return unsafe { avx512(task) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has the feature that the function was compiled for.
            return unsafe { avx2(task) };
        }
    }
    task.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn avx512<T: Task>(task: T) -> T::Output {
    task.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<T: Task>(task: T) -> T::Output {
    task.run()
}

/// Runs a task with every instruction set that the CPU has, portable code first.
#[cfg(test)]
#[allow(unused_mut, reason = "other architectures have portable code only")]
pub(crate) fn run_with_each<T: Task>(mut task: impl FnMut() -> T) -> Vec<T::Output> {
    let mut outputs = vec![task().run()];
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has the feature that the function was compiled for.
            outputs.push(unsafe { avx2(task()) });
        }
        if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vl") {
            // SAFETY: the CPU has the features that the function was compiled for.
            outputs.push(unsafe { avx512(task()) });
        }
    }
    outputs
}
