//! Activations of 16 filters at consecutive positions, by table look-up.
//!
//! There are two ways, with the same additions in the same order. For a few positions, their sums are kept side by side
//! ([`Convolve`]). Along a whole sequence, the rows that three bases select in all tables lie side by side, and each row is
//! added to the sum of another position: the one that has this table's columns there ([`advance`]).

use crate::engine::kernel::simd::{Lanes, Numbers, Simd, Task, Vector, WIDTH};
use crate::engine::kernel::triple::{TRIPLE, Table, triple};

/// Codes to look-up indices: `triples[i]` is the index of codes `i .. i + 3`.
pub(crate) struct Index<'a> {
    /// Two more than there are `triples`.
    pub(crate) codes: &'a [u8],
    pub(crate) triples: &'a mut [u8],
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

/// Tables in one round over the positions; longer filters take several rounds.
const TABLES: usize = 8;

/// Positions computed side by side: independent sums, for the processor to overlap.
const SIDE: usize = 8;

/// Look-up indices of a table, and more: all numbers of a `u8`, so that none needs a bounds check.
const INDICES: usize = 256;

/// The tables of 16 filters in the order in which an instruction set reads them.
#[derive(Debug)]
pub(crate) struct Tables {
    rounds: Vec<Round>,
    count: usize,
    /// Parts of a vector, which lie apart.
    parts: usize,
}

#[derive(Debug)]
struct Round {
    tables: usize,
    /// In rows of a part: `rows[(part * INDICES + index) * tables + table]`.
    lanes: Vec<Lanes>,
}

impl Tables {
    /// Arranges `tables` for `simd`.
    pub(crate) fn new(tables: &[Table], simd: Simd) -> Tables {
        let count = tables.len();
        let rounds = count.div_ceil(TABLES);
        let mut parts = 1;
        let round = |i: usize| {
            let from = &tables[count * i / rounds..count * (i + 1) / rounds];
            let mut lanes = vec![Lanes::ZERO; INDICES * from.len()];
            simd.run(Arrange { from, to: &mut lanes, parts: &mut parts });
            Round { tables: from.len(), lanes }
        };
        let rounds = (0..rounds).map(round).collect();
        Tables { rounds, count, parts }
    }

    /// True if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What three codes with this index add to lane `lane`.
    pub(crate) fn entry(&self, mut table: usize, index: u8, lane: usize) -> f32 {
        let width = WIDTH / self.parts;
        let (part, lane) = (lane / width, lane % width);
        for round in &self.rounds {
            if table < round.tables {
                let row = part * INDICES + usize::from(index);
                let place = (row * round.tables + table) * width + lane;
                return round.lanes[place / WIDTH].0[place % WIDTH];
            }
            table -= round.tables;
        }
        0.0
    }

    /// Distance between the indices that [`advance`] reads and the positions that it completes.
    pub(crate) fn lead(&self) -> usize {
        (self.count - 1) * TRIPLE
    }
}

impl Round {
    #[inline(always)]
    fn rows<P: Numbers, const T: usize>(&self, part: usize) -> &[[P::Row; T]; INDICES] {
        let rows = P::rows(&self.lanes).as_chunks().0;
        rows[part * INDICES..].first_chunk().expect("a row for each index")
    }
}

struct Arrange<'a> {
    from: &'a [Table],
    to: &'a mut [Lanes],
    parts: &'a mut usize,
}

impl Task for Arrange<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        *self.parts = V::Part::PARTS;
        let tables = self.from.len();
        let rows = V::Part::rows_mut(self.to);
        for (t, table) in self.from.iter().enumerate() {
            for (index, row) in table.iter().enumerate() {
                for (part, numbers) in V::load(row).split().into_iter().enumerate().take(V::Part::PARTS) {
                    numbers.store(&mut rows[(part * INDICES + index) * tables + t]);
                }
            }
        }
    }
}

/// Indices that are read (but need not mean anything) past the last position, for filters with this many tables.
pub(crate) fn slack(tables: usize) -> usize {
    tables * TRIPLE + SPAN
}

/// Indices that `SIDE` positions of `TABLES` tables look at.
const SPAN: usize = TABLES * TRIPLE + SIDE;

/// Convolution (with threshold and rectifier) at `out.len()` positions.
pub(crate) struct Convolve<'a> {
    pub(crate) tables: &'a Tables,
    /// Indices, from that of the first position on; at least [`slack`] more than there are positions.
    pub(crate) triples: &'a [u8],
    pub(crate) rectify: bool,
    pub(crate) out: &'a mut [Lanes],
    pub(crate) to: To,
}

/// Memory layout of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// One vector after another.
    Vectors,
    /// As a [block](Vector).
    Block,
}

impl Task for Convolve<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut done = 0;
        for round in &self.tables.rounds {
            let stop = done + round.tables;
            let mut positions = Positions {
                round,
                triples: &self.triples[done * TRIPLE..],
                out: &mut *self.out,
                to: self.to,
                start: done == 0,
                rectify: self.rectify && stop == self.tables.count,
            };
            match round.tables {
                1 => positions.add::<V::Part, 1>(),
                2 => positions.add::<V::Part, 2>(),
                3 => positions.add::<V::Part, 3>(),
                4 => positions.add::<V::Part, 4>(),
                5 => positions.add::<V::Part, 5>(),
                6 => positions.add::<V::Part, 6>(),
                7 => positions.add::<V::Part, 7>(),
                _ => positions.add::<V::Part, TABLES>(),
            }
            done = stop;
        }
    }
}

/// One round: what some of the tables add at each position.
struct Positions<'a> {
    round: &'a Round,
    triples: &'a [u8],
    out: &'a mut [Lanes],
    to: To,
    /// True if this is the first round.
    start: bool,
    /// True if this is the last round, and negative sums become 0.
    rectify: bool,
}

impl Positions<'_> {
    #[inline(always)]
    fn add<P: Numbers, const T: usize>(&mut self) {
        match (self.start, self.rectify) {
            (true, true) => self.add_with::<P, T, true, true>(),
            (true, false) => self.add_with::<P, T, true, false>(),
            (false, true) => self.add_with::<P, T, false, true>(),
            (false, false) => self.add_with::<P, T, false, false>(),
        }
    }

    #[inline(always)]
    fn add_with<P: Numbers, const T: usize, const START: bool, const RECTIFY: bool>(&mut self) {
        let count = self.out.len();
        for part in 0..P::PARTS {
            let (first, pitch) = if self.to == To::Block { (part * count, 1) } else { (part, P::PARTS) };
            let rows = self.round.rows::<P, T>(part);
            let out = &mut P::rows_mut(self.out)[first..];
            let mut at = 0;
            while at + SIDE <= count {
                let (triples, out) = (&self.triples[at..], &mut out[at * pitch..]);
                sums::<P, T, START, RECTIFY, SIDE>(rows, triples, out, pitch);
                at += SIDE;
            }
            while at < count {
                sums::<P, T, START, RECTIFY, 1>(rows, &self.triples[at..], &mut out[at * pitch..], pitch);
                at += 1;
            }
        }
    }
}

/// The sums of `N` positions with what `T` tables add to them; `pitch` is the distance of their rows in `out`.
#[inline(always)]
fn sums<P: Numbers, const T: usize, const START: bool, const RECTIFY: bool, const N: usize>(
    rows: &[[P::Row; T]; INDICES],
    triples: &[u8],
    out: &mut [P::Row],
    pitch: usize,
) {
    let triples: &[u8; SPAN] = triples.first_chunk().expect("indices go on past the last position");
    let zero = P::splat(0.0);
    let mut sums = [zero; N];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = P::load(if START { &rows[usize::from(triples[i])][0] } else { &out[i * pitch] });
    }
    for t in usize::from(START)..T {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add(P::load(&rows[usize::from(triples[t * TRIPLE + i])][t]));
        }
    }
    for (i, sum) in sums.into_iter().enumerate() {
        if RECTIFY { zero.max_from_zero(sum) } else { sum }.store(&mut out[i * pitch]);
    }
}

/// Convolution of part `part` at the next `out.len()` positions of a sequence.
///
/// Takes as many of `triples`, each [`Tables::lead`] ahead of the position in its place. Sums on their way are in
/// `pending`, `Tables::lead` rows; what is there for the first `Tables::lead` indices of a sequence may be anything, and
/// the results are nothing. `turn`: how many indices there were before, modulo three.
#[inline(always)]
pub(crate) fn advance<P: Numbers>(
    tables: &Tables,
    part: usize,
    triples: &[u8],
    rectify: bool,
    pending: &mut [P::Row],
    turn: usize,
    out: &mut [P::Row],
) {
    let mut rest = pending;
    let triples = &triples[..out.len()];
    for (i, round) in tables.rounds.iter().enumerate() {
        let first = i == 0;
        let chain = round.tables - usize::from(first);
        let (pending, others) = rest.split_at_mut(chain * TRIPLE);
        rest = others;
        let mut along = EdgeTile::<P> {
            round,
            part,
            triples,
            pending,
            turn,
            first,
            rectify: rectify && rest.is_empty(),
            out,
        };
        match round.tables {
            1 => along.go::<1>(),
            2 => along.go::<2>(),
            3 => along.go::<3>(),
            4 => along.go::<4>(),
            5 => along.go::<5>(),
            6 => along.go::<6>(),
            7 => along.go::<7>(),
            _ => along.go::<TABLES>(),
        }
    }
}

/// One round of [`advance`]. Later rounds find in `out` what the round before has left there, and go on from it three
/// indices later.
struct EdgeTile<'a, P: Numbers> {
    round: &'a Round,
    part: usize,
    triples: &'a [u8],
    /// The sums of every third position, from the one with the most columns to come on.
    pending: &'a mut [P::Row],
    turn: usize,
    first: bool,
    rectify: bool,
    out: &'a mut [P::Row],
}

impl<P: Numbers> EdgeTile<'_, P> {
    #[inline(always)]
    fn go<const T: usize>(&mut self) {
        match (self.first, self.rectify) {
            (true, true) => self.go_with::<T, true, true>(),
            (true, false) => self.go_with::<T, true, false>(),
            (false, true) => self.go_with::<T, false, true>(),
            (false, false) => self.go_with::<T, false, false>(),
        }
    }

    #[inline(always)]
    fn go_with<const T: usize, const FIRST: bool, const RECTIFY: bool>(&mut self) {
        let rows = self.round.rows::<P, T>(self.part);
        let chain = T - usize::from(FIRST);
        for from in 0..TRIPLE.min(self.out.len()) {
            let pending = &mut self.pending[(self.turn + from) % TRIPLE * chain..][..chain];
            // Sums that wait for the rows of each table; none waits for the first one in the first round.
            let mut waiting = [P::splat(0.0); T];
            for (sum, row) in waiting[T - chain..].iter_mut().zip(pending.iter()) {
                *sum = P::load(row);
            }
            let (out, last) = self.out[from..].as_chunks_mut::<TRIPLE>();
            let (triples, last_triple) = self.triples[from..].as_chunks::<TRIPLE>();
            for (out, triples) in out.iter_mut().zip(triples) {
                step::<P, T, FIRST, RECTIFY>(&rows[usize::from(triples[0])], &mut waiting, &mut out[0]);
            }
            if let (Some(out), Some(&triple)) = (last.first_mut(), last_triple.first()) {
                step::<P, T, FIRST, RECTIFY>(&rows[usize::from(triple)], &mut waiting, out);
            }
            for (sum, row) in waiting[T - chain..].iter().zip(pending) {
                sum.store(row);
            }
        }
    }
}

/// Adds the rows of one index.
#[inline(always)]
fn step<P: Numbers, const T: usize, const FIRST: bool, const RECTIFY: bool>(
    rows: &[P::Row; T],
    waiting: &mut [P; T],
    out: &mut P::Row,
) {
    let add = |t: usize, waiting: &[P; T]| {
        let row = P::load(&rows[t]);
        if FIRST && t == 0 { row } else { waiting[t].add(row) }
    };
    let done = add(T - 1, waiting);
    for t in (1..T).rev() {
        waiting[t] = add(t - 1, waiting);
    }
    if !FIRST {
        waiting[0] = P::load(out);
    }
    if RECTIFY { P::splat(0.0).max_from_zero(done) } else { done }.store(out);
}
