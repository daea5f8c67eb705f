//! NEON: a vector is four registers.

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{Bytes, Lanes, Row, Task, Vector};

/// Proof that the CPU has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neon(());

impl Neon {
    /// The proof, or `None` where the CPU lacks NEON.
    pub(super) fn new() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    /// Runs `task`.
    pub(super) fn run(self, task: impl Task) {
        // SAFETY: `self` exists only where `new` found NEON.
        unsafe { enter(task) }
    }
}

#[target_feature(enable = "neon")]
fn enter<T: Task>(task: T) {
    task.run::<Quad>();
}

/// Sixteen numbers. The type is named nowhere but in [`enter`], so its methods run only where NEON is present; the
/// safety comments below refer to this.
#[derive(Clone, Copy)]
struct Quad([float32x4_t; 4]);

impl Quad {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        let ([a, b, c, d], [w, x, y, z]) = (self.0, other.0);
        Quad([f(a, w), f(b, x), f(c, y), f(d, z)])
    }
}

/// Thirty-two small numbers, in two registers; what is said of [`Quad`] holds here too.
#[derive(Clone, Copy)]
struct Small(uint8x16_t, uint8x16_t);

impl Bytes for Small {
    #[inline(always)]
    fn load(from: &Row) -> Self {
        let half = from.0.as_ptr();
        // SAFETY: called through `enter` only; `Row` is two times sixteen bytes.
        unsafe { Small(vld1q_u8(half), vld1q_u8(half.add(16))) }
    }
    #[inline(always)]
    fn store(self, to: &mut Row) {
        let half = to.0.as_mut_ptr();
        // SAFETY: called through `enter` only; `Row` is two times sixteen bytes.
        unsafe {
            vst1q_u8(half, self.0);
            vst1q_u8(half.add(16), self.1);
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        unsafe { Small(vqaddq_u8(self.0, other.0), vqaddq_u8(self.1, other.1)) }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        unsafe { Small(vminq_u8(self.0, other.0), vminq_u8(self.1, other.1)) }
    }
    #[inline(always)]
    fn is_full(self) -> bool {
        // SAFETY: called through `enter` only.
        unsafe { vminvq_u8(vminq_u8(self.0, self.1)) == u8::MAX }
    }
}

impl Vector for Quad {
    type Bytes = Small;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called through `enter` only.
        Quad([unsafe { vdupq_n_f32(x) }; 4])
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        let p = from.0.as_ptr();
        // SAFETY: called through `enter` only; `Lanes` holds four times four numbers.
        unsafe { Quad([vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))]) }
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        for (quarter, x) in to.0.chunks_exact_mut(4).zip(self.0) {
            // SAFETY: called through `enter` only; `quarter` holds four numbers.
            unsafe { vst1q_f32(quarter.as_mut_ptr(), x) }
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        self.zip(other, |x, y| unsafe { vaddq_f32(x, y) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        self.zip(other, |x, y| unsafe { vmulq_f32(x, y) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        let ([a, b, c, d], [w, x, y, z], [i, j, k, l]) = (self.0, factor.0, term.0);
        // SAFETY: called through `enter` only.
        Quad(unsafe { [vfmaq_f32(i, a, w), vfmaq_f32(j, b, x), vfmaq_f32(k, c, y), vfmaq_f32(l, d, z)] })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        self.zip(other, |x, y| unsafe { vmaxq_f32(x, y) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        self.zip(other, |x, y| unsafe { vminq_f32(x, y) })
    }
}
