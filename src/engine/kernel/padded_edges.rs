//! Alignments that overhang the ends of a window, where a network pads.
//!
//! For filters of length m and a window that starts at base s, let `v[t]` be the activation of the alignment with its
//! columns `.. t` on padding and its columns `t ..` on bases `s ..`. Then
//! `v[t](s) = v[t + 1](s + 1) + column[t][base s]`, where `column[t]` is the contribution of a base minus that of padding,
//! and `v[m]` is the activation on padding alone. One look-up and one addition therefore give each overhanging alignment of
//! each window, and the value pooled over all of them depends on s alone. The other end is the mirror image: columns are
//! taken from the last to the first, and the sequence from low positions to high ones.

use std::marker::PhantomData;

use crate::engine::kernel::convolve::{Convolve, Tables, To};
use crate::engine::kernel::filters;
use crate::engine::kernel::filters::{Column, Group};
use crate::engine::kernel::pool::{Max, Statistic, Sum};
use crate::engine::kernel::prune;
use crate::engine::kernel::simd::{Lanes, Numbers, Simd, Task, Vector, WIDTH};

/// End of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of lower positions.
    Low,
    /// The end of higher positions.
    High,
}

/// The alignments of 16 filters that overhang one end of the windows.
#[derive(Debug)]
pub(crate) struct PaddedEdge {
    /// Tables of the columns whose alignments are not placed, in the order of the sequence: the padding is too short
    /// for them, or they are never positive. The first one includes the activation on padding alone.
    head: Tables,
    /// Columns in `head`.
    head_columns: usize,
    /// Consecutive columns, from the last to the first, whose alignments are placed.
    tiles: Vec<Tile>,
    /// Alignments that have columns both on padding and on bases, and are placed.
    placed: usize,
    /// Activation on padding alone.
    padded: Lanes,
    /// Alignments on padding alone.
    outside: usize,
    /// True if activations below 0 count as 0.
    rectify: bool,
}

/// Columns that one sweep over the letters serves, their sums in registers.
#[derive(Debug)]
struct Tile {
    /// Value that `code` adds in column i of the tile, in rows of a part: `rows[(part * CODES + code) * width + i]`.
    rows: Vec<Lanes>,
    /// Columns.
    width: usize,
}

/// Widths of tiles: a multiple of this, or 1.
const GRAIN: usize = 4;

/// Rows of a column: more than there are codes, so that three bits need no bounds check.
const CODES: usize = 8;

impl PaddedEdge {
    /// The alignments at one end, with room for `padding` columns there. `rectify`: activations below 0 count as 0.
    /// `sums`: they will be summed.
    pub(crate) fn new(
        group: &Group,
        end: End,
        padding: usize,
        rectify: bool,
        sums: bool,
        simd: Simd,
    ) -> PaddedEdge {
        let length = group.columns.len();
        let mut columns = group.columns.clone();
        if end == End::High {
            columns.reverse();
        }
        let fits = padding.min(length - 1);
        let live = if rectify { prune::columns_on_padding(group, &columns) } else { length };
        let placed = fits.min(live);
        let head_columns = length - 1 - placed;
        let first = if end == End::Low { length - head_columns } else { 0 };
        let head = filters::tables(&group.padded, &group.columns[first..][..head_columns], simd);
        // Before the first column, minus infinity stands for alignments that are none. A plain sum cannot take it.
        let nothing = [Lanes([f32::NEG_INFINITY; WIDTH]); CODES];
        let grain = if sums && !rectify { 1 } else { GRAIN };
        let spare = placed.next_multiple_of(grain) - placed;
        let placed_columns: Vec<Column> =
            std::iter::repeat_n(nothing, spare).chain(columns[1..=placed].iter().copied()).collect();
        let widest = widest_tile(simd, sums);
        let (mut tiles, mut rest) = (Vec::new(), placed_columns.as_slice());
        while !rest.is_empty() {
            let width = (rest.len() / GRAIN * GRAIN).clamp(1, widest);
            let (before, tile) = rest.split_at(rest.len() - width);
            let mut rows = vec![Lanes::ZERO; CODES * width];
            simd.run(Arrange { columns: tile, rows: &mut rows });
            tiles.push(Tile { rows, width });
            rest = before;
        }
        let padded = group.padded;
        PaddedEdge { head, head_columns, tiles, placed, padded, outside: padding - fits, rectify }
    }

    /// Letters before that of the first window which the chain must see.
    pub(crate) fn warm_up(&self) -> usize {
        self.placed
    }

    /// The sums that an [`EdgeRecurrence`] starts from, a [block](Vector) of positions. `triples`: look-up indices, from the
    /// first column's on.
    pub(crate) fn start(&self, simd: Simd, triples: &[u8], sums: &mut [Lanes]) {
        if self.head.is_empty() {
            simd.run(Fill { block: sums, vector: &self.padded });
        } else {
            let to = To::Block;
            simd.run(Convolve { tables: &self.head, triples, rectify: false, out: sums, to });
        }
    }

    /// Columns that [`start`](PaddedEdge::start) takes in.
    pub(crate) fn head_columns(&self) -> usize {
        self.head_columns
    }
}

/// The widest tile whose sums the registers hold, of parts: with `sums`, some others as well.
fn widest_tile(simd: Simd, sums: bool) -> usize {
    match simd.registers() {
        32 => 24,
        16 if !sums => 12,
        16 => 8,
        _ => 4,
    }
}

/// Arranges the columns of a tile.
struct Arrange<'a> {
    columns: &'a [Column],
    rows: &'a mut [Lanes],
}

impl Task for Arrange<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.columns.len();
        let rows = V::Part::rows_mut(self.rows);
        for (i, column) in self.columns.iter().enumerate() {
            for (code, row) in column.iter().enumerate() {
                for (part, numbers) in V::load(row).split().into_iter().enumerate().take(V::Part::PARTS) {
                    numbers.store(&mut rows[(part * CODES + code) * width + i]);
                }
            }
        }
    }
}

/// Makes all vectors of a block the same.
struct Fill<'a> {
    block: &'a mut [Lanes],
    vector: &'a Lanes,
}

impl Task for Fill<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let vector = V::load(self.vector);
        for i in 0..self.block.len() {
            vector.store_to(self.block, i);
        }
    }
}

/// Pools the alignments at one end for consecutive windows.
pub(crate) struct EdgeRecurrence<'a> {
    pub(crate) overhang: &'a PaddedEdge,
    /// Bases in the order in which the chain meets them: one a window, after [`PaddedEdge::warm_up`] more.
    pub(crate) letters: &'a [u8],
    /// Result of [`PaddedEdge::start`] for each letter.
    pub(crate) sums: &'a mut [Lanes],
    /// True if the sums are in the opposite order of the letters.
    pub(crate) reversed: bool,
    /// Results, a [block](Vector) of one a letter (those before the first window mean nothing); empty if not wanted.
    pub(crate) max: &'a mut [Lanes],
    /// As `max`.
    pub(crate) sum: &'a mut [Lanes],
}

impl Task for EdgeRecurrence<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for part in 0..V::Part::PARTS {
            self.part::<V::Part>(part);
        }
    }
}

/// Results to which those of the placed alignments are joined.
#[derive(Clone, Copy)]
struct Start<N> {
    max: N,
    sum: N,
}

/// The rows of one part of a block.
#[inline(always)]
fn part_of<N: Numbers>(block: &mut [Lanes], part: usize) -> &mut [N::Row] {
    let count = block.len();
    &mut N::rows_mut(block)[part * count..][..count]
}

impl EdgeRecurrence<'_> {
    #[inline(always)]
    fn part<P: Numbers>(&mut self, part: usize) {
        let PaddedEdge { tiles, padded, outside, rectify, .. } = self.overhang;
        if self.reversed {
            part_of::<P>(self.sums, part).reverse();
        }
        let (padded, zero) = (P::load(&P::rows(std::slice::from_ref(padded))[part]), P::splat(0.0));
        let above = padded;
        let padded = if *rectify { zero.max_from_zero(padded) } else { padded };
        let none = if *rectify { zero } else { P::splat(Max::EMPTY) };
        let max = if *outside > 0 { padded } else { none };
        let sum = if *outside > 0 { padded.mul(P::splat(*outside as f32)) } else { zero };
        let start = Start { max, sum };
        match tiles.as_slice() {
            [] => {
                part_of::<P>(self.max, part).iter_mut().for_each(|row| max.store(row));
                part_of::<P>(self.sum, part).iter_mut().for_each(|row| sum.store(row));
            }
            [tile] => self.tile::<P, true, true>(tile, part, above, start),
            [first, others @ ..] => {
                self.tile::<P, true, false>(first, part, above, start);
                for tile in others {
                    self.tile::<P, false, false>(tile, part, above, start);
                }
            }
        }
    }

    /// `FIRST`, `LAST`: the tile is the chain's first, and its last.
    #[inline(always)]
    fn tile<P: Numbers, const FIRST: bool, const LAST: bool>(
        &mut self,
        tile: &Tile,
        part: usize,
        above: P,
        start: Start<P>,
    ) {
        match tile.width {
            4 => self.columns::<P, FIRST, LAST, 4>(tile, part, above, start),
            8 if P::REGISTERS > 8 => self.columns::<P, FIRST, LAST, 8>(tile, part, above, start),
            12 if P::REGISTERS > 8 => self.columns::<P, FIRST, LAST, 12>(tile, part, above, start),
            16 if P::REGISTERS > 16 => self.columns::<P, FIRST, LAST, 16>(tile, part, above, start),
            20 if P::REGISTERS > 16 => self.columns::<P, FIRST, LAST, 20>(tile, part, above, start),
            24 if P::REGISTERS > 16 => self.columns::<P, FIRST, LAST, 24>(tile, part, above, start),
            _ => self.columns::<P, FIRST, LAST, 1>(tile, part, above, start),
        }
    }

    #[inline(always)]
    fn columns<P: Numbers, const FIRST: bool, const LAST: bool, const N: usize>(
        &mut self,
        tile: &Tile,
        part: usize,
        above: P,
        start: Start<P>,
    ) {
        let rows = P::rows(&tile.rows).as_chunks().0;
        let along = EdgeTile::<P, N> {
            rows: rows[part * CODES..].first_chunk().expect("a row for each code"),
            letters: self.letters,
            above,
            start,
            sums: part_of::<P>(self.sums, part),
            max: part_of::<P>(self.max, part),
            sum: part_of::<P>(self.sum, part),
        };
        match (!along.max.is_empty(), !along.sum.is_empty(), self.overhang.rectify) {
            (true, false, true) => along.sweep::<FIRST, LAST, true, false, true>(),
            (true, false, false) => along.sweep::<FIRST, LAST, true, false, false>(),
            (true, true, true) => along.sweep::<FIRST, LAST, true, true, true>(),
            (true, true, false) => along.sweep::<FIRST, LAST, true, true, false>(),
            (false, _, true) => along.sweep::<FIRST, LAST, false, true, true>(),
            (false, _, false) => along.sweep::<FIRST, LAST, false, true, false>(),
        }
    }
}

/// One tile along the letters.
struct EdgeTile<'a, P: Numbers, const N: usize> {
    rows: &'a [[P::Row; N]; CODES],
    letters: &'a [u8],
    /// The activation on padding alone.
    above: P,
    start: Start<P>,
    sums: &'a mut [P::Row],
    max: &'a mut [P::Row],
    sum: &'a mut [P::Row],
}

impl<P: Numbers, const N: usize> EdgeTile<'_, P, N> {
    #[inline(always)]
    fn sweep<const FIRST: bool, const LAST: bool, const MAX: bool, const SUM: bool, const RECTIFY: bool>(
        self,
    ) {
        let zero = P::splat(0.0);
        let count = self.letters.len();
        let sums = &mut self.sums[..count];
        let max = if MAX { &mut self.max[..count] } else { &mut [] };
        let sum = if SUM { &mut self.sum[..count] } else { &mut [] };
        let mut above = self.above;
        let mut v = [above; N];
        for (i, &letter) in self.letters.iter().enumerate() {
            let row = &self.rows[usize::from(letter) % CODES];
            for k in 0..N - 1 {
                v[k] = v[k + 1].add(P::load(&row[k]));
            }
            v[N - 1] = above.add(P::load(&row[N - 1]));
            above = P::load(&sums[i]);
            if !LAST {
                // The next tile's sums start from this one's first column, one letter later.
                v[0].store(&mut sums[i]);
            }
            let (mut best, mut total) = (self.start.max, self.start.sum);
            if !FIRST && MAX {
                best = P::load(&max[i]);
            }
            if !FIRST && SUM {
                total = P::load(&sum[i]);
            }
            for v in v.into_iter().rev() {
                if MAX {
                    best = if RECTIFY { best.max_from_zero(v) } else { best.max(v) };
                }
                if SUM {
                    total = total.add(if RECTIFY { zero.max_from_zero(v) } else { v });
                }
            }
            if MAX {
                best.store(&mut max[i]);
            }
            if SUM {
                total.store(&mut sum[i]);
            }
        }
    }
}

/// Takes what the two ends give into what the windows have pooled between them.
pub(crate) struct Join<'a, S> {
    /// A [block](Vector) of one a base, after `low_skip` others from the last window's first base down to the first
    /// window's.
    pub(crate) low: &'a [Lanes],
    pub(crate) low_skip: usize,
    /// Likewise, from the first window's last base up to the last window's.
    pub(crate) high: &'a [Lanes],
    pub(crate) high_skip: usize,
    /// Bases between windows.
    pub(crate) stride: usize,
    pub(crate) statistic: PhantomData<S>,
    /// Windows `from .. to` of this block take it in.
    pub(crate) block: &'a mut [Lanes],
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl<S: Statistic> Task for Join<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for part in 0..V::Part::PARTS {
            let rows = V::Part::rows(self.low);
            let low = rows[part * self.low.len()..][self.low_skip..self.low.len()].iter();
            let rows = V::Part::rows(self.high);
            let high = rows[part * self.high.len()..][self.high_skip..self.high.len()].iter();
            let out = &mut part_of::<V::Part>(self.block, part)[self.from..self.to];
            let ends = low.rev().step_by(self.stride).zip(high.step_by(self.stride));
            for ((low, high), out) in ends.zip(out) {
                let overhang = S::join(V::Part::load(low), V::Part::load(high));
                S::join(V::Part::load(out), overhang).store(out);
            }
        }
    }
}

/// Pools a window that is shorter than the filters, and so overhung at both ends by some alignments.
pub(crate) struct ShortWindow<'a> {
    pub(crate) group: &'a Group,
    /// Codes of the window.
    pub(crate) window: &'a [u8],
    /// Padding columns before and after it.
    pub(crate) padding: (usize, usize),
    pub(crate) rectify: bool,
    pub(crate) max: &'a mut Lanes,
    pub(crate) sum: &'a mut Lanes,
}

impl Task for ShortWindow<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (before, after) = self.padding;
        let (columns, window) = (&self.group.columns, self.window);
        let zero = V::splat(0.0);
        let (mut max, mut sum) = (V::splat(Max::EMPTY), V::splat(Sum::EMPTY));
        for at in 0..before + window.len() + after + 1 - columns.len() {
            let (columns, bases) = if at < before {
                (&columns[(before - at).min(columns.len())..], window)
            } else {
                (&columns[..], &window[(at - before).min(window.len())..])
            };
            let mut activation = V::load(&self.group.padded);
            for (column, &code) in columns.iter().zip(bases) {
                activation = activation.add(V::load(&column[usize::from(code & 7)]));
            }
            if self.rectify {
                activation = zero.max_from_zero(activation);
            }
            (max, sum) = (max.max(activation), sum.add(activation));
        }
        max.store(self.max);
        sum.store(self.sum);
    }
}
