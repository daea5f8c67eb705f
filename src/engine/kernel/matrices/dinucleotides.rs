//! Positions where a matrix may reach its threshold, found by look-ups of dinucleotides in registers.
//!
//! A [quantized deficit](crate::engine::kernel::prefilter::quantized) is a sum over columns. Two columns together have 16
//! entries of a byte, which fit a register, and one shuffle instruction looks 16 or 32 of them up at once. The deficits of
//! 32 consecutive positions take one load, one shuffle and one addition for each two columns, whatever the sequence:
//!
//! ```text
//! for each 256 positions:
//!     deficits = 0                                                 256 bytes, in eight registers
//!     for each two columns j, j + 1:
//!         table = 16 entries, in a register
//!         deficits += table[dinucleotides at position + j]         saturating at 255
//!     if any deficit is below 255: note which
//! ```
//!
//! A dinucleotide with an N adds nothing, so that the deficit there is a lower bound too.

use crate::engine::kernel::prefilter::quantized::{Lane, step};
use crate::engine::kernel::simd::{BYTES, Bytes, Row, Task, Vector};

/// Codes of a dinucleotide without N: 4 times the first base and the second.
const DINUCLEOTIDES: usize = 16;

/// Stands for every dinucleotide with an N; look-ups give 0 for it.
pub(crate) const WITH_N: u8 = 0x80;

/// Registers of deficits that are summed side by side.
const SIDE: usize = 8;

/// Positions whose deficits are summed side by side.
pub(crate) const SPAN: usize = SIDE * BYTES;

/// Codes to dinucleotides: `dinucleotides[i]` is that of codes `i` and `i + 1`.
pub(crate) struct Pair<'a> {
    /// One more than there are `dinucleotides`.
    pub(crate) codes: &'a [u8],
    pub(crate) dinucleotides: &'a mut [u8],
}

impl Task for Pair<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let n = self.dinucleotides.len();
        let (first, second) = (&self.codes[..n], &self.codes[1..][..n]);
        for (i, pair) in self.dinucleotides.iter_mut().enumerate() {
            let (a, b) = (first[i], second[i]);
            *pair = if a.max(b) < 4 { 4 * a + b } else { WITH_N };
        }
    }
}

/// Deficits of a matrix on one strand, in steps so large that every score below the threshold saturates at 255.
#[derive(Debug, Clone)]
pub(crate) struct Deficits {
    /// For each two columns, what their dinucleotide adds; twice, one for each half of a register.
    tables: Vec<Row>,
}

impl Deficits {
    /// Tables of the first `columns` columns of a lane; the others are zeros. Its steps leave room for
    /// [`terms`](Deficits::terms) entries that are half a step too great each.
    pub(crate) fn new(lane: &Lane, columns: usize) -> Deficits {
        let losses = &lane.losses()[..columns];
        let table = |(i, columns): (usize, &[[f64; 5]])| {
            let base = if i == 0 { lane.least() } else { 0.0 };
            let deficit = |pair: usize| {
                let codes = [pair / 4, pair % 4];
                base + columns.iter().zip(codes).map(|(loss, code)| loss[code]).sum::<f64>()
            };
            Row(std::array::from_fn(|i| step(deficit(i % DINUCLEOTIDES))))
        };
        Deficits { tables: losses.chunks(2).enumerate().map(table).collect() }
    }

    /// Entries that are summed for a matrix of so many columns.
    pub(crate) fn terms(columns: usize) -> usize {
        columns.div_ceil(2)
    }
}

/// Dinucleotides that are read (but need not mean anything) past the last position, for a matrix of so many columns.
pub(crate) fn slack(columns: usize) -> usize {
    2 * Deficits::terms(columns) + SPAN
}

/// Finds the positions whose deficit is below 255.
pub(crate) struct Candidates<'a> {
    pub(crate) deficits: &'a Deficits,
    /// From that of the first position on; at least [`slack`] more than there are positions.
    pub(crate) dinucleotides: &'a [u8],
    /// The first position.
    pub(crate) from: usize,
    /// Positions; as many more are looked at as fill the last [`SPAN`].
    pub(crate) count: usize,
    /// Positions of 32 that have candidates, in order: the first one, and a bit for each.
    pub(crate) found: &'a mut Vec<(usize, u32)>,
}

impl Task for Candidates<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for at in (0..self.count).step_by(SPAN) {
            let mut sums = [V::Bytes::load(&Row::ZERO); SIDE];
            for (j, table) in self.deficits.tables.iter().enumerate() {
                let table = V::Bytes::load(table);
                let pairs: &[u8; SPAN] = self.dinucleotides[at + 2 * j..]
                    .first_chunk()
                    .expect("dinucleotides go on past the last position");
                let (pairs, _) = pairs.as_chunks::<BYTES>();
                for (sum, pairs) in sums.iter_mut().zip(pairs) {
                    *sum = sum.add(table.look_up(pairs));
                }
            }
            // Most spans have no candidate, and one test tells.
            let least = sums.into_iter().reduce(V::Bytes::min);
            if least.is_none_or(V::Bytes::is_full) {
                continue;
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let below = sum.below_full();
                if below != 0 {
                    self.found.push((self.from + at + i * BYTES, below));
                }
            }
        }
    }
}
