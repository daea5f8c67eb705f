//! Maximum and sum of the activations in a sliding window, three operations a position whatever its width.
//!
//! Positions are cut into blocks as long as the window, so that a window covers the end of one block and the start
//! of the next (van Herk 1992, Gil and Werman 1993): what it needs is a running result from each block's start, and
//! one from each block's end backwards. Blocks start at multiples of the window's length counted from the contig's
//! start, so a sum is made of the same parts in the same order in whatever chunk the window is met. Sums are made
//! the same way as maxima; nothing is ever subtracted, so no error builds up along a contig.

use std::marker::PhantomData;

use super::simd::{Lanes, Task, Vector};

/// A statistic that is pooled.
pub(super) trait Statistic {
    /// The result over nothing.
    const EMPTY: f32;
    /// Takes more values in.
    fn join<V: Vector>(result: V, value: V) -> V;
}

/// The greatest activation.
#[derive(Debug, Clone, Default)]
pub(super) struct Max;

impl Statistic for Max {
    const EMPTY: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn join<V: Vector>(result: V, value: V) -> V {
        result.max(value)
    }
}

/// The greatest activation, where none is negative.
#[derive(Debug, Clone, Default)]
pub(super) struct RectifiedMax;

impl Statistic for RectifiedMax {
    const EMPTY: f32 = 0.0;
    #[inline(always)]
    fn join<V: Vector>(result: V, value: V) -> V {
        result.max_from_zero(value)
    }
}

/// The sum of the activations.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum;

impl Statistic for Sum {
    const EMPTY: f32 = 0.0;
    #[inline(always)]
    fn join<V: Vector>(result: V, value: V) -> V {
        result.add(value)
    }
}

/// Results of a sliding window between calls, for 16 detectors.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    /// `back[i]`: over positions `i ..` of the last whole block; the last entry is over nothing.
    back: Vec<Lanes>,
    /// Over the current block up to the current position; `None` if that is nothing.
    front: Option<Lanes>,
}

impl Running {
    /// Forgets everything, for windows of `window` positions.
    pub(super) fn reset(&mut self, window: usize) {
        self.back.resize(window + 1, Lanes::ZERO);
        self.front = None;
    }
}

/// Which positions the next step of a sliding window covers, and which windows it ends. Positions count from
/// the start of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// First position to slide over.
    pub(super) start: usize,
    /// One past the last.
    pub(super) stop: usize,
    /// First position that has ever been computed.
    pub(super) valid: usize,
    /// Last position of the next window.
    pub(super) window_end: usize,
    /// Positions between windows.
    pub(super) stride: usize,
}

/// Slides one statistic over a [`Step`].
pub(super) struct Slide<'a, S> {
    pub(super) step: Step,
    /// Activations of all positions from the start of the block that `step.start` lies in, or an earlier one.
    pub(super) activations: &'a [Lanes],
    pub(super) running: &'a mut Running,
    pub(super) statistic: PhantomData<S>,
    /// One entry for each window that ends in the step.
    pub(super) out: &'a mut [Lanes],
}

impl<S: Statistic> Task for Slide<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Step { start, stop, valid, window_end, stride } = self.step;
        let activations = self.activations;
        let window = self.running.back.len() - 1;
        if window == 1 && stride == 1 {
            self.out.copy_from_slice(&activations[start..stop]);
            return;
        }
        let empty = V::splat(S::EMPTY);
        empty.store(&mut self.running.back[window]);
        let mut front = self.running.front.as_ref().map_or(empty, V::load);
        let (mut at, mut next) = (start, window_end);
        let mut out = self.out;
        while at < stop {
            let block = at - at % window;
            let end = (block + window).min(stop);
            // A window that ends at position i of this block starts at position i + 1 of the one before.
            let back = &self.running.back[..=window];
            while next < end {
                front = join_all::<S, V>(front, &activations[at..next]);
                let run = if stride == 1 { end - next } else { 1 };
                let (ended, later) = out.split_at_mut(run);
                let values = &activations[next..next + run];
                let back = &back[next - block + 1..][..run];
                for ((value, back), out) in values.iter().zip(back).zip(ended) {
                    front = S::join(front, V::load(value));
                    S::join(V::load(back), front).store(out);
                }
                out = later;
                at = next + run;
                next += run.max(stride);
            }
            front = join_all::<S, V>(front, &activations[at.min(end)..end]);
            at = end;
            if end == block + window {
                let known = valid.max(block);
                backwards::<S, V>(&activations[known..end], &mut self.running.back[known - block..window]);
                front = empty;
            }
        }
        front.store(self.running.front.insert(Lanes::ZERO));
    }
}

/// Takes all of `values` into `result`.
#[inline(always)]
fn join_all<S: Statistic, V: Vector>(result: V, values: &[Lanes]) -> V {
    let mut result = result;
    for value in values {
        result = S::join(result, V::load(value));
    }
    result
}

/// `back[i]` becomes the result over `values[i ..]`.
#[inline(always)]
fn backwards<S: Statistic, V: Vector>(values: &[Lanes], back: &mut [Lanes]) {
    let mut result = V::splat(S::EMPTY);
    for (value, back) in values.iter().zip(back).rev() {
        result = S::join(result, V::load(value));
        result.store(back);
    }
}

/// One statistic over all of `values`, for windows that share no positions.
pub(super) struct Reduce<'a, S> {
    pub(super) values: &'a [Lanes],
    pub(super) statistic: PhantomData<S>,
    pub(super) out: &'a mut Lanes,
}

impl<S: Statistic> Task for Reduce<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        join_all::<S, V>(V::splat(S::EMPTY), self.values).store(self.out);
    }
}
