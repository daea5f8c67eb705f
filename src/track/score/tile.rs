//! From the scores of windows to the values of bins.

use std::ops::Range;

use super::{Series, Shown, Summary, TILE, UNIT};
use crate::scores::Scores;

/// The scores whose windows have their centre in one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bin {
    /// First base that has the value, 0-based.
    pub(super) start: u64,
    /// One past the last.
    pub(super) end: u64,
    pub(super) best: f32,
    pub(super) windows: u32,
    /// Sum of the scores in units of 2^-64: exact, so that it does not depend on how the scores were parted.
    pub(super) sum: i128,
}

impl Bin {
    pub(super) fn merge(&mut self, other: &Bin) {
        self.end = other.end;
        self.best = greater(self.best, other.best);
        self.windows += other.windows;
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// Bins in their order. Those of one window and full width take 8 bytes: there may be thousands of tracks.
#[derive(Debug, Default)]
pub(super) struct Bins {
    /// Number of the first bin of those, counted in widths.
    first: u64,
    /// Numbers of bins, counted from the first, and their values.
    numbers: Vec<u32>,
    values: Vec<f32>,
    /// Other bins, and their ranks; their numbers and values say nothing.
    others: Vec<(usize, Bin)>,
}

impl Bins {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.values.clear();
        self.others.clear();
    }

    /// Appends a bin of `series`.
    pub(super) fn push(&mut self, bin: Bin, series: &Series) {
        if self.is_empty() {
            self.first = bin.start / series.bin;
        }
        let number = (bin.start / series.bin).checked_sub(self.first).and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|&number| self.plain(number, bin.best, series) == bin);
        if number.is_none() {
            self.others.push((self.values.len(), bin));
        }
        self.numbers.push(number.unwrap_or(0));
        self.values.push(bin.best);
    }

    /// Takes the last bin off.
    pub(super) fn pop(&mut self, series: &Series) -> Option<Bin> {
        let (number, value) = self.numbers.pop().zip(self.values.pop())?;
        let other = self.others.pop_if(|(rank, _)| *rank == self.values.len());
        Some(other.map_or_else(|| self.plain(number, value, series), |(_, bin)| bin))
    }

    pub(super) fn last(&self, series: &Series) -> Option<Bin> {
        let rank = self.values.len().checked_sub(1)?;
        let other = self.others.last().filter(|(other, _)| *other == rank);
        Some(other.map_or_else(|| self.plain(self.numbers[rank], self.values[rank], series), |(_, bin)| *bin))
    }

    pub(super) fn iter<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = Bin> + 'a {
        let mut others = self.others.iter().peekable();
        let numbers = self.numbers.iter().zip(&self.values).enumerate();
        numbers.map(move |(rank, (&number, &value))| {
            let other = others.next_if(|(other, _)| *other == rank);
            other.map_or_else(|| self.plain(number, value, series), |(_, bin)| *bin)
        })
    }

    /// The bin of this number, if it is whole and has one window.
    fn plain(&self, number: u32, value: f32, series: &Series) -> Bin {
        let start = (self.first + u64::from(number)) * series.bin;
        let sum = series.sum(&[value]);
        Bin { start, end: start.saturating_add(series.bin), best: value, windows: 1, sum }
    }
}

/// The greater of two scores, the first of equals: zeros have signs.
fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

fn in_units(score: f32) -> i128 {
    (f64::from(score) * UNIT) as i128
}

fn mean(sum: i128, windows: u32) -> f32 {
    (sum as f64 / UNIT / f64::from(windows)) as f32
}

/// A stretch of bases with one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::track) struct Stretch {
    pub(in crate::track) start: u64,
    pub(in crate::track) end: u64,
    pub(in crate::track) value: f32,
}

/// The values of a tile, or of a part of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::track) enum TileValues<'a> {
    /// Bins with gaps between them, or of uneven length.
    Stretches(&'a [Stretch]),
    /// Bins of `step` bases that follow each other from `start` on.
    Steps { start: u64, step: u64, values: &'a [f32] },
}

impl TileValues<'_> {
    pub(in crate::track) fn len(&self) -> usize {
        match self {
            TileValues::Stretches(stretches) => stretches.len(),
            TileValues::Steps { values, .. } => values.len(),
        }
    }

    /// One of them.
    pub(in crate::track) fn at(&self, i: usize) -> Stretch {
        match *self {
            TileValues::Stretches(stretches) => stretches[i],
            TileValues::Steps { start, step, values } => {
                let start = start + i as u64 * step;
                Stretch { start, end: start + step, value: values[i] }
            }
        }
    }
}

/// Scores of consecutive windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Centred<'a> {
    pub(super) scores: &'a [f32],
    /// Centre of the first window, and distance between centres.
    pub(super) centre: u64,
    pub(super) stride: u64,
}

impl<'a> Centred<'a> {
    /// Takes the windows with a centre before `end` off the front.
    pub(super) fn take_before(&mut self, end: u64) -> Centred<'a> {
        let count = end.saturating_sub(self.centre).div_ceil(self.stride);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.scores.len());
        let taken = Centred { scores: &self.scores[..count], ..*self };
        self.scores = &self.scores[count..];
        self.centre += count as u64 * self.stride;
        taken
    }

    /// The windows of these numbers.
    pub(super) fn part(&self, range: Range<usize>) -> Centred<'a> {
        let centre = self.centre + range.start as u64 * self.stride;
        Centred { scores: &self.scores[range], centre, ..*self }
    }

    fn last_centre(&self) -> u64 {
        self.centre + (self.scores.len() as u64).saturating_sub(1) * self.stride
    }
}

impl Series {
    /// The score that is shown of each window, of one output of `scores`; `buffer` is room for them. Only the windows `kept`
    /// are checked.
    ///
    /// # Errors
    /// The start of a window whose score is NaN.
    pub(super) fn shown<'a>(
        &self,
        scores: &'a Scores,
        output: usize,
        kept: &[Range<usize>],
        buffer: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], u64> {
        let row = |strand: &'a [f32]| {
            strand.get(output * scores.windows..(output + 1) * scores.windows).unwrap_or_default()
        };
        let (forward, reverse) = (row(&scores.forward), row(&scores.reverse));
        let shown: [&[f32]; 2] = match self.strand {
            Shown::Better => [forward, reverse],
            Shown::Forward => [forward, &[]],
            Shown::Reverse => [&[], reverse],
        };
        for strand in shown.into_iter().filter(|strand| !strand.is_empty()) {
            for range in kept {
                if let Some(i) = crate::scores::first_nan(&strand[range.clone()]) {
                    return Err(scores.start + ((range.start + i) * scores.stride) as u64);
                }
            }
        }
        Ok(match shown {
            [only, []] | [[], only] => only,
            [forward, reverse] => {
                buffer.clear();
                crate::scores::better_scores(forward, reverse, buffer);
                buffer
            }
        })
    }

    /// Appends the bins that the windows fall into; the first may be the last one there is.
    pub(super) fn put_bins(&self, mut windows: Centred<'_>, bins: &mut Vec<Bin>) {
        while !windows.scores.is_empty() {
            let start = windows.centre - windows.centre % self.bin;
            let end = start.saturating_add(self.bin);
            let here = windows.take_before(end).scores;
            let sum = self.sum(here);
            let best = here[1..].iter().copied().fold(here[0], greater);
            let bin = Bin { start, end, best, windows: here.len() as u32, sum };
            match bins.last_mut() {
                Some(last) if last.start == start => last.merge(&bin),
                _ => bins.push(bin),
            }
        }
    }

    /// Sum of scores, if it is needed.
    fn sum(&self, scores: &[f32]) -> i128 {
        match self.summary {
            Summary::Max => 0,
            Summary::Mean => scores.iter().map(|&score| in_units(score)).fold(0, i128::saturating_add),
        }
    }

    /// The values of all bins of a tile, if its windows reach into every one of them.
    pub(super) fn dense_tile<'a>(
        &self,
        tile: Range<u64>,
        mut windows: Centred<'a>,
        buffer: &'a mut Vec<f32>,
    ) -> Option<&'a [f32]> {
        let every = windows.stride <= self.bin
            && windows.centre - tile.start < self.bin
            && tile.end - windows.last_centre() <= self.bin;
        if !every {
            return None;
        }
        if windows.stride == self.bin {
            return Some(windows.scores);
        }
        buffer.clear();
        let ends = (1..=TILE).map(|i| tile.start + i * self.bin);
        buffer.extend(ends.map(|end| {
            let here = windows.take_before(end).scores;
            match self.summary {
                Summary::Mean if here.len() > 1 => mean(self.sum(here), here.len() as u32),
                _ => here[1..].iter().copied().fold(here[0], greater),
            }
        }));
        Some(buffer)
    }

    fn value(&self, bin: &Bin) -> f32 {
        match self.summary {
            Summary::Mean if bin.windows > 1 => mean(bin.sum, bin.windows),
            _ => bin.best,
        }
    }

    /// The bins that are shown.
    pub(super) fn stretches<'a>(
        &self,
        bins: impl Iterator<Item = Bin>,
        buffer: &'a mut Vec<Stretch>,
    ) -> TileValues<'a> {
        buffer.clear();
        let stretch = |bin: Bin| Stretch { start: bin.start, end: bin.end, value: self.value(&bin) };
        buffer.extend(bins.map(stretch).filter(|stretch| self.shows(stretch.value)));
        TileValues::Stretches(buffer)
    }

    /// As [`stretches`](Series::stretches), of a [dense tile](Series::dense_tile).
    pub(super) fn steps<'a>(
        &self,
        start: u64,
        values: &'a [f32],
        buffer: &'a mut Vec<Stretch>,
    ) -> TileValues<'a> {
        let steps = TileValues::Steps { start, step: self.bin, values };
        if self.lowest == f32::NEG_INFINITY || values.iter().all(|&value| self.shows(value)) {
            return steps;
        }
        buffer.clear();
        let shown = (0..values.len()).filter(|&i| self.shows(values[i]));
        buffer.extend(shown.map(|i| steps.at(i)));
        TileValues::Stretches(buffer)
    }

    fn shows(&self, value: f32) -> bool {
        value >= self.lowest
    }
}
