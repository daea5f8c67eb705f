//! Activations of 16 detectors at consecutive positions, by table look-up.

use super::detector::{TRIPLE, Table, triple};
use super::simd::{Lanes, Task, Vector};

/// Codes to look-up indices: `triples[i]` is the index of codes `i .. i + 3`.
pub(super) struct Index<'a> {
    /// Two more than there are `triples`.
    pub(super) codes: &'a [u8],
    pub(super) triples: &'a mut [u8],
}

impl Task for Index<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let n = self.triples.len();
        let (a, b, c) = (&self.codes[..n], &self.codes[1..][..n], &self.codes[2..][..n]);
        for (i, index) in self.triples.iter_mut().enumerate() {
            *index = triple(a[i], b[i], c[i]);
        }
    }
}

/// Tables in one round over the positions; longer detectors take several rounds.
const TABLES: usize = 16;

/// Positions computed side by side: independent sums, for the processor to overlap.
const SIDE: usize = 8;

/// Indices that `SIDE` positions of `TABLES` tables look at.
const SPAN: usize = TABLES * TRIPLE + SIDE;

/// Convolution (with threshold and rectifier) at `out.len()` positions.
pub(super) struct Convolve<'a> {
    /// The tables of one group.
    pub(super) tables: &'a [Table],
    /// Indices, from that of the first position on; at least [`slack`] more than there are positions.
    pub(super) triples: &'a [u8],
    pub(super) rectify: bool,
    pub(super) out: &'a mut [Lanes],
}

/// Indices that are read (but need not mean anything) past the last position, for detectors with this many tables.
pub(super) fn slack(tables: usize) -> usize {
    tables.next_multiple_of(TABLES) * TRIPLE + SIDE
}

impl Task for Convolve<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (round, tables) in self.tables.chunks(TABLES).enumerate() {
            let triples = &self.triples[round * TABLES * TRIPLE..];
            let side_by_side = self.out.len() / SIDE * SIDE;
            let (bulk, rest) = self.out.split_at_mut(side_by_side);
            for (i, out) in bulk.chunks_exact_mut(SIDE).enumerate() {
                add_tables::<V, SIDE>(tables, &triples[i * SIDE..], round == 0, out);
            }
            for (i, out) in rest.chunks_exact_mut(1).enumerate() {
                add_tables::<V, 1>(tables, &triples[side_by_side + i..], round == 0, out);
            }
        }
        if self.rectify {
            let floor = V::splat(0.0);
            for out in self.out {
                V::load(out).max(floor).store(out);
            }
        }
    }
}

/// Adds what `tables` say to the sums of `N` positions, or starts them.
#[inline(always)]
fn add_tables<V: Vector, const N: usize>(tables: &[Table], triples: &[u8], start: bool, out: &mut [Lanes]) {
    let triples: &[u8; SPAN] = triples.first_chunk().expect("indices go on past the last position");
    let out: &mut [Lanes; N] = out.try_into().expect("N positions");
    let mut sums = [V::splat(0.0); N];
    let fresh = if start { 1 } else { 0 };
    for (i, (sum, out)) in sums.iter_mut().zip(out.iter()).enumerate() {
        *sum = V::load(if start { &tables[0][usize::from(triples[i])] } else { out });
    }
    for (i, table) in tables.iter().enumerate().take(TABLES).skip(fresh) {
        let triples = &triples[i * TRIPLE..][..SIDE];
        for (sum, &index) in sums.iter_mut().zip(triples) {
            *sum = sum.add(V::load(&table[usize::from(index)]));
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        sum.store(out);
    }
}
