//! The sweep of one strand over a chunk: the stages of the kernel, a tile of positions at a time.
//!
//! Two counts run through it. Positions are those of alignments, from the first inner alignment of the first window
//! (an inner alignment has all its columns on bases). Windows are counted from the first of the chunk; window i has
//! its inner alignments at positions `i * stride .. i * stride + inner`.

use std::marker::PhantomData;
use std::ops::Range;

use self::sift::Sieve;
use super::convolve::{self, Convolve, Index};
use super::dense::{Apply, Head};
use super::overhang::{Chain, End, Join, Short};
use super::pool::{Max, RectifiedMax, Reduce, Running, Slide, Step, Sum};
use super::simd::{Lanes, Simd};
use super::{Side, detector};
use crate::engine::{Context, WindowPlan};
use crate::model::Network;
use crate::source::Chunk;

pub(super) mod promise;
mod sift;

/// Positions that go through the stages together.
const TILE: usize = 192;

/// Windows whose features are gathered before the dense layers run: no fewer than a tile can end, and a multiple of
/// [`dense::WINDOWS`](super::dense::WINDOWS).
const BATCH: usize = 192;

/// Working memory of a sweep.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers {
    codes: Vec<u8>,
    triples: Vec<u8>,
    groups: Vec<GroupState>,
    /// `features[vector * BATCH + window]`.
    features: Vec<Lanes>,
    dense: Vec<[Lanes; 2]>,
    letters: Vec<u8>,
    chain: Vec<Lanes>,
    low: Pooled,
    high: Pooled,
    sieve: Sieve,
}

/// Where the sweep stands for one group of detectors.
#[derive(Debug, Clone, Default)]
struct GroupState {
    activations: Vec<Lanes>,
    max: Running,
    sum: Running,
}

/// Pooled alignments of one end of consecutive windows.
#[derive(Debug, Clone, Default)]
struct Pooled {
    max: Vec<Lanes>,
    sum: Vec<Lanes>,
}

impl Buffers {
    /// Takes `length` codes from contig position `from` on, and derives the look-up indices for detectors of
    /// `detector_length` columns.
    pub(super) fn load(
        &mut self,
        simd: Simd,
        chunk: &Chunk,
        from: i64,
        length: usize,
        detector_length: usize,
    ) {
        let slack = promise::SLACK + convolve::slack(detector_length.div_ceil(detector::TRIPLE));
        let indices = length + slack;
        self.codes.clear();
        chunk.codes_at(from, indices + detector::TRIPLE - 1, &mut self.codes);
        self.triples.resize(indices, 0);
        simd.run(Index { codes: &self.codes, triples: &mut self.triples });
    }

    /// The codes, and the look-up index of each three.
    pub(super) fn sequence(&self) -> (&[u8], &[u8]) {
        (&self.codes, &self.triples)
    }
}

/// How far the bound of a score may be below it.
fn slack(network: &Network) -> f32 {
    // The library's exponential may be off by a last bit, and then a bound too.
    if network.sigmoid { 1e-6 } else { 0.0 }
}

/// One strand of a chunk to be scored.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) network: &'a Network,
    pub(super) side: &'a Side,
    pub(super) head: &'a Head,
    pub(super) simd: Simd,
    pub(super) plan: &'a WindowPlan,
    /// Codes before the first window's first base.
    pub(super) margin: usize,
    /// Contig position of the first window.
    pub(super) start: u64,
    /// Scores below this are not wanted.
    pub(super) threshold: Option<f32>,
}

/// Where the alignments of windows lie.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    /// Padding columns before and after each window.
    padding: (usize, usize),
    /// Inner alignments of a window.
    inner: usize,
    /// Where the alignment at position 0 starts in the codes.
    origin: usize,
}

impl Geometry {
    fn new(network: &Network, side: &Side, plan: &WindowPlan, margin: usize) -> Geometry {
        let detectors = &side.detectors;
        let padded = plan.context == Context::Padding;
        let padding = if padded { (detectors.before, detectors.after) } else { (0, 0) };
        let bases = if padded { plan.window } else { plan.window + detectors.before + detectors.after };
        let inner = (bases + 1).saturating_sub(network.detector_length);
        let origin = if padded { margin } else { margin - detectors.before };
        Geometry { padding, inner, origin }
    }
}

impl Job<'_> {
    /// Scores `windows` windows into `scores`, `scores[output * windows + window]`. With `promising`, which are in
    /// order, the others get minus infinity.
    pub(super) fn run(
        self,
        windows: usize,
        promising: Option<&[Range<usize>]>,
        buffers: &mut Buffers,
        scores: &mut [f32],
    ) {
        let Job { network, side, plan, .. } = self;
        let vectors = side.detectors.groups.len() * network.pooling.features_per_detector();
        buffers.features.resize(vectors * BATCH, Lanes::ZERO);
        buffers.dense.resize(self.head.scratch(), [Lanes::ZERO; 2]);
        buffers.sieve.reset();
        buffers.groups.resize_with(side.detectors.groups.len(), GroupState::default);
        let geometry = Geometry::new(network, side, plan, self.margin);
        let mut sweep = Sweep { job: self, geometry, windows, filled: 0, scored: 0, buffers, scores };
        match promising {
            None => sweep.score(0..windows),
            Some(ranges) => {
                for range in ranges {
                    sweep.skip(range.start);
                    sweep.score(range.clone());
                }
                sweep.skip(windows);
            }
        }
    }
}

struct Sweep<'a> {
    job: Job<'a>,
    geometry: Geometry,
    /// Windows of the chunk.
    windows: usize,
    /// Windows whose features are gathered.
    filled: usize,
    /// Windows that have a score.
    scored: usize,
    buffers: &'a mut Buffers,
    scores: &'a mut [f32],
}

impl Sweep<'_> {
    /// Scores the windows `range`; those before have their scores.
    fn score(&mut self, range: Range<usize>) {
        let Geometry { padding, inner, .. } = self.geometry;
        if padding != (0, 0) && inner == 0 {
            self.short_windows(range);
        } else if self.job.plan.stride <= inner {
            self.overlapping_windows(range);
        } else {
            self.separate_windows(range);
        }
        self.flush();
    }

    /// Leaves out the windows before `next`.
    fn skip(&mut self, next: usize) {
        for scores in self.scores.chunks_mut(self.windows) {
            scores[self.scored..next].fill(f32::NEG_INFINITY);
        }
        self.scored = next;
    }

    /// Windows that share alignments with their neighbours.
    fn overlapping_windows(&mut self, range: Range<usize>) {
        let (inner, stride) = (self.geometry.inner, self.job.plan.stride);
        let first = range.start * stride;
        // Positions are counted from the start of a block here. Blocks keep their place in the contig.
        let phase = ((self.job.start + first as u64) % inner as u64) as usize;
        let end = phase + (range.len() - 1) * stride + inner;
        let span = inner * (TILE / inner).max(1);
        for state in &mut self.buffers.groups {
            state.activations.resize(span, Lanes::ZERO);
            state.max.reset(inner);
            state.sum.reset(inner);
        }
        let (mut base, mut start, mut window_end) = (0, phase, phase + inner - 1);
        while start < end {
            let stop = end.min(base + span).min(start + TILE);
            let ended = stop.saturating_sub(window_end).div_ceil(stride);
            self.make_room(ended);
            let step = Step {
                start: start - base,
                stop: stop - base,
                valid: phase.saturating_sub(base),
                window_end: window_end - base,
                stride,
            };
            for group in 0..self.buffers.groups.len() {
                self.convolve(group, first + start - phase, step.start, step.stop);
                self.slide(group, step, ended);
                self.add_overhang(group, ended);
            }
            self.filled += ended;
            window_end += ended * stride;
            start = stop;
            if start == base + span {
                base += span;
            }
        }
    }

    /// Windows that share no alignments.
    fn separate_windows(&mut self, range: Range<usize>) {
        let inner = self.geometry.inner;
        for window in range {
            self.make_room(1);
            for group in 0..self.buffers.groups.len() {
                let state = &mut self.buffers.groups[group];
                if state.activations.len() < inner {
                    state.activations.resize(inner, Lanes::ZERO);
                }
                self.convolve(group, window * self.job.plan.stride, 0, inner);
                self.reduce(group);
                self.add_overhang(group, 1);
            }
            self.filled += 1;
        }
    }

    /// Windows shorter than the detectors.
    fn short_windows(&mut self, range: Range<usize>) {
        let Job { network, side, simd, plan, margin, .. } = self.job;
        for window in range {
            self.make_room(1);
            for (g, group) in side.detectors.groups.iter().enumerate() {
                let (mut max, mut sum) = (Lanes::ZERO, Lanes::ZERO);
                simd.run(Short {
                    group,
                    window: &self.buffers.codes[margin + window * plan.stride..][..plan.window],
                    padding: self.geometry.padding,
                    rectify: network.rectify,
                    max: &mut max,
                    sum: &mut sum,
                });
                let (max_at, sum_at) = self.features(g);
                for (at, result) in [(max_at, max), (sum_at, sum)] {
                    if let Some(at) = at {
                        self.buffers.features[at] = result;
                    }
                }
            }
            self.filled += 1;
        }
    }

    /// Activations of a group from `position` on into `activations[start .. stop]`.
    fn convolve(&mut self, group: usize, position: usize, start: usize, stop: usize) {
        let Buffers { triples, groups, .. } = &mut *self.buffers;
        self.job.simd.run(Convolve {
            tables: &self.job.side.detectors.groups[group].tables,
            triples: &triples[self.geometry.origin + position..],
            rectify: self.job.network.rectify,
            out: &mut groups[group].activations[start..stop],
        });
    }

    /// Where a group's maxima and sums of the next window go among the features, where they are wanted.
    fn features(&self, group: usize) -> (Option<usize>, Option<usize>) {
        let pooling = self.job.network.pooling;
        let sums = if pooling.has_max() { self.buffers.groups.len() } else { 0 };
        let place = |vector: usize| vector * BATCH + self.filled;
        (pooling.has_max().then(|| place(group)), pooling.has_average().then(|| place(sums + group)))
    }

    /// Pools a step of a group, which ends `ended` windows.
    fn slide(&mut self, group: usize, step: Step, ended: usize) {
        let (max_at, sum_at) = self.features(group);
        let Buffers { groups, features, .. } = &mut *self.buffers;
        let GroupState { activations, max, sum, .. } = &mut groups[group];
        if let Some(at) = max_at {
            let out = &mut features[at..at + ended];
            if self.job.network.rectify {
                let statistic = PhantomData::<RectifiedMax>;
                self.job.simd.run(Slide { step, activations, running: max, statistic, out });
            } else {
                let statistic = PhantomData::<Max>;
                self.job.simd.run(Slide { step, activations, running: max, statistic, out });
            }
        }
        if let Some(at) = sum_at {
            let out = &mut features[at..at + ended];
            let statistic = PhantomData::<Sum>;
            self.job.simd.run(Slide { step, activations, running: sum, statistic, out });
        }
    }

    /// Pools one window of a group, whose activations are in hand.
    fn reduce(&mut self, group: usize) {
        let (max_at, sum_at) = self.features(group);
        let Buffers { groups, features, .. } = &mut *self.buffers;
        let values = &groups[group].activations[..self.geometry.inner];
        if let Some(at) = max_at {
            self.job.simd.run(Reduce { values, statistic: PhantomData::<Max>, out: &mut features[at] });
        }
        if let Some(at) = sum_at {
            self.job.simd.run(Reduce { values, statistic: PhantomData::<Sum>, out: &mut features[at] });
        }
    }

    /// Adds the overhanging alignments of the next `count` windows to their features.
    fn add_overhang(&mut self, group: usize, count: usize) {
        if self.geometry.padding == (0, 0) || count == 0 {
            return;
        }
        let Job { side, simd, plan, margin, .. } = self.job;
        let (max_at, sum_at) = self.features(group);
        let Buffers { codes, triples, features, letters, chain, low, high, .. } = &mut *self.buffers;
        let first = margin + (self.scored + self.filled) * plan.stride;
        let bases = (count - 1) * plan.stride + 1;
        let last_base = first + plan.window - 1;
        let [low_end, high_end] = &side.ends[group];
        for (overhang, end, pooled) in [(low_end, End::Low, &mut *low), (high_end, End::High, &mut *high)] {
            let length = bases + overhang.warm_up();
            let from = if end == End::Low { first } else { last_base - overhang.warm_up() };
            letters.clear();
            letters.extend_from_slice(&codes[from..from + length]);
            chain.resize(length, Lanes::ZERO);
            let columns = overhang.head_columns();
            let head_from = if end == End::Low || columns == 0 { from } else { from + 1 - columns };
            overhang.start(simd, &triples[head_from..], chain);
            if end == End::Low {
                letters.reverse();
                chain.reverse();
            }
            pooled.max.resize(if max_at.is_some() { length } else { 0 }, Lanes::ZERO);
            pooled.sum.resize(if sum_at.is_some() { length } else { 0 }, Lanes::ZERO);
            let (max, sum) = (&mut pooled.max, &mut pooled.sum);
            simd.run(Chain { overhang, letters, sums: chain, max, sum });
        }
        let (stride, low_warm, high_warm) = (plan.stride, low_end.warm_up(), high_end.warm_up());
        if let Some(at) = max_at {
            let (low, high) = (&low.max[low_warm..], &high.max[high_warm..]);
            let out = &mut features[at..at + count];
            simd.run(Join { low, high, stride, statistic: PhantomData::<Max>, out });
        }
        if let Some(at) = sum_at {
            let (low, high) = (&low.sum[low_warm..], &high.sum[high_warm..]);
            let out = &mut features[at..at + count];
            simd.run(Join { low, high, stride, statistic: PhantomData::<Sum>, out });
        }
    }

    /// Scores the windows gathered unless there is room for `more`.
    fn make_room(&mut self, more: usize) {
        if self.filled + more > BATCH {
            self.flush();
        }
    }

    /// Scores the windows gathered.
    fn flush(&mut self) {
        if self.filled == 0 {
            return;
        }
        if !self.sift() {
            let Buffers { features, dense, .. } = &mut *self.buffers;
            self.job.simd.run(Apply {
                head: self.job.head,
                features,
                room: BATCH,
                windows: self.filled,
                scratch: dense,
                out: &mut self.scores[self.scored..],
                pitch: self.windows,
            });
        }
        self.scored += self.filled;
        self.filled = 0;
    }
}
