//! Windows that cannot reach a threshold, found without sliding over them.
//!
//! Take the greatest activation of each eight positions. Eight windows that start side by side all cover the same
//! blocks but for those at their ends, so the blocks they all cover bound each of their maxima from below, and the
//! blocks that any of them covers from above. A score with each maximum at the bound that favours it (the upper one
//! where its weight is positive) is no lower than any of the eight: floating-point multiplication and addition are
//! monotone, rounding included, and the bound is computed by the very operations that compute a score.

use std::marker::PhantomData;

use super::pool::Statistic;
use super::simd::{Lanes, Task, Vector, WIDTH};

/// Positions in a block, and windows that are bounded together.
pub(super) const BLOCK: usize = 8;

/// Greatest activations of blocks.
pub(super) struct BlockMaxima<'a, S> {
    pub(super) activations: &'a [Lanes],
    pub(super) statistic: PhantomData<S>,
    /// One for each [`BLOCK`] activations.
    pub(super) maxima: &'a mut [Lanes],
}

impl<S: Statistic> Task for BlockMaxima<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (block, max) in self.activations.as_chunks::<BLOCK>().0.iter().zip(self.maxima) {
            let mut v = [V::splat(0.0); BLOCK];
            for (v, activation) in v.iter_mut().zip(block) {
                *v = V::load(activation);
            }
            for half in [4, 2, 1] {
                for i in 0..half {
                    v[i] = S::join(v[i], v[i + half]);
                }
            }
            v[0].store(max);
        }
    }
}

/// Bounds of the maxima of windows that start in each of some blocks.
pub(super) struct Bounds<'a, S> {
    /// Greatest activations of blocks, from the first block of window starts on.
    pub(super) maxima: &'a [Lanes],
    /// Alignments of a window; at least twice [`BLOCK`].
    pub(super) window: usize,
    pub(super) statistic: PhantomData<S>,
    /// Working memory, as long as `maxima`.
    pub(super) scratch: &'a mut [Lanes],
    /// One a block.
    pub(super) low: &'a mut [Lanes],
    /// One a block.
    pub(super) high: &'a mut [Lanes],
}

impl<S: Statistic> Task for Bounds<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Bounds { maxima, window, scratch, low, high, .. } = self;
        // A block's windows all cover `shared` blocks from the next one on, and reach into block `last` at most.
        let (shared, last) = (window / BLOCK - 1, (window + BLOCK - 2) / BLOCK);
        // scratch[i] becomes the maximum over `width` blocks from i on, in steps that double the width.
        scratch.copy_from_slice(maxima);
        let (mut width, mut valid) = (1, scratch.len());
        while 2 * width <= shared {
            valid -= width;
            for i in 0..valid {
                S::join(V::load(&scratch[i]), V::load(&scratch[i + width])).store(&mut scratch[i]);
            }
            width *= 2;
        }
        for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
            let inside = S::join(V::load(&scratch[i + 1]), V::load(&scratch[i + 1 + shared - width]));
            inside.store(low);
            let mut all = S::join(inside, V::load(&maxima[i]));
            for max in &maxima[i + 1 + shared..=i + last] {
                all = S::join(all, V::load(max));
            }
            all.store(high);
        }
    }
}

/// The features that give one output its highest score within bounds: for 16 detectors, one vector a block.
pub(super) struct Favour<'a> {
    /// The output's weights of these detectors.
    pub(super) weights: &'a Lanes,
    pub(super) low: &'a [Lanes],
    pub(super) high: &'a [Lanes],
    pub(super) out: &'a mut [Lanes],
}

impl Task for Favour<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // Each lane is one of the two times 1 plus the other times 0: exact.
        let (mut positive, mut negative) = (Lanes::ZERO, Lanes([1.0; WIDTH]));
        for (i, &weight) in self.weights.0.iter().enumerate() {
            if weight > 0.0 {
                (positive.0[i], negative.0[i]) = (1.0, 0.0);
            }
        }
        let (positive, negative) = (V::load(&positive), V::load(&negative));
        for ((low, high), out) in self.low.iter().zip(self.high).zip(self.out) {
            V::load(high).mul_add(positive, V::load(low).mul(negative)).store(out);
        }
    }
}

/// The exact maxima of the windows that start in one block.
pub(super) struct Windows<'a, S> {
    /// Activations from the block's first on.
    pub(super) activations: &'a [Lanes],
    /// Alignments of a window.
    pub(super) window: usize,
    /// Maximum over the blocks that all windows cover.
    pub(super) low: &'a Lanes,
    pub(super) statistic: PhantomData<S>,
    pub(super) out: &'a mut [Lanes; BLOCK],
}

impl<S: Statistic> Task for Windows<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Windows { activations, window, low, out, .. } = self;
        let mut front = S::join(V::load(low), V::load(&activations[BLOCK - 1]));
        for activation in &activations[window / BLOCK * BLOCK..window] {
            front = S::join(front, V::load(activation));
        }
        // From the front: what each window covers past the end of the first one.
        for (i, out) in out.iter_mut().enumerate() {
            if i > 0 {
                front = S::join(front, V::load(&activations[window + i - 1]));
            }
            front.store(out);
        }
        // From the back: what it covers before the start of the last one.
        let mut back = V::load(&activations[BLOCK - 1]);
        for (activation, out) in activations[..BLOCK].iter().zip(out).rev() {
            back = S::join(back, V::load(activation));
            S::join(V::load(out), back).store(out);
        }
    }
}
