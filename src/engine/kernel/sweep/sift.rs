//! Windows whose features are known, and that cannot reach a threshold whatever a hidden layer makes of them.
//!
//! Eight neighbouring windows have much the same features. The hidden layer on the least and the greatest of each,
//! whichever favours the score, bounds all eight for a quarter of their cost. The bound is made by the operations that
//! make a score, each of which is monotone, rounding included.

use super::{BATCH, Buffers, Job, Sweep, slack};
use crate::engine::kernel::coarse::BLOCK;
use crate::engine::kernel::dense::{Apply, WINDOWS};
use crate::engine::kernel::simd::{Lanes, Task, Vector};

/// Blocks that there is room for.
const ROOM: usize = (BATCH / BLOCK).next_multiple_of(WINDOWS);

/// Batches that are not sifted after one of which most was kept.
const PAUSE: usize = 7;

/// Working memory, and whether sifting has been worth it of late.
#[derive(Debug, Clone, Default)]
pub(super) struct Sieve {
    /// Greatest and least features of blocks: `features[(2 * vector + least) * ROOM + block]`.
    features: Vec<Lanes>,
    scores: Vec<f32>,
    /// Blocks that may reach the threshold.
    kept: Vec<usize>,
    /// Batches to leave unsifted.
    pause: usize,
}

impl Sieve {
    /// Forgets what was learnt: a chunk's scores hang on nothing but the chunk.
    pub(super) fn reset(&mut self) {
        self.pause = 0;
    }
}

impl Sweep<'_> {
    /// Scores the windows gathered that may reach the threshold, or does nothing and says no where that saves nothing.
    pub(super) fn sift(&mut self) -> bool {
        let Job { head, threshold, .. } = self.job;
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
        let Job { head, simd, network, .. } = self.job;
        let Buffers { features, dense, sieve, .. } = &mut *self.buffers;
        let outputs = network.output.outputs;
        sieve.features.resize(features.len() / BATCH * 2 * ROOM, Lanes::ZERO);
        sieve.scores.resize(outputs * BATCH, 0.0);
        simd.run(Extremes { features, windows: self.filled, out: &mut sieve.features });
        sieve.kept.clear();
        for (output, bound) in head.bounds().iter().enumerate() {
            let (features, out) = (&sieve.features[..], &mut sieve.scores[..outputs * ROOM]);
            simd.run(Apply {
                head: bound,
                features,
                room: ROOM,
                windows: blocks,
                scratch: dense,
                out,
                pitch: ROOM,
            });
            let bounds = &sieve.scores[output * ROOM..][..blocks];
            // What is no number bounds nothing.
            sieve
                .kept
                .extend((0..blocks).filter(|&block| bounds[block].is_nan() || bounds[block] >= threshold));
        }
        sieve.kept.sort_unstable();
        sieve.kept.dedup();
    }

    /// Scores the blocks that were kept; the others get minus infinity.
    fn score_kept(&mut self) {
        let Job { head, simd, .. } = self.job;
        let Buffers { features, dense, sieve, .. } = &mut *self.buffers;
        for features in features.chunks_exact_mut(BATCH) {
            for (to, &block) in sieve.kept.iter().enumerate() {
                features.copy_within(block * BLOCK..(block + 1) * BLOCK, to * BLOCK);
            }
        }
        let windows = sieve.kept.len() * BLOCK;
        let out = &mut sieve.scores[..];
        simd.run(Apply { head, features, room: BATCH, windows, scratch: dense, out, pitch: BATCH });
        for (scores, found) in self.scores.chunks_mut(self.windows).zip(sieve.scores.chunks(BATCH)) {
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

/// The greatest and the least features of eight windows at a time.
struct Extremes<'a> {
    /// `features[vector * BATCH + window]`.
    features: &'a [Lanes],
    windows: usize,
    /// As [`Sieve::features`].
    out: &'a mut [Lanes],
}

impl Task for Extremes<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = self.features.chunks_exact(BATCH).zip(self.out.chunks_exact_mut(2 * ROOM));
        for (features, out) in rows {
            let (greatest, least) = out.split_at_mut(ROOM);
            let blocks = features[..self.windows].chunks(BLOCK).zip(greatest).zip(least);
            for ((block, greatest), least) in blocks {
                let (mut high, mut low) = (V::load(&block[0]), V::load(&block[0]));
                for window in &block[1..] {
                    let window = V::load(window);
                    high = high.max(window);
                    low = low.min(window);
                }
                high.store(greatest);
                low.store(least);
            }
        }
    }
}
