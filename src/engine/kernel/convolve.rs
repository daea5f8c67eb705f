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
const TABLES: usize = 8;

/// Positions computed side by side: independent sums, for the processor to overlap.
const SIDE: usize = 8;

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
    tables * TRIPLE + SPAN
}

/// Indices that `SIDE` positions of `TABLES` tables look at.
const SPAN: usize = TABLES * TRIPLE + SIDE;

impl Task for Convolve<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let count = self.tables.len();
        let rounds = count.div_ceil(TABLES);
        let mut done = 0;
        for round in 0..rounds {
            let stop = count * (round + 1) / rounds;
            let mut positions = Positions {
                tables: &self.tables[done..stop],
                triples: &self.triples[done * TRIPLE..],
                out: &mut *self.out,
                start: done == 0,
                rectify: self.rectify && stop == count,
            };
            match stop - done {
                1 => positions.add::<V, 1>(),
                2 => positions.add::<V, 2>(),
                3 => positions.add::<V, 3>(),
                4 => positions.add::<V, 4>(),
                5 => positions.add::<V, 5>(),
                6 => positions.add::<V, 6>(),
                7 => positions.add::<V, 7>(),
                _ => positions.add::<V, TABLES>(),
            }
            done = stop;
        }
    }
}

/// One round: what some of the tables add at each position.
struct Positions<'a> {
    tables: &'a [Table],
    triples: &'a [u8],
    out: &'a mut [Lanes],
    /// Whether this is the first round.
    start: bool,
    /// Whether this is the last round, and negative sums become 0.
    rectify: bool,
}

impl Positions<'_> {
    #[inline(always)]
    fn add<V: Vector, const T: usize>(&mut self) {
        match (self.start, self.rectify) {
            (true, true) => self.add_with::<V, T, true, true>(),
            (true, false) => self.add_with::<V, T, true, false>(),
            (false, true) => self.add_with::<V, T, false, true>(),
            (false, false) => self.add_with::<V, T, false, false>(),
        }
    }

    #[inline(always)]
    fn add_with<V: Vector, const T: usize, const START: bool, const RECTIFY: bool>(&mut self) {
        let tables: &[Table; T] = self.tables.try_into().expect("T tables");
        let bulk = self.out.len() / SIDE * SIDE;
        let (out, rest) = self.out.split_at_mut(bulk);
        for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            sums::<V, T, START, RECTIFY, SIDE>(tables, &self.triples[i * SIDE..], out);
        }
        for (i, out) in rest.as_chunks_mut().0.iter_mut().enumerate() {
            sums::<V, T, START, RECTIFY, 1>(tables, &self.triples[bulk + i..], out);
        }
    }
}

/// The sums of `N` positions with what `T` tables add to them.
#[inline(always)]
fn sums<V: Vector, const T: usize, const START: bool, const RECTIFY: bool, const N: usize>(
    tables: &[Table; T],
    triples: &[u8],
    out: &mut [Lanes; N],
) {
    let triples: &[u8; SPAN] = triples.first_chunk().expect("indices go on past the last position");
    let zero = V::splat(0.0);
    let mut sums = [zero; N];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = V::load(if START { &tables[0][usize::from(triples[i])] } else { &out[i] });
    }
    for (t, table) in tables.iter().enumerate().skip(usize::from(START)) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add(V::load(&table[usize::from(triples[t * TRIPLE + i])]));
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        if RECTIFY { zero.max_from_zero(sum).store(out) } else { sum.store(out) }
    }
}
