//! Quantized activations of the alignments that overhang a window's ends, for two neighbouring windows at a time.
//!
//! In the terms of [`padded_edges`](crate::engine::kernel::padded_edges): with t columns on padding, the deficit `v[t]` of
//! the window that starts at base s, less the cost of the padding, is that of the next window but one, `v[t + 2]`, plus the
//! losses of bases s and s + 1 in columns t and t + 1: one look-up by a pair of bases. The same diagonal holds t columns on
//! padding for this window, and t + 1 for the next; a second look-up adds to `v[t + 2]` the loss of the better of the two,
//! the columns on padding included. Two look-ups, two additions and a minimum therefore serve an alignment of two windows.

use std::array;

use crate::engine::kernel::prefilter::quantized::{Errors, Lane, step};
use crate::engine::kernel::simd::{BYTES, Bytes, Row, Task, Vector};

/// Indices of two codes.
const PAIRS: usize = 25;

/// Diagonals that one sweep over the pairs serves, their sums in registers.
const WIDEST: usize = 8;

/// The index of two codes.
pub(crate) fn pair(a: u8, b: u8) -> u8 {
    5 * a + b
}

/// One end of the windows.
#[derive(Debug)]
pub(crate) struct End {
    /// From the last column to the first.
    tiles: Vec<Tile>,
    columns: usize,
}

/// Consecutive diagonals.
#[derive(Debug)]
struct Tile {
    /// `rows[(pair * width + diagonal) * each ..]`: what goes on along the diagonal, and what ends there.
    rows: Vec<Row>,
    width: usize,
    /// True if alignments end on its diagonals.
    placed: bool,
}

impl End {
    /// The low end, or with `reversed` the high one, where up to `placed` columns on padding matter; and by how many
    /// steps deficits may be too great.
    pub(crate) fn new(lanes: &[Lane], reversed: bool, placed: usize) -> (End, [f64; BYTES]) {
        let columns = lanes[0].losses.len();
        let diagonals = columns.next_multiple_of(2);
        let place = |j: usize| if reversed { columns - 1 - j } else { j };
        let loss =
            |lane: &Lane, j: usize, code: usize| if j < columns { lane.losses[place(j)][code] } else { 0.0 };
        let padding =
            |lane: &Lane, t: usize| lane.padded - (t..columns).map(|j| lane.gains[place(j)]).sum::<f64>();
        let goes_on = |t: usize, [a, b]: [usize; 2]| -> [f64; BYTES] {
            array::from_fn(|lane| loss(&lanes[lane], t, a) + loss(&lanes[lane], t + 1, b))
        };
        let ends = |t: usize, [a, b]: [usize; 2]| -> [f64; BYTES] {
            array::from_fn(|lane| {
                let lane = &lanes[lane];
                let (mut deficit, second) = (f64::INFINITY, loss(lane, t + 1, b));
                if (1..=placed).contains(&t) {
                    deficit = loss(lane, t, a) + second + padding(lane, t);
                }
                if t < placed {
                    deficit = deficit.min(second + padding(lane, t + 1));
                }
                deficit
            })
        };
        let pairs = || (0..PAIRS).map(|pair| [pair / 5, pair % 5]);

        let mut worst = [0.0; BYTES];
        for t in 0..=placed {
            let mut errors = Errors::from_deficits(pairs().map(|pair| ends(t, pair)));
            for t in (t + 2..columns).step_by(2) {
                errors.add(&Errors::from_deficits(pairs().map(|pair| goes_on(t, pair))));
            }
            worst = array::from_fn(|lane| errors.above[lane].max(worst[lane]));
        }
        let (mut tiles, mut above) = (Vec::new(), diagonals);
        let placed = (placed + 1).next_multiple_of(2);
        while above > 0 {
            let floor = if above > placed { placed } else { 0 };
            let width = (above - floor).min(WIDEST);
            let first = above - width;
            let mut rows = Vec::new();
            for pair in pairs() {
                for t in first..above {
                    rows.push(Row(goes_on(t, pair).map(step)));
                    if floor == 0 {
                        rows.push(Row(ends(t, pair).map(step)));
                    }
                }
            }
            tiles.push(Tile { rows, width, placed: floor == 0 });
            above = first;
        }
        (End { tiles, columns }, worst)
    }

    /// Pairs before that of the first windows which an [`EdgeRecurrence`] must see.
    pub(crate) fn warm_up(&self) -> usize {
        (self.columns - 1) / 2
    }
}

/// Least deficits of what overhangs one end of two windows at a time.
pub(crate) struct EdgeRecurrence<'a> {
    pub(crate) end: &'a End,
    /// The bases at which two windows start (or end, from the second to the first), from the last windows to the
    /// first (or from the first to the last), after [`End::warm_up`] more.
    pub(crate) pairs: &'a [u8],
    /// Working memory.
    pub(crate) edge: &'a mut Vec<[Row; 2]>,
    /// One a pair; those of the warm-up mean nothing.
    pub(crate) out: &'a mut [Row],
}

impl Task for EdgeRecurrence<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        self.edge.clear();
        self.edge.resize(self.pairs.len(), [Row::ZERO; 2]);
        self.out.fill(Row::FULL);
        for tile in &self.end.tiles {
            match (tile.placed, tile.width) {
                (true, 2) => self.tile::<V::Bytes, 2, 2>(&tile.rows),
                (true, 4) => self.tile::<V::Bytes, 4, 2>(&tile.rows),
                (true, 6) => self.tile::<V::Bytes, 6, 2>(&tile.rows),
                (true, _) => self.tile::<V::Bytes, WIDEST, 2>(&tile.rows),
                (false, 2) => self.tile::<V::Bytes, 2, 1>(&tile.rows),
                (false, 4) => self.tile::<V::Bytes, 4, 1>(&tile.rows),
                (false, 6) => self.tile::<V::Bytes, 6, 1>(&tile.rows),
                (false, _) => self.tile::<V::Bytes, WIDEST, 1>(&tile.rows),
            }
        }
    }
}

impl EdgeRecurrence<'_> {
    /// `N` diagonals, each with `EACH` rows a pair.
    #[inline(always)]
    fn tile<B: Bytes, const N: usize, const EACH: usize>(&mut self, rows: &[Row]) {
        let rows: &[[[Row; EACH]; N]; PAIRS] = rows.as_chunks().0.as_chunks().0.try_into().expect("25 pairs");
        let zero = B::load(&Row::ZERO);
        let (mut v, mut above) = ([zero; N], [zero; 2]);
        let out = &mut self.out[..self.pairs.len()];
        for ((&pair, edge), out) in self.pairs.iter().zip(self.edge.iter_mut()).zip(out) {
            let rows = &rows[usize::from(pair).min(PAIRS - 1)];
            let mut best = B::load(out);
            for k in 0..N {
                let from = if k + 2 < N { v[k + 2] } else { above[k + 2 - N] };
                if EACH == 2 {
                    best = best.min(from.add(B::load(&rows[k][EACH - 1])));
                }
                v[k] = from.add(B::load(&rows[k][0]));
            }
            // The next tile continues from this one's state a pair before.
            above = [B::load(&edge[0]), B::load(&edge[1])];
            v[0].store(&mut edge[0]);
            v[1].store(&mut edge[1]);
            if EACH == 2 {
                best.store(out);
            }
        }
    }
}
