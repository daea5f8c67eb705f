//! Positions where a matrix may reach its threshold, found by look-ups of dinucleotides in registers.
//!
//! A [quantized deficit](crate::engine::kernel::prefilter::quantized) is a sum over columns. Two columns together have 16
//! entries of a byte, which fit a register, and one shuffle instruction looks 16 or 32 of them up at once. The deficits of
//! 32 consecutive positions take one load, one shuffle and one addition for each two columns, whatever the sequence:
//!
//! ```text
//! for each 128 positions:
//!     deficits[strand] = 0                                         128 bytes each, in four registers
//!     for each two columns j, j + 1:
//!         for each strand:
//!             table = 16 entries, in a register
//!             deficits[strand] += table[dinucleotides at position + j]         saturating at 255
//!     if any deficit of a strand is below 255: note which
//! ```
//!
//! Every second load crosses a cache line, and loads would be what the loop waits for: the two strands share them.
//!
//! A dinucleotide with an N adds nothing, so that the deficit there is a lower bound too.

use crate::engine::kernel::prefilter::quantized::{Lane, step};
use crate::engine::kernel::simd::{BYTES, Bytes, Row, Task, Vector};

/// Codes of a dinucleotide without N: 4 times the first base and the second.
const DINUCLEOTIDES: usize = 16;

/// Stands for every dinucleotide with an N; look-ups give 0 for it.
const WITH_N: u8 = 0x80;

/// Registers of deficits that are summed side by side: as many as leave room for tables where there are 16.
const REGISTERS: usize = 8;

/// Positions whose deficits are summed side by side, on one strand.
pub(crate) const SPAN: usize = REGISTERS * BYTES;

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

/// Positions of 32 that have candidates on a strand, in order: the first one, and a bit for each.
pub(crate) type Found = Vec<(usize, u32)>;

/// Finds the positions whose deficit is below 255.
pub(crate) struct Candidates<'a> {
    /// Of a matrix, for each strand that has candidates at all; all have as many tables.
    pub(crate) strands: [Option<(&'a Deficits, &'a mut Found)>; 2],
    /// From that of the first position on; at least [`slack`] more than there are positions.
    pub(crate) dinucleotides: &'a [u8],
    /// The first position.
    pub(crate) from: usize,
    /// Positions; as many more are looked at as fill the last [`SPAN`].
    pub(crate) count: usize,
}

impl Task for Candidates<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Candidates { strands, dinucleotides, from, count } = self;
        match strands {
            [Some(first), Some(second)] => {
                Search {
                    deficits: [first.0, second.0],
                    dinucleotides,
                    from,
                    count,
                    found: [first.1, second.1],
                }
                .run::<V::Bytes, { REGISTERS / 2 }>();
            }
            [Some(only), None] | [None, Some(only)] => {
                Search { deficits: [only.0], dinucleotides, from, count, found: [only.1] }
                    .run::<V::Bytes, REGISTERS>();
            }
            [None, None] => {}
        }
    }
}

/// A search on so many strands.
struct Search<'a, const STRANDS: usize> {
    deficits: [&'a Deficits; STRANDS],
    dinucleotides: &'a [u8],
    from: usize,
    count: usize,
    found: [&'a mut Found; STRANDS],
}

impl<const STRANDS: usize> Search<'_, STRANDS> {
    /// `SIDE` registers a strand.
    #[inline(always)]
    fn run<B: Bytes, const SIDE: usize>(self) {
        let Search { deficits, dinucleotides, from, count, found } = self;
        let tables = deficits.iter().map(|deficits| deficits.tables.len()).min().unwrap_or_default();
        let deficits = deficits.map(|deficits| &deficits.tables[..tables]);
        for at in (0..count.next_multiple_of(SPAN)).step_by(SIDE * BYTES) {
            let mut sums = [[B::load(&Row::ZERO); SIDE]; STRANDS];
            for j in 0..tables {
                let tables = deficits.map(|tables| B::load(&tables[j]));
                let pairs = &dinucleotides[at + 2 * j..][..SIDE * BYTES];
                let pairs: &[[u8; BYTES]; SIDE] =
                    pairs.as_chunks().0.try_into().expect("as many rows as registers");
                for i in 0..SIDE {
                    for strand in 0..STRANDS {
                        sums[strand][i] = sums[strand][i].add(tables[strand].look_up(&pairs[i]));
                    }
                }
            }
            for strand in 0..STRANDS {
                // Mostly there is no candidate, and one test tells.
                let least = sums[strand].into_iter().reduce(B::min);
                if least.is_none_or(B::is_full) {
                    continue;
                }
                for (i, sum) in sums[strand].into_iter().enumerate() {
                    let below = sum.below_full();
                    if below != 0 {
                        found[strand].push((from + at + i * BYTES, below));
                    }
                }
            }
        }
    }
}
