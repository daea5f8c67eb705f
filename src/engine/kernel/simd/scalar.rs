//! Plain arrays: portable, and what the other instruction sets are compared with.

use super::{Lanes, Vector, WIDTH};

/// A vector as an array.
#[derive(Clone, Copy)]
pub(super) struct Array([f32; WIDTH]);

impl Vector for Array {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Array([x; WIDTH])
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        Array(from.0)
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        to.0 = self.0;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }
}
