//! Alignments that overhang a window's ends, where a network pads.
//!
//! With detectors of length m, and a window that starts at base s, let `v[t]` be the activation of the alignment
//! that has its columns `.. t` on padding and its columns `t ..` on bases `s ..`. Then
//! `v[t](s) = v[t + 1](s + 1) + column[t][base s]`, where `column[t]` says what a base adds in place of padding, and
//! `v[m]` is the activation on padding alone. So one look-up and one addition give each overhanging alignment of
//! each window, and what is pooled over all of them hangs on s alone. At the other end it is the same, mirrored:
//! columns are taken from the last to the first, and the sequence from low positions to high ones.

use std::marker::PhantomData;

use super::convolve::{Convolve, Tables};
use super::detector::{self, Column, Group};
use super::live;
use super::pool::{Max, Statistic, Sum};
use super::simd::{Lanes, Simd, Task, Vector, WIDTH};

/// Which end of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// That of lower positions.
    Low,
    /// That of higher positions.
    High,
}

/// The alignments of 16 detectors that overhang one end of the windows.
#[derive(Debug)]
pub(super) struct Overhang {
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
    /// Whether activations below 0 count as 0.
    rectify: bool,
}

/// Columns that one sweep over the letters serves, their sums in registers.
#[derive(Debug)]
struct Tile {
    /// `rows[code * width + i]`: what `code` adds in column i of the tile.
    rows: Vec<Lanes>,
    /// Columns.
    width: usize,
}

/// Widths of tiles: a multiple of this, or 1.
const GRAIN: usize = 4;

impl Overhang {
    /// The alignments at one end, with room for `padding` columns there. `rectify`: activations below 0 count as 0.
    /// `sums`: they will be summed.
    pub(super) fn new(
        group: &Group,
        end: End,
        padding: usize,
        rectify: bool,
        sums: bool,
        simd: Simd,
    ) -> Overhang {
        let length = group.columns.len();
        let mut columns = group.columns.clone();
        if end == End::High {
            columns.reverse();
        }
        let fits = padding.min(length - 1);
        let live = if rectify { live::columns_on_padding(group, &columns) } else { length };
        let placed = fits.min(live);
        let head_columns = length - 1 - placed;
        let first = if end == End::Low { length - head_columns } else { 0 };
        let head = detector::tables(&group.padded, &group.columns[first..][..head_columns], simd);
        // Before the first column, minus infinity stands for alignments that are none. A plain sum cannot take it.
        let nothing = [Lanes([f32::NEG_INFINITY; WIDTH]); 8];
        let grain = if sums && !rectify { 1 } else { GRAIN };
        let spare = placed.next_multiple_of(grain) - placed;
        let placed_columns: Vec<Column> =
            std::iter::repeat_n(nothing, spare).chain(columns[1..=placed].iter().copied()).collect();
        let widest = widest_tile(simd);
        let (mut tiles, mut rest) = (Vec::new(), placed_columns.as_slice());
        while !rest.is_empty() {
            let width = (rest.len() / GRAIN * GRAIN).clamp(1, widest);
            let (before, tile) = rest.split_at(rest.len() - width);
            let rows = (0..8).flat_map(|code| tile.iter().map(move |column| column[code])).collect();
            tiles.push(Tile { rows, width });
            rest = before;
        }
        let padded = group.padded;
        Overhang { head, head_columns, tiles, placed, padded, outside: padding - fits, rectify }
    }

    /// Letters before that of the first window which the chain must see.
    pub(super) fn warm_up(&self) -> usize {
        self.placed
    }

    /// The sums that a [`Chain`] starts from, one for each position that `sums` has room for. `triples`: look-up
    /// indices, from the first column's on.
    pub(super) fn start(&self, simd: Simd, triples: &[u8], sums: &mut [Lanes]) {
        if self.head.is_empty() {
            sums.fill(self.padded);
        } else {
            simd.run(Convolve { tables: &self.head, triples, rectify: false, out: sums });
        }
    }

    /// Columns that [`start`](Overhang::start) takes in.
    pub(super) fn head_columns(&self) -> usize {
        self.head_columns
    }
}

/// The widest tile whose sums the registers hold.
fn widest_tile(simd: Simd) -> usize {
    if simd.many_registers() { 24 } else { 4 }
}

/// Pools the alignments at one end for consecutive windows.
pub(super) struct Chain<'a> {
    pub(super) overhang: &'a Overhang,
    /// Bases in the order in which the chain meets them: one a window, after [`Overhang::warm_up`] more.
    pub(super) letters: &'a [u8],
    /// What [`Overhang::start`] gives for each letter.
    pub(super) sums: &'a mut [Lanes],
    /// Results, one a letter (those before the first window mean nothing); empty if not wanted.
    pub(super) max: &'a mut [Lanes],
    /// As `max`.
    pub(super) sum: &'a mut [Lanes],
}

impl Task for Chain<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let Overhang { tiles, padded, outside, rectify, .. } = self.overhang;
        let (padded, zero) = (V::load(padded), V::splat(0.0));
        let padded = if *rectify { zero.max_from_zero(padded) } else { padded };
        let none = if *rectify { zero } else { V::splat(Max::EMPTY) };
        let max = if *outside > 0 { padded } else { none };
        let sum = if *outside > 0 { padded.mul(V::splat(*outside as f32)) } else { zero };
        let start = Start { max, sum };
        match tiles.as_slice() {
            [] => {
                fill(self.max, max);
                fill(self.sum, sum);
            }
            [tile] => self.tile::<V, true, true>(tile, start),
            [first, others @ ..] => {
                self.tile::<V, true, false>(first, start);
                for tile in others {
                    self.tile::<V, false, false>(tile, start);
                }
            }
        }
    }
}

/// Results to which those of the placed alignments are joined.
#[derive(Clone, Copy)]
struct Start<V> {
    max: V,
    sum: V,
}

#[inline(always)]
fn fill<V: Vector>(lanes: &mut [Lanes], value: V) {
    for lanes in lanes {
        value.store(lanes);
    }
}

impl Chain<'_> {
    /// `FIRST`, `LAST`: the tile is the chain's first, and its last.
    #[inline(always)]
    fn tile<V: Vector, const FIRST: bool, const LAST: bool>(&mut self, tile: &Tile, start: Start<V>) {
        match tile.width {
            4 => self.columns::<V, FIRST, LAST, 4>(tile, start),
            8 => self.columns::<V, FIRST, LAST, 8>(tile, start),
            12 if V::MANY => self.columns::<V, FIRST, LAST, 12>(tile, start),
            16 if V::MANY => self.columns::<V, FIRST, LAST, 16>(tile, start),
            20 if V::MANY => self.columns::<V, FIRST, LAST, 20>(tile, start),
            24 if V::MANY => self.columns::<V, FIRST, LAST, 24>(tile, start),
            _ => self.columns::<V, FIRST, LAST, 1>(tile, start),
        }
    }

    #[inline(always)]
    fn columns<V: Vector, const FIRST: bool, const LAST: bool, const N: usize>(
        &mut self,
        tile: &Tile,
        start: Start<V>,
    ) {
        match (!self.max.is_empty(), !self.sum.is_empty(), self.overhang.rectify) {
            (true, false, true) => self.sweep::<V, FIRST, LAST, N, true, false, true>(tile, start),
            (true, false, false) => self.sweep::<V, FIRST, LAST, N, true, false, false>(tile, start),
            (true, true, true) => self.sweep::<V, FIRST, LAST, N, true, true, true>(tile, start),
            (true, true, false) => self.sweep::<V, FIRST, LAST, N, true, true, false>(tile, start),
            (false, _, true) => self.sweep::<V, FIRST, LAST, N, false, true, true>(tile, start),
            (false, _, false) => self.sweep::<V, FIRST, LAST, N, false, true, false>(tile, start),
        }
    }

    #[inline(always)]
    fn sweep<
        V: Vector,
        const FIRST: bool,
        const LAST: bool,
        const N: usize,
        const MAX: bool,
        const SUM: bool,
        const RECTIFY: bool,
    >(
        &mut self,
        tile: &Tile,
        start: Start<V>,
    ) {
        let rows: &[[Lanes; N]; 8] = tile.rows.as_chunks().0.try_into().expect("eight codes");
        let zero = V::splat(0.0);
        let count = self.letters.len();
        let sums = &mut self.sums[..count];
        let max = if MAX { &mut self.max[..count] } else { &mut [] };
        let sum = if SUM { &mut self.sum[..count] } else { &mut [] };
        let mut above = V::load(&self.overhang.padded);
        let mut v = [above; N];
        for (i, &letter) in self.letters.iter().enumerate() {
            let row = &rows[usize::from(letter & 7)];
            for k in 0..N - 1 {
                v[k] = v[k + 1].add(V::load(&row[k]));
            }
            v[N - 1] = above.add(V::load(&row[N - 1]));
            above = V::load(&sums[i]);
            if !LAST {
                // The next tile's sums start from this one's first column, one letter later.
                v[0].store(&mut sums[i]);
            }
            let (mut best, mut total) = (start.max, start.sum);
            if !FIRST && MAX {
                best = V::load(&max[i]);
            }
            if !FIRST && SUM {
                total = V::load(&sum[i]);
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
pub(super) struct Join<'a, S> {
    /// One a base, from the last window's first base down to the first window's.
    pub(super) low: &'a [Lanes],
    /// One a base, from the first window's last base up to the last window's.
    pub(super) high: &'a [Lanes],
    /// Bases between windows.
    pub(super) stride: usize,
    pub(super) statistic: PhantomData<S>,
    /// Windows `from .. to` of this block take it in.
    pub(super) block: &'a mut [Lanes],
    pub(super) from: usize,
    pub(super) to: usize,
}

impl<S: Statistic> Task for Join<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let low = self.low.iter().rev().step_by(self.stride);
        let high = self.high.iter().step_by(self.stride);
        for (i, (low, high)) in (self.from..self.to).zip(low.zip(high)) {
            let overhang = S::join(V::load(low), V::load(high));
            S::join(V::load_from(self.block, i), overhang).store_to(self.block, i);
        }
    }
}

/// Pools a window that is shorter than the detectors, and so overhung at both ends by some alignments.
pub(super) struct Short<'a> {
    pub(super) group: &'a Group,
    /// Codes of the window.
    pub(super) window: &'a [u8],
    /// Padding columns before and after it.
    pub(super) padding: (usize, usize),
    pub(super) rectify: bool,
    pub(super) max: &'a mut Lanes,
    pub(super) sum: &'a mut Lanes,
}

impl Task for Short<'_> {
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
