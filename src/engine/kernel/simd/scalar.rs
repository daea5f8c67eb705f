//! Plain arrays: portable, and the reference for the other instruction sets.

use super::{BYTES, Bytes, Lanes, Numbers, Row, Vector, WIDTH};

/// A vector as an array.
#[derive(Clone, Copy)]
pub(crate) struct Array([f32; WIDTH]);

/// Small numbers as an array.
#[derive(Clone, Copy)]
pub(crate) struct Small([u8; BYTES]);

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
    #[inline(always)]
    fn below_full(self) -> u32 {
        self.0.iter().rev().fold(0, |mask, &lane| mask << 1 | u32::from(lane < u8::MAX))
    }
    #[inline(always)]
    fn look_up(self, indices: &[u8; BYTES]) -> Self {
        let of = |index: u8| if index < 128 { self.0[usize::from(index % 16)] } else { 0 };
        Small(indices.map(of))
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
    const REGISTERS: usize = 4;
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
        mul_add_lanes(&self.0, &factor.0, &term.0)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Array(std::array::from_fn(|i| if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] }))
    }
    #[inline(always)]
    fn is(self, other: Self) -> bool {
        self.0.map(f32::to_bits) == other.0.map(f32::to_bits)
    }
}

/// [`mul_add`] lane by lane, which needs its care hardly ever.
///
/// A sum in `f64` is rounded to what the exact sum would be unless it lies half-way between two `f32`, and then it may have
/// got there by rounding itself. Below the normal numbers there are half-ways of other kinds.
#[inline(always)]
fn mul_add_lanes(x: &[f32; WIDTH], y: &[f32; WIDTH], z: &[f32; WIDTH]) -> Array {
    const BEYOND: u64 = (1 << 29) - 1;
    const HALF_WAY: u64 = 1 << 28;
    const NORMAL: u64 = (2.0 * f32::MIN_POSITIVE as f64).to_bits();
    let (mut sums, mut care) = ([0.0; WIDTH], false);
    for i in 0..WIDTH {
        sums[i] = f64::from(x[i]) * f64::from(y[i]) + f64::from(z[i]);
    }
    for sum in sums {
        let bits = sum.abs().to_bits();
        care |= (bits & BEYOND == HALF_WAY) | (bits.wrapping_sub(1) < NORMAL);
    }
    if care {
        return Array(std::array::from_fn(|i| mul_add(x[i], y[i], z[i])));
    }
    Array(sums.map(|sum| sum as f32))
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

    use super::*;

    proptest! {
        /// Few bits, and exponents far apart: sums half-way between two numbers, or nearly, are common.
        #[test]
        fn lanes_are_fused_one_by_one(
            numbers in proptest::collection::vec((-64..64i32, -40..40i32, -64..64i32, -150..100i32), WIDTH)
        ) {
            let number = |(mantissa, exponent): (i32, i32)| mantissa as f32 * (exponent as f32).exp2();
            let [x, y, z] = [0, 1, 2].map(|which| {
                std::array::from_fn(|i| {
                    let (a, b, c, d) = numbers[i];
                    number([(a, b), (c, 0), (a | 1, d)][which])
                })
            });
            let Array(lanes) = mul_add_lanes(&x, &y, &z);
            for i in 0..WIDTH {
                prop_assert_eq!(lanes[i].to_bits(), x[i].mul_add(y[i], z[i]).to_bits());
            }
        }

        #[test]
        fn fused_as_by_the_library(x in any::<f32>(), y in any::<f32>(), z in any::<f32>(), near in -4..4i32) {
            prop_assert_eq!(mul_add(x, y, z).to_bits(), x.mul_add(y, z).to_bits());
            // The cases that matter: a product that cancels the term, or nearly.
            let z = f32::from_bits((-x * y).to_bits().wrapping_add_signed(near));
            if z.is_finite() {
                prop_assert_eq!(mul_add(x, y, z).to_bits(), x.mul_add(y, z).to_bits());
            }
        }
    }
}
