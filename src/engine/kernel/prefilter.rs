//! The prefilter: finds the windows of a chunk that may reach a threshold, from bounds on [`quantized`] activations.
//!
//! Eight neighbouring windows have much the same maxima. With each maximum at the bound that favours the score, the dense
//! layers give at least the score of any of the eight: floating-point multiplication and addition are monotone, rounding
//! included, and a bound is made by the same operations as a score.

pub(crate) mod quantized;
use std::ops::Range;

use crate::engine::kernel::dense::{Apply, Head, WINDOWS};
use crate::engine::kernel::geometry::{Geometry, slack};
use crate::engine::kernel::prefilter::quantized::end::{EdgeRecurrence, pair};
use crate::engine::kernel::prefilter::quantized::table::{Minima, SIDE};
use crate::engine::kernel::prefilter::quantized::window::{Decode, Favour, Windows};
use crate::engine::kernel::prefilter::quantized::{BLOCK, PackedGroup, QuantizedBounds};
use crate::engine::kernel::simd::{Lanes, Row, Simd, Task, Vector};
use crate::engine::kernel::strand_tables::StrandTables;
use crate::model::Network;
use crate::seq::window::WindowPlan;

/// Window starts that go through the stages together.
const STRETCH: usize = 1024;

/// Blocks in a stretch.
const BLOCKS: usize = STRETCH / BLOCK;

/// Blocks that a hidden layer is first tried on together, and how many such there are in a stretch.
const MERGE: usize = 4;
const MERGED: usize = BLOCKS / MERGE;
const _: () = assert!(MERGED.is_multiple_of(WINDOWS));

/// Codes that are read, but need not mean anything, past those that windows look at.
pub(crate) const SLACK: usize = 4 * BLOCK;

/// Stretches that are not looked at after one that was not worth it; twice as many after the next such, and so on.
const PAUSE: usize = 7;

/// Working memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrefilterBuffers {
    /// Least deficits of a few positions side by side, for each rank.
    units: Vec<Vec<Row>>,
    scratch: Vec<Row>,
    pairs: Vec<u8>,
    edge: Vec<[Row; 2]>,
    low: Vec<Row>,
    high: Vec<Row>,
    least: Vec<Row>,
    greatest: Vec<Row>,
    /// Bounds of features, for each strand those from above and those from below: for each group a [block](Vector) of
    /// `BLOCKS` vectors.
    bounds: [[Vec<Lanes>; 2]; 2],
    features: Vec<Lanes>,
    dense: Vec<[Lanes; 2]>,
    scores: Vec<f32>,
    all_scores: Vec<f32>,
    kept: Vec<usize>,
    /// Promising windows of each strand, in order, and apart from each other.
    pub(crate) candidates: [Vec<Range<usize>>; 2],
}

/// A look at a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Prefilter<'a> {
    network: &'a Network,
    quantized: &'a QuantizedBounds,
    head: &'a Head,
    simd: Simd,
    plan: &'a WindowPlan,
    geometry: Geometry,
    threshold: f32,
    codes: &'a [u8],
    triples: &'a [u8],
}

impl<'a> Prefilter<'a> {
    /// Tables for examining the codes in `buffers`, or `None` where a prefilter would save nothing.
    pub(crate) fn new(
        (network, side, quantized, head): (&'a Network, &StrandTables, &'a QuantizedBounds, &'a Head),
        simd: Simd,
        plan: &'a WindowPlan,
        margin: usize,
        threshold: f32,
        (codes, triples): (&'a [u8], &'a [u8]),
    ) -> Option<Prefilter<'a>> {
        let geometry = Geometry::new(network, side, plan, margin);
        let bounded = head.weights(0).is_some() || !head.bounds().is_empty();
        let look = Prefilter { network, quantized, head, simd, plan, geometry, threshold, codes, triples };
        (bounded && plan.stride < BLOCK && plan.stride <= geometry.inner).then_some(look)
    }

    /// Finds the candidates ones of `windows` windows, on each strand that is scanned.
    pub(crate) fn find(self, windows: usize, buffers: &mut PrefilterBuffers) {
        let stride = self.plan.stride;
        let starts = (windows - 1) * stride + 1;
        buffers.candidates.iter_mut().for_each(Vec::clear);
        let strands: Vec<usize> = [0, 1]
            .into_iter()
            .filter(|strand| self.quantized.halves.iter().any(|half| half.strand == *strand))
            .collect();
        // Windows that cost as much as starting anew.
        let anew = self.geometry.inner.max(self.network.filter_length).div_ceil(stride);
        let (mut pause, mut next_pause, mut known) = (0, PAUSE, false);
        for at in (0..starts).step_by(STRETCH) {
            let window = |start: usize| start.min(starts).div_ceil(stride);
            let all = window(at)..window(at + STRETCH);
            let before = strands.iter().map(|&strand| buffers.candidates[strand].len()).collect::<Vec<_>>();
            let mut cost = 0;
            let looked = pause == 0;
            if looked {
                let blocks = BLOCKS.min((starts - at).div_ceil(BLOCK));
                self.bound_features(at, blocks, known, buffers);
                for &strand in &strands {
                    self.bound_scores(strand, blocks, buffers);
                    let outputs = self.network.output.outputs;
                    let threshold = self.lowest();
                    let candidates = &mut buffers.candidates[strand];
                    for block in 0..blocks {
                        // NaN is no bound.
                        let bound = |output: usize| buffers.scores[output * BLOCKS + block];
                        if (0..outputs).all(|output| bound(output) < threshold) {
                            continue;
                        }
                        let from = at + block * BLOCK;
                        cost += extend(candidates, window(from)..window(from + BLOCK), anew);
                    }
                }
            } else {
                pause -= 1;
            }
            known = looked;
            // Looking costs up to half as much as scoring.
            let worth_it = looked && 5 * cost < 2 * strands.len() * all.len();
            if worth_it {
                next_pause = PAUSE;
            } else {
                if looked {
                    (pause, next_pause) = (next_pause, 2 * next_pause);
                }
                for (&strand, before) in strands.iter().zip(before) {
                    let candidates = &mut buffers.candidates[strand];
                    candidates.truncate(before);
                    // The last of those before may have been extended into this stretch.
                    if let Some(last) = candidates.last_mut() {
                        last.end = last.end.min(all.start);
                    }
                    extend(candidates, all.clone(), anew);
                }
            }
        }
    }

    /// Bounds of what the windows pool that start in `blocks` blocks from position `at` on. `known`: the stretch
    /// before has been looked at.
    fn bound_features(self, at: usize, blocks: usize, known: bool, buffers: &mut PrefilterBuffers) {
        let Geometry { inner, .. } = self.geometry;
        // Units of two positions are closer to what short windows cover.
        let unit = if inner >= 5 * BLOCK { BLOCK } else { 2 };
        let groups = self.quantized.halves.iter().map(|half| half.group + 1).max().unwrap_or(0);
        for bounds in buffers.bounds.as_flattened_mut() {
            bounds.resize(groups * BLOCKS, Lanes::ZERO);
        }
        buffers.least.resize(blocks, Row::FULL);
        buffers.greatest.resize(blocks, Row::FULL);
        buffers.units.resize_with(self.quantized.ranks.len(), Vec::new);
        for (rank, halves) in (0..).zip(self.quantized.halves.chunks(2)) {
            let tables = &self.quantized.ranks[rank];
            self.convolve(rank, at, blocks, unit, known, buffers);
            self.overhang(tables, at, blocks, buffers);
            let PrefilterBuffers { units, scratch, low, high, least, greatest, bounds, .. } = &mut *buffers;
            scratch.resize(units[rank].len(), Row::ZERO);
            let warm_up = |overhang: &[Row]| overhang.len().saturating_sub(blocks * BLOCK / 2);
            self.simd.run(Windows {
                units: &units[rank],
                unit,
                inner,
                low: &low[warm_up(low)..],
                high: &high[warm_up(high)..],
                outside: &tables.outside,
                scratch,
                least,
                greatest,
            });
            let rectify = self.network.rectify;
            for (side, half) in halves.iter().enumerate() {
                let place = half.group * BLOCKS..(half.group + 1) * BLOCKS;
                for (above, deficits) in [(true, &*least), (false, &*greatest)] {
                    let out = &mut bounds[half.strand][usize::from(!above)][place.clone()];
                    self.simd.run(Decode { deficits, side, half, above, rectify, out });
                }
            }
        }
    }

    /// Least deficits of the positions that the windows of a stretch cover.
    fn convolve(
        self,
        rank: usize,
        at: usize,
        blocks: usize,
        unit: usize,
        known: bool,
        buffers: &mut PrefilterBuffers,
    ) {
        let Geometry { inner, origin, .. } = self.geometry;
        let units = &mut buffers.units[rank];
        let positions = (blocks * BLOCK + inner + BLOCK).next_multiple_of(SIDE);
        let mut done = 0;
        if known {
            let tail = units.len() - STRETCH / unit;
            units.copy_within(STRETCH / unit.., 0);
            done = tail.min(positions / unit);
        }
        units.resize(positions / unit, Row::FULL);
        let triples = &self.triples[origin + at + done * unit..];
        let (tables, out) = (&self.quantized.ranks[rank].tables, &mut units[done..]);
        if unit == 2 {
            self.simd.run(Minima::<2> { tables, triples, out });
        } else {
            self.simd.run(Minima::<BLOCK> { tables, triples, out });
        }
    }

    /// Least deficits of what overhangs the ends of the windows of a stretch.
    fn overhang(self, rank: &PackedGroup, at: usize, blocks: usize, buffers: &mut PrefilterBuffers) {
        let PrefilterBuffers { pairs, edge, low, high, .. } = buffers;
        let Some([low_end, high_end]) = &rank.ends else {
            low.clear();
            high.clear();
            return;
        };
        let count = blocks * BLOCK / 2;
        let first = self.geometry.origin + at;
        pairs.clear();
        let codes = self.codes[first..first + 2 * (count + low_end.warm_up())].as_chunks::<2>().0;
        pairs.extend(codes.iter().rev().map(|&[a, b]| pair(a, b)));
        low.resize(pairs.len(), Row::FULL);
        self.simd.run(EdgeRecurrence { end: low_end, pairs, edge, out: low });
        pairs.clear();
        let last = first + self.plan.window - 1;
        let codes = self.codes[last - 2 * high_end.warm_up()..last + 2 * count].as_chunks::<2>().0;
        pairs.extend(codes.iter().map(|&[b, a]| pair(a, b)));
        high.resize(pairs.len(), Row::FULL);
        self.simd.run(EdgeRecurrence { end: high_end, pairs, edge, out: high });
    }

    /// For each output, bounds of the scores of `blocks` blocks: `scores[output * BLOCKS + block]`.
    fn bound_scores(self, strand: usize, blocks: usize, buffers: &mut PrefilterBuffers) {
        let outputs = self.network.output.outputs;
        buffers.scores.resize(outputs * BLOCKS, 0.0);
        buffers.all_scores.resize(outputs * BLOCKS, 0.0);
        buffers.dense.resize(self.head.scratch(), [Lanes::ZERO; 2]);
        for output in 0..outputs {
            if let Some(weights) = self.head.weights(output) {
                self.bound_linear(output, weights, strand, blocks, buffers);
            } else if let Some(head) = self.head.bounds().get(output) {
                self.bound_hidden(output, head, strand, blocks, buffers);
            }
        }
    }

    /// Bounds of an output that is linear in the features.
    fn bound_linear(
        self,
        output: usize,
        weights: &[Lanes],
        strand: usize,
        blocks: usize,
        buffers: &mut PrefilterBuffers,
    ) {
        let Prefilter { head, simd, .. } = self;
        let PrefilterBuffers { bounds, features, dense, scores, all_scores, .. } = buffers;
        let [above, below] = &bounds[strand];
        let features = if weights.iter().all(|weights| weights.0.iter().all(|&x| x >= 0.0)) {
            above
        } else {
            features.resize(above.len(), Lanes::ZERO);
            let rows = above.chunks(BLOCKS).zip(below.chunks(BLOCKS)).zip(features.chunks_mut(BLOCKS));
            for (((greatest, least), out), weights) in rows.zip(weights) {
                simd.run(Favour { weights, least, greatest, out });
            }
            features
        };
        // All outputs are computed for features that favour this one.
        let (windows, out) = (blocks, &mut all_scores[..]);
        simd.run(Apply { head, features, room: BLOCKS, windows, scratch: dense, out, pitch: BLOCKS });
        let own = output * BLOCKS..output * BLOCKS + blocks;
        scores[own.clone()].copy_from_slice(&all_scores[own]);
    }

    /// Bounds of an output behind a hidden layer, which `head` gives: of several blocks together, and then of each
    /// where those may reach the threshold; minus infinity for the others.
    fn bound_hidden(
        self,
        output: usize,
        head: &Head,
        strand: usize,
        blocks: usize,
        buffers: &mut PrefilterBuffers,
    ) {
        let simd = self.simd;
        let PrefilterBuffers { bounds, features, dense, scores, all_scores, kept, .. } = buffers;
        let rows = bounds[strand][0].chunks(BLOCKS).zip(bounds[strand][1].chunks(BLOCKS));
        features.resize(2 * bounds[strand][0].len(), Lanes::ZERO);
        for ((above, below), out) in rows.clone().zip(features.chunks_mut(2 * MERGED)) {
            let (greatest, least) = out.split_at_mut(MERGED);
            simd.run(Merge { above, below, blocks, greatest, least });
        }
        let (windows, out) = (blocks.div_ceil(MERGE), &mut all_scores[..]);
        simd.run(Apply { head, features, room: MERGED, windows, scratch: dense, out, pitch: BLOCKS });
        let scores = &mut scores[output * BLOCKS..][..blocks];
        kept.clear();
        for (block, score) in scores.iter_mut().enumerate() {
            *score = all_scores[output * BLOCKS + block / MERGE];
            if *score < self.lowest() {
                *score = f32::NEG_INFINITY;
            } else {
                kept.push(block);
            }
        }
        if kept.is_empty() {
            return;
        }
        for ((above, below), out) in rows.zip(features.chunks_mut(2 * BLOCKS)) {
            let (greatest, least) = out.split_at_mut(BLOCKS);
            simd.run(Pick { from: above, vectors: kept, to: greatest });
            simd.run(Pick { from: below, vectors: kept, to: least });
        }
        let (windows, out) = (kept.len(), &mut all_scores[..]);
        simd.run(Apply { head, features, room: BLOCKS, windows, scratch: dense, out, pitch: BLOCKS });
        for (&block, &score) in kept.iter().zip(&all_scores[output * BLOCKS..]) {
            scores[block] = score;
        }
    }

    /// Values with which bounds are compared.
    fn lowest(self) -> f32 {
        self.threshold - slack(self.network)
    }
}

/// The greatest and the least of the bounds of every few blocks.
struct Merge<'a> {
    above: &'a [Lanes],
    below: &'a [Lanes],
    blocks: usize,
    greatest: &'a mut [Lanes],
    least: &'a mut [Lanes],
}

impl Task for Merge<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (to, first) in (0..self.blocks).step_by(MERGE).enumerate() {
            let (mut high, mut low) = (V::load_from(self.above, first), V::load_from(self.below, first));
            for block in first + 1..self.blocks.min(first + MERGE) {
                high = high.max(V::load_from(self.above, block));
                low = low.min(V::load_from(self.below, block));
            }
            high.store_to(self.greatest, to);
            low.store_to(self.least, to);
        }
    }
}

/// Some vectors of a block become the first ones of another.
struct Pick<'a> {
    from: &'a [Lanes],
    vectors: &'a [usize],
    to: &'a mut [Lanes],
}

impl Task for Pick<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (to, &from) in self.vectors.iter().enumerate() {
            V::load_from(self.from, from).store_to(self.to, to);
        }
    }
}

/// Adds windows that come after all `ranges`, together with those between where starting `anew` costs more than
/// they do; gives what they cost.
fn extend(ranges: &mut Vec<Range<usize>>, windows: Range<usize>, anew: usize) -> usize {
    if windows.is_empty() {
        return 0;
    }
    match ranges.last_mut() {
        Some(last) if windows.start <= last.end + anew => {
            let more = windows.end - last.end;
            last.end = windows.end;
            more
        }
        _ => {
            let cost = windows.len() + anew;
            ranges.push(windows);
            cost
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::engine::Engine;
    use crate::engine::kernel::KernelEngine;
    use crate::model::{Dense, ModelSpec, Padding, Pooling};
    use crate::scores::Scores;
    use crate::seq::chunk::Chunk;
    use crate::seq::window::{Context, StrandChoice};

    /// A network whose scores are the maxima of its filters.
    fn maxima(filters: usize, length: usize, rectify: bool, padding: Padding, seed: u64) -> Network {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut numbers =
            |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let mut output = Dense {
            inputs: filters,
            outputs: filters,
            weights: vec![0.0; filters * filters],
            bias: vec![0.0; filters],
        };
        output.weights.iter_mut().step_by(filters + 1).for_each(|weight| *weight = 1.0);
        Network {
            filters,
            filter_length: length,
            weights: numbers(filters * 4 * length),
            biases: numbers(filters),
            rectify,
            padding,
            pooling: Pooling::Max,
            hidden: None,
            output,
            sigmoid: false,
        }
    }

    /// Bounds of each block's maxima, `[strand][above, below][group * BLOCKS + block]`, and the maxima.
    fn look(engine: &mut KernelEngine, chunk: &Chunk, plan: &WindowPlan) -> ([[Vec<Lanes>; 2]; 2], Scores) {
        let mut scores = Scores::default();
        engine.score(chunk, plan, &mut scores).unwrap();
        let compiled = std::sync::Arc::clone(&engine.compiled);
        let (_, head) = engine.head.as_ref().unwrap();
        let parts = (&compiled.network, &compiled.forward, compiled.quantized(plan).unwrap(), head);
        let margin = engine.flanks(plan).0;
        let look = Prefilter::new(parts, engine.simd, plan, margin, 0.0, engine.buffers.sequence())
            .expect("worth a look");
        let mut buffers = PrefilterBuffers::default();
        look.bound_features(0, BLOCKS.min(scores.windows.div_ceil(BLOCK)), false, &mut buffers);
        for bounds in buffers.bounds.as_flattened_mut() {
            for block in bounds.chunks_mut(BLOCKS) {
                engine.simd.run(Whole(block));
            }
        }
        (buffers.bounds, scores)
    }

    /// Turns a block into whole vectors.
    struct Whole<'a>(&'a mut [Lanes]);

    impl Task for Whole<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let block = self.0.to_vec();
            for (i, whole) in self.0.iter_mut().enumerate() {
                V::load_from(&block, i).store(whole);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn maxima_lie_within_their_bounds(
            filters in 1..40usize,
            length in 1..40usize,
            rectify in any::<bool>(),
            padding in prop_oneof![Just(0usize), Just(1000), 1..45usize],
            value in prop_oneof![Just(0.25f32), Just(0.0)],
            longer in prop_oneof![0..60usize, 200..300usize],
            bases in proptest::collection::vec(prop_oneof![12 => 0..4u8, 1 => Just(4u8)], 1..900),
            unknown in (0..900usize, 0..80usize),
            flank in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let padding = if padding == 1000 { length - 1 } else { padding };
            let padding = Padding { left: padding, right: padding, value };
            let network = maxima(filters, length, rectify, padding, seed);
            let mut codes = bases;
            for code in codes.iter_mut().skip(unknown.0).take(unknown.1) {
                *code = 4;
            }
            let context = if flank { Context::Flank } else { Context::Padding };
            let plan = WindowPlan { window: length + longer, stride: 1, strands: StrandChoice::Both, context };
            prop_assume!(codes.len() >= plan.window);
            let chunk = Chunk::whole("contig", codes);
            for simd in Simd::available() {
                let spec = ModelSpec::from_network("test", &network);
                let mut engine = KernelEngine::new(spec, network.clone(), simd).unwrap();
                let (bounds, scores) = look(&mut engine, &chunk, &plan);
                let (windows, order) = (scores.windows.min(STRETCH), engine.compiled.order.clone());
                for (strand, [above, below]) in [&scores.forward, &scores.reverse].into_iter().zip(&bounds) {
                    for (place, &filter) in order.iter().enumerate() {
                        for (window, &max) in strand[filter * scores.windows..][..windows].iter().enumerate() {
                            let at = place / 16 * BLOCKS + window / BLOCK;
                            let (low, high) = (below[at].0[place % 16], above[at].0[place % 16]);
                            prop_assert!(
                                low <= max && max <= high,
                                "{simd}: {max} of filter {filter} in window {window} is not within {low} and {high}"
                            );
                        }
                    }
                }
            }
        }
    }
}
