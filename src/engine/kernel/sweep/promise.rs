//! The sweep where only windows that may reach a threshold matter, and bounds tell which.

use std::marker::PhantomData;
use std::ops::Range;

use super::{Buffers, GroupState, Job, Sweep};
use crate::engine::kernel::dense::{self, Apply};
use crate::engine::kernel::pool::{Max, RectifiedMax};
use crate::engine::kernel::prune::{BLOCK, BlockMaxima, Bounds, Favour, Windows};
use crate::engine::kernel::simd::Lanes;
use crate::model::Pooling;

impl Sweep<'_> {
    /// The threshold, where it can save work.
    pub(super) fn prunable(&self) -> Option<f32> {
        let Job { network, head, plan, threshold, .. } = self.job;
        let bounded = network.pooling == Pooling::Max && head.weights(0).is_some();
        let worth_it = plan.stride < BLOCK && self.inner >= 4 * BLOCK;
        threshold.filter(|_| bounded && worth_it && self.padding == (0, 0))
    }

    /// Windows that share alignments with their neighbours, where only those that may reach `threshold` matter.
    pub(super) fn promising_windows(&mut self, threshold: f32) {
        let (inner, stride) = (self.inner, self.job.plan.stride);
        let starts = (self.windows - 1) * stride + 1;
        // Activations past the stretch of window starts in hand that its windows cover.
        let tail = (inner + BLOCK).next_multiple_of(BLOCK);
        let stretch = (3 * tail).next_multiple_of(dense::WINDOWS * BLOCK);
        let blocks = stretch / BLOCK;
        let outputs = self.job.network.output.outputs;
        let mut bounds = vec![0.0; outputs * outputs * blocks];
        let slack = self.slack();
        for state in &mut self.buffers.groups {
            state.activations.resize(stretch + tail, Lanes::ZERO);
            state.maxima.resize((stretch + tail) / BLOCK, Lanes::ZERO);
            state.low.resize(blocks, Lanes::ZERO);
            state.high.resize(blocks, Lanes::ZERO);
        }
        let (mut next, mut hopeless) = (0, 0);
        for first in (0..starts).step_by(stretch) {
            for group in 0..self.buffers.groups.len() {
                let known = if first > 0 { tail } else { 0 };
                let state = &mut self.buffers.groups[group];
                state.activations.copy_within(stretch..stretch + known, 0);
                state.maxima.copy_within(blocks..blocks + known / BLOCK, 0);
                let stop = (stretch + tail).min(starts + inner - 1 - first);
                self.convolve(group, first + known, known, stop.max(known));
                self.bound(group, known);
            }
            self.bound_scores(blocks, &mut bounds);
            for block in 0..blocks.min((starts - first).div_ceil(BLOCK)) {
                let at = first + block * BLOCK;
                let from = next;
                let end = starts.min(at + BLOCK);
                next = if stride == 1 { end } else { end.div_ceil(stride) };
                let bound = |output: usize| bounds[(output * outputs + output) * blocks + block];
                if (0..outputs).all(|output| bound(output) < threshold - slack) {
                    hopeless += next - from;
                    continue;
                }
                self.skip(hopeless);
                hopeless = 0;
                self.windows_of_block(block, at, from..next);
            }
        }
        self.skip(hopeless);
    }

    /// Bounds of the maxima of a group, where all but `known` activations are new.
    fn bound(&mut self, group: usize, known: usize) {
        let Buffers { groups, chain, .. } = &mut *self.buffers;
        let GroupState { activations, maxima, low, high, .. } = &mut groups[group];
        chain.resize(maxima.len(), Lanes::ZERO);
        let (window, scratch, activations) = (self.inner, &mut chain[..], &activations[known..]);
        let new = &mut maxima[known / BLOCK..];
        if self.job.network.rectify {
            let statistic = PhantomData::<RectifiedMax>;
            self.job.simd.run(BlockMaxima { activations, statistic, maxima: new });
            self.job.simd.run(Bounds { maxima, window, statistic, scratch, low, high });
        } else {
            let statistic = PhantomData::<Max>;
            self.job.simd.run(BlockMaxima { activations, statistic, maxima: new });
            self.job.simd.run(Bounds { maxima, window, statistic, scratch, low, high });
        }
    }

    /// For each output, the scores of `blocks` blocks at the features that favour it:
    /// `bounds[(favoured * outputs + output) * blocks + block]`.
    fn bound_scores(&mut self, blocks: usize, bounds: &mut [f32]) {
        let Job { head, simd, network, .. } = self.job;
        let outputs = network.output.outputs;
        let Buffers { groups, dense, low, .. } = &mut *self.buffers;
        // The pooled low ends of windows are not in use: such windows have no overhang.
        let features = &mut low.max;
        features.resize(groups.len() * blocks, Lanes::ZERO);
        for (favoured, out) in bounds.chunks_exact_mut(outputs * blocks).enumerate() {
            let weights = head.weights(favoured).unwrap_or_default();
            for ((state, weights), out) in groups.iter().zip(weights).zip(features.chunks_exact_mut(blocks)) {
                simd.run(Favour { weights, low: &state.low, high: &state.high, out });
            }
            simd.run(Apply {
                head,
                features,
                room: blocks,
                windows: blocks,
                scratch: dense,
                out,
                pitch: blocks,
            });
        }
    }

    /// Exact features of `windows`, all those that start in a block, whose first position is `at`.
    fn windows_of_block(&mut self, block: usize, at: usize, windows: Range<usize>) {
        let (count, stride) = (windows.len(), self.job.plan.stride);
        self.make_room(count);
        for group in 0..self.buffers.groups.len() {
            let (Some(place), _) = self.features(group) else { continue };
            let Buffers { groups, features, .. } = &mut *self.buffers;
            let state = &groups[group];
            let mut maxima = [Lanes::ZERO; BLOCK];
            let (activations, window) = (&state.activations[block * BLOCK..], self.inner);
            let (low, out) = (&state.low[block], &mut maxima);
            if self.job.network.rectify {
                let statistic = PhantomData::<RectifiedMax>;
                self.job.simd.run(Windows { activations, window, low, statistic, out });
            } else {
                let statistic = PhantomData::<Max>;
                self.job.simd.run(Windows { activations, window, low, statistic, out });
            }
            for (window, feature) in windows.clone().zip(&mut features[place..place + count]) {
                *feature = maxima[window * stride - at];
            }
        }
        self.filled += count;
    }

    /// Leaves out the next `count` windows.
    fn skip(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.flush();
        for scores in self.scores[self.scored..].chunks_mut(self.windows) {
            scores[..count].fill(f32::NEG_INFINITY);
        }
        self.scored += count;
    }
}
