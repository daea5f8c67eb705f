//! Bounds of a hidden layer: skips windows whose pooled features prove that they cannot reach the threshold.
//!
//! Eight neighbouring windows have much the same features. The hidden layer on the least and the greatest of each feature,
//! whichever favours the score, bounds all eight for a quarter of their cost. The bound is made by the same operations as a
//! score, each of which is monotone, rounding included.

use crate::engine::kernel::dense::{Apply, WINDOWS};
use crate::engine::kernel::geometry::slack;
use crate::engine::kernel::prefilter::quantized::BLOCK;
use crate::engine::kernel::simd::{Lanes, Numbers, Task, Vector};
use crate::engine::kernel::strand_scan::{Buffers, StrandJob, StrandScan};

/// Batches that are scored without bounds after one that was mostly kept.
const PAUSE: usize = 7;

/// Working memory, and whether the bounds have paid recently.
#[derive(Debug, Clone, Default)]
pub(crate) struct HiddenLayerBounds {
    /// Greatest and least features of eight windows at a time: for each vector two [blocks](Vector) of them.
    features: Vec<Lanes>,
    scores: Vec<f32>,
    /// Blocks that may reach the threshold.
    kept: Vec<usize>,
    /// Batches still to score without bounds.
    pause: usize,
}

impl HiddenLayerBounds {
    /// Forgets what was learnt: a chunk's scores hang on nothing but the chunk.
    pub(crate) fn reset(&mut self) {
        self.pause = 0;
    }
}

impl StrandScan<'_> {
    /// Eight windows that there is room for.
    fn eights(&self) -> usize {
        (self.room / BLOCK).next_multiple_of(WINDOWS)
    }

    /// Scores the windows gathered that may reach the threshold, or does nothing and says no where that saves nothing.
    pub(crate) fn bound_hidden_layer(&mut self) -> bool {
        let StrandJob { head, threshold, .. } = self.job;
        let (Some(threshold), false) = (threshold, head.bounds().is_empty()) else { return false };
        let sieve = &mut self.buffers.sieve;
        if sieve.pause > 0 {
            sieve.pause -= 1;
            return false;
        }
        let blocks = self.filled.div_ceil(BLOCK);
        self.find_promising(blocks, threshold - slack(self.job.network));
        if 2 * self.buffers.sieve.kept.len() > blocks {
            self.buffers.sieve.pause = PAUSE;
            return false;
        }
        self.score_kept();
        true
    }

    /// Finds the blocks with a bound of `threshold` or more.
    fn find_promising(&mut self, blocks: usize, threshold: f32) {
        let (room, eights) = (self.room, self.eights());
        let StrandJob { head, simd, network, .. } = self.job;
        let Buffers { features, dense, sieve, .. } = &mut *self.buffers;
        let outputs = network.output.outputs;
        sieve.features.resize(features.len() / room * 2 * eights, Lanes::ZERO);
        sieve.scores.resize(outputs * room, 0.0);
        let out = sieve.features.chunks_exact_mut(2 * eights);
        for (features, out) in features.chunks_exact(room).zip(out) {
            simd.run(Extremes { features, windows: self.filled, out });
        }
        sieve.kept.clear();
        for (output, bound) in head.bounds().iter().enumerate() {
            let (features, out) = (&sieve.features[..], &mut sieve.scores[..outputs * eights]);
            simd.run(Apply {
                head: bound,
                features,
                room: eights,
                windows: blocks,
                scratch: dense,
                out,
                pitch: eights,
            });
            let bounds = &sieve.scores[output * eights..][..blocks];
            // NaN is no bound.
            sieve
                .kept
                .extend((0..blocks).filter(|&block| bounds[block].is_nan() || bounds[block] >= threshold));
        }
        sieve.kept.sort_unstable();
        sieve.kept.dedup();
    }

    /// Scores the blocks that were kept; the others get minus infinity.
    fn score_kept(&mut self) {
        let room = self.room;
        let StrandJob { head, simd, .. } = self.job;
        let Buffers { features, dense, sieve, .. } = &mut *self.buffers;
        for features in features.chunks_exact_mut(room) {
            simd.run(Gather { features, kept: &sieve.kept });
        }
        let windows = sieve.kept.len() * BLOCK;
        let out = &mut sieve.scores[..];
        simd.run(Apply { head, features, room, windows, scratch: dense, out, pitch: room });
        for (scores, found) in self.scores.chunks_mut(self.windows).zip(sieve.scores.chunks(room)) {
            let scores = &mut scores[self.scored..][..self.filled];
            scores.fill(f32::NEG_INFINITY);
            for (found, &block) in found.chunks(BLOCK).zip(&sieve.kept) {
                let scores = &mut scores[block * BLOCK..];
                let count = scores.len().min(BLOCK);
                scores[..count].copy_from_slice(&found[..count]);
            }
        }
    }
}

/// Eights of windows that were kept come first.
struct Gather<'a> {
    /// Of one vector.
    features: &'a mut [Lanes],
    kept: &'a [usize],
}

impl Task for Gather<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let room = self.features.len();
        for part in V::Part::rows_mut(self.features).chunks_exact_mut(room) {
            for (to, &eight) in self.kept.iter().enumerate() {
                part.copy_within(eight * BLOCK..(eight + 1) * BLOCK, to * BLOCK);
            }
        }
    }
}

/// The greatest and the least features of eight windows at a time.
struct Extremes<'a> {
    /// Of one vector.
    features: &'a [Lanes],
    windows: usize,
    /// The greatest, and as many of the least.
    out: &'a mut [Lanes],
}

impl Task for Extremes<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (room, half) = (self.features.len(), self.out.len() / 2);
        let (greatest, least) = self.out.split_at_mut(half);
        let parts = V::Part::rows(self.features).chunks_exact(room);
        let greatest = V::Part::rows_mut(greatest).chunks_exact_mut(half);
        let least = V::Part::rows_mut(least).chunks_exact_mut(half);
        for ((part, greatest), least) in parts.zip(greatest).zip(least) {
            for ((windows, greatest), least) in part[..self.windows].chunks(BLOCK).zip(greatest).zip(least) {
                let (mut high, mut low) = (V::Part::load(&windows[0]), V::Part::load(&windows[0]));
                for window in &windows[1..] {
                    let window = V::Part::load(window);
                    high = high.max(window);
                    low = low.min(window);
                }
                high.store(greatest);
                low.store(least);
            }
        }
    }
}
