//! The scan of one strand of a chunk: the stages of the kernel, a tile of positions at a time.
//!
//! Two counts run through this module. Positions are those of alignments, from the first inner alignment of the first window
//! (an inner alignment has all its columns on bases). Windows are counted from the first of the chunk; window i has its
//! inner alignments at positions `i * stride .. i * stride + inner`.

use crate::engine::kernel::geometry::Geometry;
use crate::engine::kernel::prefilter;
use std::marker::PhantomData;
use std::ops::Range;

use crate::engine::kernel::convolve;
use crate::engine::kernel::convolve::{Convolve, Index, Tables, To, advance};
use crate::engine::kernel::dense::{Apply, Head, WINDOWS};
use crate::engine::kernel::padded_edges::{EdgeRecurrence, End, Join, ShortWindow};
use crate::engine::kernel::pool::{Max, RectifiedMax, Reduce, Running, Statistic, Step, Sum, slide};
use crate::engine::kernel::simd::{Lanes, Numbers, Simd, Task, Vector};
use crate::engine::kernel::strand_scan::dedup::DuplicateWindows;
use crate::engine::kernel::strand_scan::hidden_bounds::HiddenLayerBounds;
use crate::engine::kernel::strand_tables::StrandTables;
use crate::engine::kernel::triple::TRIPLE;
use crate::model::{Network, Pooling};
use crate::seq::chunk::Chunk;
use crate::seq::window::WindowPlan;

mod dedup;
mod hidden_bounds;

/// Positions that go through the stages together.
const TILE: usize = 192;

/// Features that are gathered before the dense layers run, in vectors: so many that the tables of half of the filters,
/// which the next half drives out of the first-level cache, are used long enough, and so few that they stay in the
/// second-level cache.
const BATCH: usize = 1536;

/// Windows whose features are gathered, for networks with so many vectors of features: no fewer than a tile can end, and
/// a multiple of [`dense::WINDOWS`](crate::engine::kernel::dense::WINDOWS).
fn room(vectors: usize) -> usize {
    (BATCH / vectors).next_multiple_of(WINDOWS).max(TILE)
}

/// Working memory of a scan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers {
    codes: Vec<u8>,
    triples: Vec<u8>,
    groups: Vec<GroupState>,
    steps: Vec<Step>,
    /// For each vector, a [block](Vector) of windows.
    features: Vec<Lanes>,
    dense: Vec<[Lanes; 2]>,
    letters: Vec<u8>,
    chain: Vec<Lanes>,
    low: Pooled,
    high: Pooled,
    sieve: HiddenLayerBounds,
    repeats: DuplicateWindows,
}

/// State of the scan for one group of filters.
#[derive(Debug, Clone, Default)]
struct GroupState {
    /// A [block](Vector) of positions, or just positions where windows share none.
    activations: Vec<Lanes>,
    /// Sums on their way ([`convolve::advance`]).
    pending: Vec<Lanes>,
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
    /// Takes `length` codes from contig position `from` on, and derives the look-up indices for filters of
    /// `filter_length` columns.
    pub(crate) fn load(&mut self, simd: Simd, chunk: &Chunk, from: i64, length: usize, filter_length: usize) {
        let slack = prefilter::SLACK + convolve::slack(filter_length.div_ceil(TRIPLE));
        let indices = length + slack;
        self.codes.clear();
        chunk.codes_at(from, indices + TRIPLE - 1, &mut self.codes);
        self.triples.resize(indices, 0);
        simd.run(Index { codes: &self.codes, triples: &mut self.triples });
    }

    /// The codes, and the look-up index of each three.
    pub(crate) fn sequence(&self) -> (&[u8], &[u8]) {
        (&self.codes, &self.triples)
    }
}

/// One strand of a chunk to be scored.
#[derive(Clone, Copy)]
pub(crate) struct StrandJob<'a> {
    pub(crate) network: &'a Network,
    pub(crate) side: &'a StrandTables,
    pub(crate) head: &'a Head,
    pub(crate) simd: Simd,
    pub(crate) plan: &'a WindowPlan,
    /// Codes before the first window's first base.
    pub(crate) margin: usize,
    /// Contig position of the first window.
    pub(crate) start: u64,
    /// Scores below this are not wanted.
    pub(crate) threshold: Option<f32>,
}

impl StrandJob<'_> {
    /// Scores `windows` windows into `scores`, `scores[output * windows + window]`. With `promising`, which are in
    /// order, the others get minus infinity.
    pub(crate) fn run(
        self,
        windows: usize,
        promising: Option<&[Range<usize>]>,
        buffers: &mut Buffers,
        scores: &mut [f32],
    ) {
        let StrandJob { network, side, plan, .. } = self;
        let vectors = side.filters.groups.len() * network.pooling.features_per_filter();
        let room = room(vectors);
        buffers.features.resize(vectors * room, Lanes::ZERO);
        buffers.dense.resize(self.head.scratch(), [Lanes::ZERO; 2]);
        buffers.sieve.reset();
        buffers.repeats.reset();
        buffers.groups.resize_with(side.filters.groups.len(), GroupState::default);
        let geometry = Geometry::new(network, side, plan, self.margin);
        let mut sweep =
            StrandScan { job: self, geometry, windows, room, filled: 0, scored: 0, buffers, scores };
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

struct StrandScan<'a> {
    job: StrandJob<'a>,
    geometry: Geometry,
    /// Windows of the chunk.
    windows: usize,
    /// Windows that there is room for.
    room: usize,
    /// Windows whose features are gathered.
    filled: usize,
    /// Windows that have a score.
    scored: usize,
    buffers: &'a mut Buffers,
    scores: &'a mut [f32],
}

impl StrandScan<'_> {
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
        for (group, state) in self.job.side.filters.groups.iter().zip(&mut self.buffers.groups) {
            state.activations.resize(span, Lanes::ZERO);
            state.pending.resize(group.tables.lead(), Lanes::ZERO);
            if self.job.network.rectify {
                state.max.reset::<RectifiedMax>(inner);
            } else {
                state.max.reset::<Max>(inner);
            }
            state.sum.reset::<Sum>(inner);
        }
        let (mut base, mut start, mut window_end) = (0, phase, phase + inner - 1);
        while start < end {
            let mut steps = std::mem::take(&mut self.buffers.steps);
            steps.clear();
            let (fresh, mut windows) = (start == phase, 0);
            while start < end {
                let stop = end.min(base + span).min(start + TILE);
                let ended = stop.saturating_sub(window_end).div_ceil(stride);
                if self.filled + windows + ended > self.room {
                    break;
                }
                steps.push(Step {
                    position: start - phase,
                    start: start - base,
                    stop: stop - base,
                    valid: phase.saturating_sub(base),
                    window_end: window_end - base,
                    stride,
                    ended,
                });
                windows += ended;
                window_end += ended * stride;
                start = stop;
                if start == base + span {
                    base += span;
                }
            }
            for group in 0..self.buffers.groups.len() {
                self.pool(group, first, &steps, fresh);
                self.add_overhang(group, windows);
            }
            self.filled += windows;
            self.buffers.steps = steps;
            if start < end {
                self.flush();
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
                self.reduce(group, window * self.job.plan.stride);
                self.add_overhang(group, 1);
            }
            self.filled += 1;
        }
    }

    /// Windows shorter than the filters.
    fn short_windows(&mut self, range: Range<usize>) {
        let StrandJob { network, side, simd, plan, margin, .. } = self.job;
        for window in range {
            self.make_room(1);
            for (g, group) in side.filters.groups.iter().enumerate() {
                let (mut max, mut sum) = (Lanes::ZERO, Lanes::ZERO);
                simd.run(ShortWindow {
                    group,
                    window: &self.buffers.codes[margin + window * plan.stride..][..plan.window],
                    padding: self.geometry.padding,
                    rectify: network.rectify,
                    max: &mut max,
                    sum: &mut sum,
                });
                let at = self.filled;
                let blocks = self.features(g);
                for (block, result) in [blocks.0, blocks.1].into_iter().zip([max, sum]) {
                    if let Some(block) = block {
                        simd.run(Put { block, at, vector: &result });
                    }
                }
            }
            self.filled += 1;
        }
    }

    /// Indices of a group's maxima and sums among the features, where they are used.
    fn features(&mut self, group: usize) -> (Option<&mut [Lanes]>, Option<&mut [Lanes]>) {
        let (pooling, groups) = (self.job.network.pooling, self.buffers.groups.len());
        blocks(&mut self.buffers.features, pooling, groups, group, self.room)
    }

    /// Activations of a group in some steps, pooled. The first window's alignments lie from position `first` on; `fresh`:
    /// these are the first steps.
    fn pool(&mut self, group: usize, first: usize, steps: &[Step], fresh: bool) {
        let StrandJob { side, network, simd, .. } = self.job;
        let Buffers { triples, groups, features, .. } = &mut *self.buffers;
        let (max, sum) = blocks(features, network.pooling, groups.len(), group, self.room);
        simd.run(Pool {
            tables: &side.filters.groups[group].tables,
            triples: &triples[self.geometry.origin + first..],
            rectify: network.rectify,
            steps,
            fresh,
            state: &mut groups[group],
            max: max.unwrap_or_default(),
            sum: sum.unwrap_or_default(),
            at: self.filled,
        });
    }

    /// Pools one window of a group, whose alignments lie from `position` on.
    fn reduce(&mut self, group: usize, position: usize) {
        let StrandJob { side, network, simd, .. } = self.job;
        let at = self.filled;
        let Buffers { triples, groups, features, .. } = &mut *self.buffers;
        let (max, sum) = blocks(features, network.pooling, groups.len(), group, self.room);
        let values = &mut groups[group].activations[..self.geometry.inner];
        simd.run(Convolve {
            tables: &side.filters.groups[group].tables,
            triples: &triples[self.geometry.origin + position..],
            rectify: network.rectify,
            out: values,
            to: To::Vectors,
        });
        if let Some(block) = max {
            simd.run(Reduce { values, statistic: PhantomData::<Max>, block, at });
        }
        if let Some(block) = sum {
            simd.run(Reduce { values, statistic: PhantomData::<Sum>, block, at });
        }
    }

    /// Adds the overhanging alignments of the next `count` windows to their features.
    fn add_overhang(&mut self, group: usize, count: usize) {
        if self.geometry.padding == (0, 0) {
            return;
        }
        for from in (0..count).step_by(TILE) {
            self.add_overhang_to(group, self.filled + from, TILE.min(count - from));
        }
    }

    /// As [`add_overhang`](StrandScan::add_overhang), to `count` windows from the one at `at` among the features on.
    fn add_overhang_to(&mut self, group: usize, at: usize, count: usize) {
        let StrandJob { side, network, simd, plan, margin, .. } = self.job;
        let Buffers { codes, triples, groups, features, letters, chain, low, high, .. } = &mut *self.buffers;
        let (max_block, sum_block) = blocks(features, network.pooling, groups.len(), group, self.room);
        let first = margin + (self.scored + at) * plan.stride;
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
            let reversed = end == End::Low;
            if reversed {
                letters.reverse();
            }
            pooled.max.resize(if max_block.is_some() { length } else { 0 }, Lanes::ZERO);
            pooled.sum.resize(if sum_block.is_some() { length } else { 0 }, Lanes::ZERO);
            let (max, sum) = (&mut pooled.max, &mut pooled.sum);
            simd.run(EdgeRecurrence { overhang, letters, sums: chain, reversed, max, sum });
        }
        let (stride, low_skip, high_skip) = (plan.stride, low_end.warm_up(), high_end.warm_up());
        let (from, to) = (at, at + count);
        if let Some(block) = max_block {
            let (low, high, statistic) = (&low.max, &high.max, PhantomData::<Max>);
            simd.run(Join { low, low_skip, high, high_skip, stride, statistic, block, from, to });
        }
        if let Some(block) = sum_block {
            let (low, high, statistic) = (&low.sum, &high.sum, PhantomData::<Sum>);
            simd.run(Join { low, low_skip, high, high_skip, stride, statistic, block, from, to });
        }
    }

    /// Scores the windows gathered unless there is room for `more`.
    fn make_room(&mut self, more: usize) {
        if self.filled + more > self.room {
            self.flush();
        }
    }

    /// Scores the windows gathered.
    fn flush(&mut self) {
        if self.filled == 0 {
            return;
        }
        if !self.bound_hidden_layer() && !self.share_repeats() {
            let Buffers { features, dense, .. } = &mut *self.buffers;
            self.job.simd.run(Apply {
                head: self.job.head,
                features,
                room: self.room,
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

/// The blocks of a group's maxima and sums among the features, where they are wanted: all maxima come before all sums.
fn blocks(
    features: &mut [Lanes],
    pooling: Pooling,
    groups: usize,
    group: usize,
    room: usize,
) -> (Option<&mut [Lanes]>, Option<&mut [Lanes]>) {
    let (maxima, sums) = features.split_at_mut(if pooling.has_max() { groups * room } else { 0 });
    let place = group * room..(group + 1) * room;
    (maxima.get_mut(place.clone()), sums.get_mut(place))
}

/// Activations of a group along a sequence, and what windows pool of them, for one part of the filters after the other.
struct Pool<'a> {
    tables: &'a Tables,
    /// Indices, from that of the first position on.
    triples: &'a [u8],
    rectify: bool,
    steps: &'a [Step],
    /// True if these are the first steps.
    fresh: bool,
    state: &'a mut GroupState,
    /// [Blocks](Vector) of windows; empty where they are not wanted.
    max: &'a mut [Lanes],
    sum: &'a mut [Lanes],
    /// The first window among them.
    at: usize,
}

impl Task for Pool<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        if self.rectify { self.pool::<V::Part, RectifiedMax>() } else { self.pool::<V::Part, Max>() }
    }
}

impl Pool<'_> {
    #[inline(always)]
    fn pool<P: Numbers, M: Statistic>(self) {
        let Pool { tables, triples, rectify, steps, fresh, state, max, sum, at } = self;
        let GroupState { activations, pending, max: running_max, sum: running_sum } = state;
        let (span, lead, room) = (activations.len(), tables.lead(), max.len().max(sum.len()));
        for part in 0..P::PARTS {
            let activations = &mut P::rows_mut(activations)[part * span..][..span];
            let pending = &mut P::rows_mut(pending)[part * lead..][..lead];
            if fresh {
                advance::<P>(tables, part, triples, rectify, pending, 0, &mut activations[..lead]);
            }
            let mut at = part * room + at;
            for &step in steps {
                let out = &mut activations[step.start..step.stop];
                let turn = step.position % TRIPLE;
                advance::<P>(tables, part, &triples[step.position + lead..], rectify, pending, turn, out);
                if !max.is_empty() {
                    let out = &mut P::rows_mut(max)[at..at + step.ended];
                    slide::<M, P>(step, part, activations, running_max, out);
                }
                if !sum.is_empty() {
                    let out = &mut P::rows_mut(sum)[at..at + step.ended];
                    slide::<Sum, P>(step, part, activations, running_sum, out);
                }
                at += step.ended;
            }
        }
    }
}

/// Writes one vector of a block.
struct Put<'a> {
    block: &'a mut [Lanes],
    at: usize,
    vector: &'a Lanes,
}

impl Task for Put<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        V::load(self.vector).store_to(self.block, self.at);
    }
}
