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
    push_decimal(scaled as u64, decimals, out);
}

/// Appends `digits` / 10^`decimals`, with so many digits after the point.
fn push_decimal(digits: u64, decimals: usize, out: &mut Vec<u8>) {
    let power = 10u64.pow(decimals as u32);
    push_integer(digits / power, out);
    if decimals > 0 {
        // A 1 in front keeps the zeros behind the point; the point takes its place.
        let point = out.len();
        push_integer(power + digits % power, out);
        out[point] = b'.';
    }
}

/// Appends `score` in the fewest digits that read back as the same `f32`: the bytes of `{score}`, or of `{score:e}` where
/// that would be long.
pub fn push_score(score: f32, out: &mut Vec<u8>) {
    let magnitude = score.abs();
    if let Some((digits, decimals)) = shortest(magnitude) {
        if score.is_sign_negative() {
            out.push(b'-');
        }
        return push_decimal(digits, decimals, out);
    }
    let short = magnitude == 0.0 || (1e-5..1e16).contains(&magnitude) || !magnitude.is_finite();
    let written = if short { write!(out, "{score}") } else { write!(out, "{score:e}") };
    written.expect("writing to memory does not fail");
}

/// Numbers that [`shortest`] knows the digits of: below, 11 decimals may be too few; above, digits before the point may be
/// too many.
const COMMON: std::ops::Range<f32> = 1e-3..8e6;

/// Finds the fewest decimals that read back as `score`, and the digits, if it is a common number.
///
/// All here is exact in an `f64`: `score` · 10^11, as 5^11 has 26 bits, and the distance to the nearest whole number.
fn shortest(score: f32) -> Option<(u64, usize)> {
    const POWERS: [f64; 12] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11];
    let mantissa = score.to_bits() & 0x007f_ffff;
    // Below a power of two numbers lie closer together than above it: the nearest decimal may not be the one to take.
    if !COMMON.contains(&score) || mantissa == 0 {
        return None;
    }
    let exponent = (score.to_bits() >> 23) as i32 - 127;
    // A decimal nearer than this reads back as the score; one at just this distance does if the score's last bit is 0.
    let half_ulp = f64::from_bits(((exponent - 24 + 1023) as u64) << 52);
    let with = |decimals: usize| {
        let scaled = f64::from(score) * POWERS[decimals];
        let digits = (scaled + 0.5) as u64;
        let (off, bound) = ((digits as f64 - scaled).abs(), half_ulp * POWERS[decimals]);
        (off < bound || (off == bound && mantissa.is_multiple_of(2))).then_some((digits, decimals))
    };
    // Seven digits are enough for about half of all numbers.
    let guess = (6 - ((exponent * 1233) >> 12)).clamp(0, 11) as usize;
    match with(guess) {
        Some(found) => Some((0..guess).rev().map_while(with).last().unwrap_or(found)),
        None => (guess + 1..POWERS.len()).find_map(with),
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

    fn score(score: f32) -> String {
        let mut out = Vec::new();
        push_score(score, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scores_are_written_in_the_fewest_digits() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.25, "0.25"),
            (-2.5, "-2.5"),
            (3.7e-5, "0.000037"),
            (1e-7, "1e-7"),
            (1.1e-45, "1e-45"),
            (123_456.7, "123456.7"),
            (8_388_608.0, "8388608"),
            (1e20, "1e20"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in cases {
            assert_eq!(score(number), text);
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

        #[test]
        fn any_score_reads_back_bit_for_bit(bits: u32, near in -40.0f32..40.0, share in 0.0f32..1.0) {
            for number in [f32::from_bits(bits), near, near * 1e3, near * 1e5, share, share * 1e-2, share * 1e-4] {
                let text = score(number);
                if number.is_nan() {
                    prop_assert_eq!(text, "NaN");
                    continue;
                }
                prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), number.to_bits());
                let shortest = if text.contains('e') { format!("{number:e}") } else { format!("{number}") };
                prop_assert_eq!(text, shortest);
            }
        }
    }
}
