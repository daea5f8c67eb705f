//! Numbers as text, faster than the standard formatter and in the same digits.

use std::io::Write;

/// Appends `number` in decimal digits.
pub(crate) fn push_integer(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `score` with `decimals` digits after the point, 6 at the most: the bytes of `{score:.decimals$}`.
///
/// An `f32` has 24 significant bits and 10^6 has 20, so that their product is exact in an `f64`: what is rounded is the
/// number itself, ties to even, as the standard formatter rounds.
pub(crate) fn push_fixed(score: f32, decimals: usize, out: &mut Vec<u8>) {
    const POWERS: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
    let power = POWERS[decimals];
    let scaled = (f64::from(score.abs()) * f64::from(power)).round_ties_even();
    if scaled.is_nan() || scaled >= 1e18 {
        return write!(out, "{score:.decimals$}").expect("writing to memory does not fail");
    }
    if score.is_sign_negative() {
        out.push(b'-');
    }
    let scaled = scaled as u64;
    push_integer(scaled / u64::from(power), out);
    if decimals > 0 {
        out.push(b'.');
        let mut rest = scaled % u64::from(power);
        let from = out.len();
        out.resize(from + decimals, b'0');
        for digit in out[from..].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixed(score: f32, decimals: usize) -> String {
        let mut out = Vec::new();
        push_fixed(score, decimals, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn extremes_are_written_as_the_standard_formatter_writes_them() {
        let extremes = [0.0, -0.0, 0.5, 0.125, 0.00005, -0.00005, 1e-45, 9.99995, -9.999_999, 1e9, 1e30];
        let limits = [f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        for score in extremes.into_iter().chain(limits) {
            for decimals in 0..=6 {
                assert_eq!(fixed(score, decimals), format!("{score:.decimals$}"));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_number_is_written_as_the_standard_formatter_writes_it(bits: u32, near in -40.0f32..40.0) {
            for score in [f32::from_bits(bits), near, (near * 1024.0).round() / 1024.0] {
                for decimals in [0, 4, 6] {
                    prop_assert_eq!(fixed(score, decimals), format!("{score:.decimals$}"));
                }
            }
        }
    }
}
