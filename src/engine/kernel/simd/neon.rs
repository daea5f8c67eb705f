//! NEON: a vector is four registers, a half of it two.

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{BYTES, Bytes, Numbers, Octet, Pair, Row, Task, Vector};

/// Proof that the CPU has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, or `None` where the CPU lacks NEON.
    pub(crate) fn new() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    /// Runs `task`.
    pub(crate) fn run(self, task: impl Task) {
        // SAFETY: `self` exists only where `new` found NEON.
        unsafe { enter(task) }
    }
}

#[target_feature(enable = "neon")]
fn enter<T: Task>(task: T) {
    task.run::<Pair<Quads>>();
}

/// Eight numbers. The type is named nowhere but in the vectors of [`enter`], so its methods run only where NEON is
/// present; the safety comments below refer to this.
#[derive(Clone, Copy)]
struct Quads(float32x4_t, float32x4_t);

impl Quads {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Quads(f(self.0, other.0), f(self.1, other.1))
    }
}

/// Thirty-two small numbers, in two registers; what is said of [`Quads`] holds here too.
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
    #[inline(always)]
    fn below_full(self) -> u32 {
        let mut lanes = Row::ZERO;
        self.store(&mut lanes);
        lanes.0.iter().rev().fold(0, |mask, &lane| mask << 1 | u32::from(lane < u8::MAX))
    }
    #[inline(always)]
    fn look_up(self, indices: &[u8; BYTES]) -> Self {
        let half = indices.as_ptr();
        // SAFETY: called through `enter` only; two times sixteen bytes are read, from any address.
        unsafe { Small(vqtbl1q_u8(self.0, vld1q_u8(half)), vqtbl1q_u8(self.1, vld1q_u8(half.add(16)))) }
    }
}

impl Vector for Pair<Quads> {
    type Part = Quads;
    type Bytes = Small;

    #[inline(always)]
    fn join(first: Quads, second: Quads) -> Self {
        Pair(first, second)
    }
    #[inline(always)]
    fn split(self) -> [Quads; 2] {
        [self.0, self.1]
    }
}

impl Numbers for Quads {
    type Row = Octet;
    const REGISTERS: usize = 16;
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called through `enter` only.
        let x = unsafe { vdupq_n_f32(x) };
        Quads(x, x)
    }
    #[inline(always)]
    fn load(from: &Octet) -> Self {
        let p = from.0.as_ptr();
        // SAFETY: called through `enter` only; `Octet` holds two times four numbers.
        unsafe { Quads(vld1q_f32(p), vld1q_f32(p.add(4))) }
    }
    #[inline(always)]
    fn store(self, to: &mut Octet) {
        let p = to.0.as_mut_ptr();
        // SAFETY: called through `enter` only; `Octet` holds two times four numbers.
        unsafe {
            vst1q_f32(p, self.0);
            vst1q_f32(p.add(4), self.1);
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
        // SAFETY: called through `enter` only.
        Quads(unsafe { vfmaq_f32(term.0, self.0, factor.0) }, unsafe { vfmaq_f32(term.1, self.1, factor.1) })
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
    #[inline(always)]
    fn is(self, other: Self) -> bool {
        // SAFETY: called through `enter` only.
        unsafe {
            let equal = |x, y| vceqq_u32(vreinterpretq_u32_f32(x), vreinterpretq_u32_f32(y));
            vminvq_u32(vandq_u32(equal(self.0, other.0), equal(self.1, other.1))) == u32::MAX
        }
    }
}
