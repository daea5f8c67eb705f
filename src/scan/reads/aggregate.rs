//! Scores of many reads, summarised by reference position.
//!
//! A window stands at the place of its middle base (the right one of two), as in the tracks of a genome.

use super::Key;
use crate::track::score::{Series, UNIT};

/// Summary of the scores at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The highest.
    Max,
    /// Their mean.
    Mean,
    /// Number that reach the threshold.
    Count,
}

impl Aggregate {
    /// True if what `series` shows is made of windows that reach the threshold alone.
    pub(super) fn is_of_reached(self, series: &Series) -> bool {
        match self {
            Aggregate::Max => series.lowest != f32::NEG_INFINITY,
            Aggregate::Mean => false,
            Aggregate::Count => true,
        }
    }
}

/// The windows that stand in one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    best: f32,
    windows: u32,
    /// Sum of the scores in units of 2^-64: exact, so that it does not depend on the order of the reads.
    sum: i128,
}

impl Cell {
    const EMPTY: Cell = Cell { best: f32::NEG_INFINITY, windows: 0, sum: 0 };

    /// Adds a window; of its score, what `aggregate` is made of.
    fn add(&mut self, score: f32, aggregate: Aggregate) {
        match aggregate {
            Aggregate::Max => self.best = self.best.max(score),
            Aggregate::Mean => self.sum = self.sum.saturating_add((f64::from(score) * UNIT) as i128),
            Aggregate::Count => {}
        }
        self.windows = self.windows.saturating_add(1);
    }

    pub(super) fn merge(&mut self, other: &Cell) {
        self.best = self.best.max(other.best);
        self.windows = self.windows.saturating_add(other.windows);
        self.sum = self.sum.saturating_add(other.sum);
    }

    pub(super) fn value(&self, aggregate: Aggregate) -> f32 {
        match aggregate {
            Aggregate::Max => self.best,
            Aggregate::Mean => (self.sum as f64 / UNIT / f64::from(self.windows)) as f32,
            Aggregate::Count => self.windows as f32,
        }
    }
}

/// Bins near the current read, which are kept in a ring.
const NEAR: u64 = 1 << 15;

/// Gathers the windows of reads that come sorted by place.
#[derive(Debug)]
pub(super) struct Gather {
    aggregate: Aggregate,
    /// Bases of a bin.
    bin: u64,
    contig: u32,
    /// Bins from `base` up to `end`, the last one touched, each in the ring at its number modulo [`NEAR`].
    base: u64,
    end: u64,
    ring: Vec<Cell>,
    /// Bins beyond the ring, in any order: of reads with long introns.
    far: Vec<(Key, Cell)>,
}

impl Gather {
    pub(super) fn new(aggregate: Aggregate, bin: u64) -> Gather {
        let ring = vec![Cell::EMPTY; NEAR as usize];
        Gather { aggregate, bin, contig: 0, base: 0, end: 0, ring, far: Vec::new() }
    }

    /// Goes to the place of the next read; the bins before it go to `out`.
    pub(super) fn advance(&mut self, contig: u32, place: u64, out: &mut Vec<(Key, Cell)>) {
        let first = place / self.bin;
        let stop = if contig == self.contig { first.min(self.end) } else { self.end };
        for number in self.base..stop {
            let cell = &mut self.ring[(number % NEAR) as usize];
            if cell.windows > 0 {
                out.push(((self.contig, number * self.bin), *cell));
                *cell = Cell::EMPTY;
            }
        }
        (self.contig, self.base) = (contig, first);
        self.end = if stop == self.end { first } else { self.end };
    }

    /// Adds a window that stands at or behind the place of the current read.
    pub(super) fn add(&mut self, place: u64, score: f32) {
        let number = place / self.bin;
        if number - self.base < NEAR {
            self.ring[(number % NEAR) as usize].add(score, self.aggregate);
            self.end = self.end.max(number + 1);
        } else {
            let mut cell = Cell::EMPTY;
            cell.add(score, self.aggregate);
            self.far.push(((self.contig, number * self.bin), cell));
        }
    }

    /// Hands out all that is left; `out` is then sorted, with one cell a bin.
    pub(super) fn finish(&mut self, out: &mut Vec<(Key, Cell)>) {
        self.advance(u32::MAX, 0, out);
        if !self.far.is_empty() {
            out.append(&mut self.far);
            join(out);
        }
        (self.contig, self.base, self.end) = (0, 0, 0);
    }
}

/// Sorts cells by place, and joins those of one bin.
pub(super) fn join(cells: &mut Vec<(Key, Cell)>) {
    cells.sort_by_key(|(key, _)| *key);
    cells.dedup_by(|next, last| {
        let same = next.0 == last.0;
        if same {
            last.1.merge(&next.1);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_gathered_is_what_was_added(
            mut reads in prop::collection::vec((0u32..3, 0u64..200_000, prop::collection::vec(0u64..90_000, 0..9)), 0..40),
            bin in prop_oneof![Just(1u64), 2u64..50],
            aggregate in prop::sample::select(vec![Aggregate::Max, Aggregate::Mean, Aggregate::Count]),
        ) {
            reads.sort();
            let (mut gather, mut out) = (Gather::new(aggregate, bin), Vec::new());
            let mut want: BTreeMap<Key, Vec<f32>> = BTreeMap::new();
            for (contig, place, windows) in &reads {
                gather.advance(*contig, *place, &mut out);
                for (i, offset) in windows.iter().enumerate() {
                    let at = place + offset;
                    gather.add(at, i as f32);
                    want.entry((*contig, at / bin * bin)).or_default().push(i as f32);
                }
            }
            gather.finish(&mut out);
            let have = out.iter().map(|(key, cell)| (*key, cell.value(aggregate)));
            let value = |scores: Vec<f32>| match aggregate {
                Aggregate::Max => scores.iter().copied().fold(0.0, f32::max),
                Aggregate::Mean => scores.iter().sum::<f32>() / scores.len() as f32,
                Aggregate::Count => scores.len() as f32,
            };
            let want = want.into_iter().map(|(key, scores)| (key, value(scores)));
            prop_assert_eq!(have.collect::<Vec<_>>(), want.collect::<Vec<_>>());
        }
    }
}
