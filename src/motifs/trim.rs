//! Cutting the columns that say little off a motif's ends.

use std::ops::Range;

use crate::model::motif::information;

/// Columns of a motif that are kept: from the first to the last one with more than `bits`, and `flank` more on both
/// sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trim {
    /// Information content in bits.
    pub bits: f64,
    /// Columns.
    pub flank: usize,
}

impl Default for Trim {
    /// Koo and Eddy's: half a bit, three columns.
    fn default() -> Self {
        Trim { bits: 0.5, flank: 3 }
    }
}

impl Trim {
    /// The columns that are kept; all of them where none has so much information.
    pub fn kept(&self, counts: &[[f64; 4]]) -> Range<usize> {
        let telling = |column: &[f64; 4]| information(column) > self.bits;
        match (counts.iter().position(telling), counts.iter().rposition(telling)) {
            (Some(first), Some(last)) => {
                first.saturating_sub(self.flank)..(last + 1 + self.flank).min(counts.len())
            }
            _ => 0..counts.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_say_little_are_cut_off() {
        let (flat, sharp) = ([1.0; 4], [9.0, 0.0, 1.0, 0.0]);
        let counts = [flat, flat, sharp, flat, sharp, flat, flat, flat];
        let kept = |bits, flank| Trim { bits, flank }.kept(&counts);
        assert_eq!((kept(0.5, 0), kept(0.5, 1), kept(0.5, 3)), (2..5, 1..6, 0..8));
        assert_eq!(kept(1.99, 0), 0..8);
        assert_eq!(Trim::default().kept(&[]), 0..0);
        assert!((information(&[1.0, 1.0, 0.0, 0.0]) - 1.0).abs() < 1e-12 && information(&flat).abs() < 1e-12);
    }
}
