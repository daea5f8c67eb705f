//! Maxima and means of neighbouring positions.

use crate::train::layers::architecture::{Padding, PoolKind, Slide};
use crate::train::layers::layer::Pass;
use crate::train::layers::tensor::Tensor;

/// A pool; of size 0, over all positions.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) kind: PoolKind,
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) padding: Padding,
    positions: usize,
    /// Of each maximum, its position; the first of equals.
    winners: Vec<u32>,
}

impl Pool {
    pub(crate) fn new(kind: PoolKind, size: usize, stride: usize, padding: Padding) -> Pool {
        Pool { kind, size, stride, padding, positions: 0, winners: Vec::new() }
    }

    /// Positions over an input of this length.
    pub(crate) fn slide(&self, positions: usize) -> (Slide, usize) {
        let size = if self.size == 0 { positions } else { self.size };
        Slide::new(positions, size, self.stride, 1, self.padding).expect("a pool that fits")
    }

    /// The positions that each place looks at, of `positions`.
    fn places(&self, positions: usize) -> Vec<std::ops::Range<usize>> {
        let (slide, places) = self.slide(positions);
        let place = |i: usize| {
            let start = i * slide.stride;
            start.saturating_sub(slide.before)..(start + slide.kernel - slide.before).min(positions)
        };
        (0..places).map(place).collect()
    }

    pub(crate) fn forward(&mut self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let (channels, places) = (x.channels, self.places(x.positions));
        let mut y = Tensor::zeros(x.rows, places.len(), channels);
        self.positions = x.positions;
        self.winners.clear();
        if pass.is_training() && self.kind == PoolKind::Max {
            self.winners.resize(y.values.len(), 0);
        }
        for (row, out) in x.values.chunks_exact(x.width()).enumerate().map(|(row, x)| {
            let width = places.len() * channels;
            ((row, x), row * width..(row + 1) * width)
        }) {
            let (row, x) = row;
            let pooled = y.values[out].chunks_exact_mut(channels);
            for (i, (place, pooled)) in places.iter().zip(pooled).enumerate() {
                let taps = || x[place.start * channels..place.end * channels].chunks_exact(channels);
                match self.kind {
                    PoolKind::Avg => {
                        taps().for_each(|tap| pooled.iter_mut().zip(tap).for_each(|(sum, x)| *sum += x));
                        pooled.iter_mut().for_each(|sum| *sum /= place.len() as f32);
                    }
                    PoolKind::Max if self.winners.is_empty() => {
                        pooled.fill(f32::NEG_INFINITY);
                        taps().for_each(|tap| {
                            pooled.iter_mut().zip(tap).for_each(|(most, &x)| *most = most.max(x));
                        });
                    }
                    PoolKind::Max => {
                        let at = (row * places.len() + i) * channels;
                        let winners = &mut self.winners[at..at + channels];
                        pooled.fill(f32::NEG_INFINITY);
                        for (position, tap) in place.clone().zip(taps()) {
                            for ((most, winner), &x) in pooled.iter_mut().zip(&mut *winners).zip(tap) {
                                // Without branches; what is no number wins.
                                let wins = x > *most || x.is_nan();
                                *most = if wins { x } else { *most };
                                *winner = if wins { position as u32 } else { *winner };
                            }
                        }
                    }
                }
            }
        }
        y
    }

    pub(crate) fn backward(&self, gradient: &Tensor) -> Tensor {
        let (channels, places) = (gradient.channels, self.places(self.positions));
        let mut back = Tensor::zeros(gradient.rows, self.positions, channels);
        let width = back.width();
        for (row, back) in back.values.chunks_exact_mut(width).enumerate() {
            for (i, place) in places.iter().enumerate() {
                let at = (row * places.len() + i) * channels;
                let slopes = &gradient.values[at..at + channels];
                match self.kind {
                    PoolKind::Avg => {
                        let share = 1.0 / place.len() as f32;
                        for tap in
                            back[place.start * channels..place.end * channels].chunks_exact_mut(channels)
                        {
                            tap.iter_mut().zip(slopes).for_each(|(x, slope)| *x += slope * share);
                        }
                    }
                    PoolKind::Max => {
                        let winners = &self.winners[at..at + channels];
                        for (channel, (&winner, slope)) in winners.iter().zip(slopes).enumerate() {
                            back[winner as usize * channels + channel] += slope;
                        }
                    }
                }
            }
        }
        back
    }
}
