//! Maximum and sum of the activations in a sliding window: three operations a position for any width.
//!
//! Positions are cut into blocks as long as the window, so that a window covers the end of one block and the start of the
//! next (van Herk 1992, Gil and Werman 1993). It needs one running result from the start of each block, and one from the end
//! of each block backwards. Blocks start at multiples of the window's length, counted from the contig's start, so a sum has
//! the same parts in the same order in any chunk. Sums are made like maxima: nothing is subtracted, so no error builds up
//! along a contig.

use std::marker::PhantomData;

use crate::engine::kernel::simd::{Lanes, Numbers, Task, Vector, WIDTH};

/// A statistic that is pooled.
pub(crate) trait Statistic {
    /// The result over nothing.
    const EMPTY: f32;
    /// Takes more values in.
    fn join<N: Numbers>(result: N, value: N) -> N;
}

/// The greatest activation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Max;

impl Statistic for Max {
    const EMPTY: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn join<N: Numbers>(result: N, value: N) -> N {
        result.max(value)
    }
}

/// The greatest activation, where none is negative.
#[derive(Debug, Clone, Default)]
pub(crate) struct RectifiedMax;

impl Statistic for RectifiedMax {
    const EMPTY: f32 = 0.0;
    #[inline(always)]
    fn join<N: Numbers>(result: N, value: N) -> N {
        result.max_from_zero(value)
    }
}

/// The sum of the activations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum;

impl Statistic for Sum {
    const EMPTY: f32 = 0.0;
    #[inline(always)]
    fn join<N: Numbers>(result: N, value: N) -> N {
        result.add(value)
    }
}

/// Results of a sliding window between calls, for 16 filters, in [blocks](Vector).
#[derive(Debug, Clone, Default)]
pub(crate) struct Running {
    /// `back[i]`: over positions `i ..` of the last whole block; the last entry is over nothing.
    back: Vec<Lanes>,
    /// Over the current block up to the current position.
    front: [Lanes; 1],
}

impl Running {
    /// Forgets everything, for windows of `window` positions.
    pub(crate) fn reset<S: Statistic>(&mut self, window: usize) {
        let empty = Lanes([S::EMPTY; WIDTH]);
        self.back.resize(window + 1, empty);
        self.back[window] = empty;
        self.front = [empty];
    }
}

/// Positions that the next step of a sliding window covers, and the windows that it ends. Positions count from
/// the start of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// First position to slide over, counted from the first of all.
    pub(crate) position: usize,
    /// The same position, counted from the start of a block.
    pub(crate) start: usize,
    /// One past the last.
    pub(crate) stop: usize,
    /// First position that has ever been computed.
    pub(crate) valid: usize,
    /// Last position of the next window.
    pub(crate) window_end: usize,
    /// Positions between windows.
    pub(crate) stride: usize,
    /// Windows that end.
    pub(crate) ended: usize,
}

/// Slides one statistic over a [`Step`], for part `part` of the filters.
///
/// `activations`: of all positions from the start of the block that `step.start` lies in, or an earlier one. `out`: one
/// row for each window that ends in the step.
#[inline(always)]
pub(crate) fn slide<S: Statistic, P: Numbers>(
    step: Step,
    part: usize,
    activations: &[P::Row],
    running: &mut Running,
    out: &mut [P::Row],
) {
    let Step { start, stop, valid, window_end, stride, .. } = step;
    let window = running.back.len() - 1;
    if window == 1 && stride == 1 {
        out.copy_from_slice(&activations[start..stop]);
        return;
    }
    let empty = P::splat(S::EMPTY);
    let backs = &mut P::rows_mut(&mut running.back)[part * (window + 1)..][..=window];
    empty.store(&mut backs[window]);
    let front_row = &mut P::rows_mut(&mut running.front)[part];
    let mut front = P::load(front_row);
    let (mut at, mut next) = (start, window_end);
    let mut out = out;
    while at < stop {
        let block = at - at % window;
        let end = (block + window).min(stop);
        // A window that ends at position i of this block starts at position i + 1 of the one before.
        let back = &backs[..];
        while next < end {
            front = join_all::<S, P>(front, &activations[at..next]);
            let run = if stride == 1 { end - next } else { 1 };
            let (ended, later) = out.split_at_mut(run);
            let values = &activations[next..next + run];
            let back = &back[next - block + 1..][..run];
            for ((value, back), out) in values.iter().zip(back).zip(ended) {
                front = S::join(front, P::load(value));
                S::join(P::load(back), front).store(out);
            }
            out = later;
            at = next + run;
            next += run.max(stride);
        }
        front = join_all::<S, P>(front, &activations[at.min(end)..end]);
        at = end;
        if end == block + window {
            let known = valid.max(block);
            backwards::<S, P>(&activations[known..end], &mut backs[known - block..window]);
            front = empty;
        }
    }
    front.store(front_row);
}

/// Takes all of `values` into `result`.
#[inline(always)]
fn join_all<S: Statistic, N: Numbers>(result: N, values: &[N::Row]) -> N {
    let mut result = result;
    for value in values {
        result = S::join(result, N::load(value));
    }
    result
}

/// `back[i]` becomes the result over `values[i ..]`.
#[inline(always)]
fn backwards<S: Statistic, N: Numbers>(values: &[N::Row], back: &mut [N::Row]) {
    let mut result = N::splat(S::EMPTY);
    for (value, back) in values.iter().zip(back).rev() {
        result = S::join(result, N::load(value));
        result.store(back);
    }
}

/// One statistic over all of `values`, for windows that share no positions.
pub(crate) struct Reduce<'a, S> {
    pub(crate) values: &'a [Lanes],
    pub(crate) statistic: PhantomData<S>,
    /// The result becomes vector `at` of this block.
    pub(crate) block: &'a mut [Lanes],
    pub(crate) at: usize,
}

impl<S: Statistic> Task for Reduce<'_, S> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        join_all::<S, V>(V::splat(S::EMPTY), self.values).store_to(self.block, self.at);
    }
}
