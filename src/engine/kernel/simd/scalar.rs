//! Plain arrays: portable, and what the other instruction sets are compared with.

use super::{BYTES, Bytes, Lanes, Numbers, Row, Vector, WIDTH};

/// A vector as an array.
#[derive(Clone, Copy)]
pub(super) struct Array([f32; WIDTH]);

/// Small numbers as an array.
#[derive(Clone, Copy)]
pub(super) struct Small([u8; BYTES]);

impl Bytes for Small {
    #[inline(always)]
    fn load(from: &Row) -> Self {
        Small(from.0)
    }
    #[inline(always)]
    fn store(self, to: &mut Row) {
        to.0 = self.0;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Small(std::array::from_fn(|i| self.0[i].saturating_add(other.0[i])))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Small(std::array::from_fn(|i| self.0[i].min(other.0[i])))
    }
    #[inline(always)]
    fn is_full(self) -> bool {
        self.0 == [u8::MAX; BYTES]
    }
}

impl Vector for Array {
    type Part = Array;
    type Bytes = Small;

    #[inline(always)]
    fn join(first: Array, _: Array) -> Self {
        first
    }
    #[inline(always)]
    fn split(self) -> [Array; 2] {
        [self; 2]
    }
}

impl Numbers for Array {
    type Row = Lanes;
    const PARTS: usize = 1;
    #[inline(always)]
    fn rows(lanes: &[Lanes]) -> &[Lanes] {
        lanes
    }
    #[inline(always)]
    fn rows_mut(lanes: &mut [Lanes]) -> &mut [Lanes] {
        lanes
    }
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
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Array(std::array::from_fn(|i| mul_add(self.0[i], factor.0[i], term.0[i])))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] }))
    }
}

/// `x * y + z`, rounded once, without the instruction for it, whose replacement in the system's library is slow.
///
/// The product is exact in `f64`. The sum is rounded there to the neighbour with an odd last bit where it is not
/// exact, and so the second rounding gives what a single one would (Boldo and Melquiond 2008).
#[inline(always)]
fn mul_add(x: f32, y: f32, z: f32) -> f32 {
    let (product, z) = (f64::from(x) * f64::from(y), f64::from(z));
    let sum = product + z;
    let part = sum - product;
    let error = (product - (sum - part)) + (z - part);
    let bits = sum.to_bits();
    let away_from_zero = (error > 0.0) == (sum > 0.0);
    let odd = if away_from_zero { bits | 1 } else { bits.wrapping_sub(1) | 1 };
    f64::from_bits(if error.abs() > 0.0 && bits & 1 == 0 { odd } else { bits }) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fused_as_by_the_library(x in any::<f32>(), y in any::<f32>(), z in any::<f32>(), near in -4..4i32) {
            prop_assert_eq!(super::mul_add(x, y, z).to_bits(), x.mul_add(y, z).to_bits());
            // The cases that matter: a product that cancels the term, or nearly.
            let z = f32::from_bits((-x * y).to_bits().wrapping_add_signed(near));
            if z.is_finite() {
                prop_assert_eq!(super::mul_add(x, y, z).to_bits(), x.mul_add(y, z).to_bits());
            }
        }
    }
}
