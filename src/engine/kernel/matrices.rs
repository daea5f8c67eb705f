//! Scanning with many motif matrices at once.
//!
//! A matrix is a network with one filter, one alignment for each window and no pooling; on its own it would leave 15 of 16
//! lanes empty. Here matrices share the lanes, both strands of a matrix side by side, and shorter ones are padded with zeros
//! at the end. One convolution gives the scores of eight matrices on both strands.
//!
//! With thresholds, fixed point comes first ([`quantized`]): sums of bytes count how far a score is below the highest
//! possible one, in steps so large that every score below the threshold saturates at 255. Exact scores are computed only
//! where a sum does not saturate.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::kernel::convolve::{self, Convolve, Index, To};
use crate::engine::kernel::filters::Detectors;
use crate::engine::kernel::prefilter::quantized;
use crate::engine::kernel::prefilter::quantized::Lane;
use crate::engine::kernel::prefilter::quantized::table::{Promising, SIDE, Tables};
use crate::engine::kernel::simd::{BYTES, Lanes, Simd, Task, Vector, WIDTH};
use crate::engine::kernel::triple::TRIPLE;
use crate::engine::scanner::{OutputScores, Scanner, Wanted};
use crate::model::Network;
use crate::scores::Scores;
use crate::scores::{Hit, HitRule, HitStrands, push_hits};
use crate::seq::alphabet::complement;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::{Error, Result};

/// Positions that go through the stages together.
const TILE: usize = 256;

/// Tiles that are scored in full after one of which much was promising; twice as many after the next such, and so on.
const PAUSE: usize = 7;

/// Scans with several motif matrices. Clones share the tables, so that one a thread costs little.
#[derive(Debug, Clone)]
pub struct MatrixScanner {
    compiled: Arc<Compiled>,
    simd: Simd,
    codes: Vec<u8>,
    triples: Vec<u8>,
    activations: Vec<Lanes>,
    masks: Vec<u16>,
    sieve: Option<Sieve>,
    promising: Vec<bool>,
}

/// Tables that tell which positions may reach some thresholds.
#[derive(Debug, Clone)]
struct Sieve {
    rules: Vec<HitRule>,
    /// For each two groups.
    tables: Vec<Tables>,
}

#[derive(Debug)]
struct Compiled {
    detectors: Detectors,
    /// Windows of each matrix.
    plans: Vec<WindowPlan>,
    shortest: usize,
    longest: usize,
    /// Lanes that a matrix takes: 1 or 2.
    lanes: usize,
    strands: StrandChoice,
}

impl MatrixScanner {
    /// A scanner for [matrices](Network::is_matrix) on windows of their own length, with the stride and the strands of
    /// `plan`; hits refer to them by rank.
    ///
    /// # Panics
    /// Without a matrix.
    pub fn new(matrices: &[&Network], plan: &WindowPlan, simd: Simd) -> MatrixScanner {
        let plan_of = |matrix: &&Network| {
            let (window, context) = (matrix.detector_length, Context::Padding);
            WindowPlan { window, context, ..*plan }
        };
        let plans: Vec<WindowPlan> = matrices.iter().map(plan_of).collect();
        let widths = || plans.iter().map(|plan| plan.window);
        let longest = widths().max().expect("at least one matrix");
        let shortest = widths().min().expect("at least one matrix");
        let strands: &[Strand] = match plan.strands {
            StrandChoice::Both => &[Strand::Forward, Strand::Reverse],
            StrandChoice::Forward => &[Strand::Forward],
            StrandChoice::Reverse => &[Strand::Reverse],
        };
        let mut joined = Network {
            detectors: matrices.len() * strands.len(),
            detector_length: longest,
            weights: Vec::new(),
            thresholds: Vec::new(),
            ..matrices[0].clone()
        };
        for matrix in matrices {
            let (scale, shift) = (matrix.output.weights[0], matrix.output.bias[0]);
            for &strand in strands {
                joined.weights.extend(as_read_on(matrix, strand, longest).map(|weight| scale * weight));
                joined.thresholds.push(scale * matrix.thresholds[0] + shift);
            }
        }
        let order: Vec<usize> = (0..joined.detectors).collect();
        let detectors = Detectors::new(&joined, &order, Strand::Forward, simd);
        let (lanes, strands) = (strands.len(), plan.strands);
        MatrixScanner {
            compiled: Arc::new(Compiled { detectors, plans, shortest, longest, lanes, strands }),
            simd,
            codes: Vec::new(),
            triples: Vec::new(),
            activations: vec![Lanes([0.0; WIDTH]); TILE],
            masks: vec![0; TILE],
            sieve: None,
            promising: vec![true; TILE / SIDE],
        }
    }

    /// Number of matrices.
    pub fn matrices(&self) -> usize {
        self.compiled.plans.len()
    }

    /// Appends the windows that are hits by `rules[rank]` to `hits[rank]`, by start and strand; [`Hit::target`] is the rank.
    fn find(&mut self, chunk: &Chunk, rules: &[HitRule], hits: &mut [Vec<Hit>]) {
        let positions = self.load(chunk);
        let sieve = self.sieve.take().filter(|sieve| sieve.rules == rules);
        let sieve = sieve.unwrap_or_else(|| self.sieve(rules));
        for (pair, tables) in sieve.tables.iter().enumerate() {
            let groups = 2 * pair..self.compiled.detectors.groups.len().min(2 * pair + 2);
            let (mut pause, mut next_pause) = (0, PAUSE);
            for from in (0..positions).step_by(TILE) {
                let count = TILE.min(positions - from);
                let blocks = count.div_ceil(SIDE);
                self.promising.clear();
                self.promising.resize(blocks, true);
                if pause == 0 {
                    let (triples, out) = (&self.triples[from..], &mut self.promising[..]);
                    self.simd.run(Promising { tables, triples, out });
                    if 5 * self.promising.iter().filter(|promising| **promising).count() > 2 * blocks {
                        self.promising.fill(true);
                        (pause, next_pause) = (next_pause, 2 * next_pause);
                    } else {
                        next_pause = PAUSE;
                    }
                } else {
                    pause -= 1;
                }
                let mut at = 0;
                while at < blocks {
                    let alike = self.promising[at..].iter().take_while(|x| **x == self.promising[at]).count();
                    if self.promising[at] {
                        let count = (alike * SIDE).min(count - at * SIDE);
                        for g in groups.clone() {
                            self.find_exactly(chunk, g, from + at * SIDE, count, rules, hits);
                        }
                    }
                    at += alike;
                }
            }
        }
        self.sieve = Some(sieve);
    }

    /// Hits of group `g` at `count` positions, [`TILE`] at most.
    fn find_exactly(
        &mut self,
        chunk: &Chunk,
        g: usize,
        from: usize,
        count: usize,
        rules: &[HitRule],
        hits: &mut [Vec<Hit>],
    ) {
        let (lanes, members) = (self.compiled.lanes, self.members(g));
        let first = members.start;
        let mut bounds = Lanes([f32::INFINITY; WIDTH]);
        for (lane, bound) in bounds.0.iter_mut().enumerate().take(members.len() * lanes) {
            *bound = self.threshold(lane, rules[first + lane / lanes].thresholds);
        }
        self.convolve(g, from, count);
        let (activations, masks) = (&self.activations[..count], &mut self.masks[..count]);
        self.simd.run(Reach { activations, bounds: &bounds, masks });
        for (i, &mask) in self.masks[..count].iter().enumerate().filter(|(_, mask)| **mask != 0) {
            let start = chunk.own.start + (from + i) as u64;
            for rank in members.clone() {
                let lane = (rank - first) * lanes;
                if mask >> lane & ((1 << lanes) - 1) != 0 {
                    let scores = &self.activations[i].0[lane..lane + lanes];
                    self.keep(chunk, start, rank, scores, rules[rank], &mut hits[rank]);
                }
            }
        }
    }

    /// Tables for the thresholds of these rules.
    fn sieve(&self, rules: &[HitRule]) -> Sieve {
        let Compiled { detectors, lanes, longest, .. } = &*self.compiled;
        let lane = |g: usize, lane: usize| {
            let (group, members) = (&detectors.groups[g], self.members(g));
            let rank = members.start + lane / lanes;
            if rank >= members.end {
                return Lane::saturated(*longest);
            }
            let best = |j: usize| group.columns[j].iter().map(|row| f64::from(row.0[lane])).take(5);
            let best = |j: usize| best(j).fold(f64::NEG_INFINITY, f64::max);
            let top = f64::from(group.padded.0[lane]) + (0..*longest).map(best).sum::<f64>();
            let margin = quantized::margin(*longest) * f64::from(group.size.0[lane]);
            let room = top + margin - f64::from(self.threshold(lane, rules[rank].thresholds));
            if room < 0.0 {
                return Lane::saturated(*longest);
            }
            // An entry may be half a step too great.
            let steps = f64::from(u8::MAX) - 1.0 - longest.div_ceil(TRIPLE) as f64 / 2.0;
            Lane::new(group, lane, top, steps / room.max(f64::from(f32::MIN_POSITIVE)))
        };
        let tables = (0..detectors.groups.len()).step_by(2).map(|g| {
            let groups = g..detectors.groups.len().min(g + 2);
            let mut lanes: Vec<Lane> =
                groups.flat_map(|g| (0..WIDTH).map(move |i| (g, i))).map(|(g, i)| lane(g, i)).collect();
            lanes.resize(BYTES, Lane::saturated(*longest));
            Tables::new(&lanes).0
        });
        Sieve { rules: rules.to_vec(), tables: tables.collect() }
    }

    /// Scores every window of `chunk` with each matrix and gives the scores, with the matrix's rank, to `each`.
    ///
    /// # Errors
    /// Result of `each`.
    pub fn score<E>(
        &mut self,
        chunk: &Chunk,
        mut each: impl FnMut(usize, &Scores) -> Result<(), E>,
    ) -> Result<(), E> {
        let compiled = Arc::clone(&self.compiled);
        let positions = self.load(chunk);
        let mut group: Vec<Scores> = Vec::new();
        for g in 0..compiled.detectors.groups.len() {
            let members = self.members(g);
            group.resize_with(members.len(), Scores::default);
            for (scores, rank) in group.iter_mut().zip(members.clone()) {
                scores.reset(chunk, &compiled.plans[rank], 1);
            }
            for from in (0..positions).step_by(TILE) {
                let count = TILE.min(positions - from);
                self.convolve(g, from, count);
                for (scores, lane) in group.iter_mut().zip((0..).step_by(compiled.lanes)) {
                    scatter(&self.activations[..count], lane, chunk.own.start + from as u64, scores);
                }
            }
            for (scores, rank) in group.iter().zip(members) {
                each(rank, scores)?;
            }
        }
        Ok(())
    }

    /// Ranks of the matrices that share the lanes of group `g`.
    fn members(&self, g: usize) -> Range<usize> {
        let each = WIDTH / self.compiled.lanes;
        g * each..self.matrices().min((g + 1) * each)
    }

    /// Prepares the positions that windows of `chunk` start at, and gives their number.
    fn load(&mut self, chunk: &Chunk) -> usize {
        let Compiled { shortest, longest, .. } = &*self.compiled;
        let last_start = (chunk.end + 1).saturating_sub(*shortest as u64);
        let positions = chunk.own.end.min(last_start).saturating_sub(chunk.own.start) as usize;
        let indices = positions + longest + TILE + convolve::slack(longest.div_ceil(TRIPLE));
        self.codes.clear();
        chunk.codes_at(chunk.own.start as i64, indices + TRIPLE - 1, &mut self.codes);
        self.triples.resize(indices, 0);
        self.simd.run(Index { codes: &self.codes, triples: &mut self.triples });
        positions
    }

    /// Scores of group `g` at `count` positions.
    fn convolve(&mut self, g: usize, from: usize, count: usize) {
        self.simd.run(Convolve {
            tables: &self.compiled.detectors.groups[g].tables,
            triples: &self.triples[from..],
            rectify: false,
            out: &mut self.activations[..count],
            to: To::Vectors,
        });
    }

    /// Adds a hit if the window is one of the matrix's, and its score reaches the threshold of its strand.
    fn keep(
        &self,
        chunk: &Chunk,
        start: u64,
        rank: usize,
        scores: &[f32],
        rule: HitRule,
        hits: &mut Vec<Hit>,
    ) {
        let plan = &self.compiled.plans[rank];
        let inside = start + plan.window as u64 <= chunk.end;
        if !inside || !start.is_multiple_of(plan.stride as u64) {
            return;
        }
        let (forward, reverse) = match (self.compiled.strands, scores) {
            (StrandChoice::Both, &[forward, reverse]) => (Some(forward), Some(reverse)),
            (StrandChoice::Reverse, &[score, ..]) => (None, Some(score)),
            (_, scores) => (scores.first().copied(), None),
        };
        push_hits((start, rank), [forward, reverse], rule, hits);
    }

    /// The threshold of the strand in a lane.
    fn threshold(&self, lane: usize, thresholds: [f32; 2]) -> f32 {
        match self.compiled.strands {
            StrandChoice::Both => thresholds[lane % 2],
            StrandChoice::Forward => thresholds[0],
            StrandChoice::Reverse => thresholds[1],
        }
    }
}

/// Each matrix is an output.
impl Scanner for MatrixScanner {
    fn description(&self) -> String {
        format!("kernel/{}", self.simd)
    }

    fn outputs(&self) -> usize {
        self.matrices()
    }

    fn plans(&self) -> &[WindowPlan] {
        &self.compiled.plans
    }

    fn plan_rank(&self, output: usize) -> usize {
        output
    }

    fn flanks(&self) -> (usize, usize) {
        (0, 0)
    }

    fn score_outputs(
        &mut self,
        chunk: &Chunk,
        _least: Option<f32>,
        each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>,
    ) -> Result<()> {
        self.score(chunk, |output, scores| each(OutputScores { output, scores, row: 0 }))
    }

    /// A sequence shorter than a matrix has no score.
    fn score_whole(
        &mut self,
        _chunk: &Chunk,
        _each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn find_hits(
        &mut self,
        chunk: &Chunk,
        wanted: &[Wanted<'_>],
        hits: &mut [Vec<Hit>],
        _not_a_number: &dyn Fn(usize, u64) -> Error,
    ) -> Result<()> {
        let none = HitRule { thresholds: [f32::INFINITY; 2], strands: HitStrands::default() };
        let mut rules = vec![none; self.matrices()];
        for wanted in wanted {
            rules[wanted.output] = wanted.rule;
        }
        self.find(chunk, &rules, hits);
        for &Wanted { output, kept, .. } in wanted {
            keep_windows(chunk, self.plan(output), kept, &mut hits[output]);
        }
        Ok(())
    }

    fn engine(&mut self) -> Option<&mut dyn Engine> {
        None
    }
}

/// Leaves only the hits, sorted by start, whose windows are among those `kept`.
fn keep_windows(chunk: &Chunk, plan: &WindowPlan, kept: &[Range<usize>], hits: &mut Vec<Hit>) {
    let (first, windows) = chunk.windows(plan);
    if kept.iter().map(ExactSizeIterator::len).sum::<usize>() == windows {
        return;
    }
    let mut kept = kept.iter();
    let mut range = kept.next();
    hits.retain(|hit| {
        let number = ((hit.start - first) / plan.stride as u64) as usize;
        while range.is_some_and(|range| range.end <= number) {
            range = kept.next();
        }
        range.is_some_and(|range| range.contains(&number))
    });
}

/// Puts what lies in `lane`, and in the next where both strands are scored, to the windows that start there.
fn scatter(activations: &[Lanes], lane: usize, position: u64, scores: &mut Scores) {
    let stride = scores.stride as u64;
    let reverse_lane = if scores.forward.is_empty() { lane } else { lane + 1 };
    let mut start = position.next_multiple_of(stride);
    while let Some(activation) = activations.get((start - position) as usize) {
        let window = ((start - scores.start) / stride) as usize;
        if window >= scores.windows {
            return;
        }
        if let Some(score) = scores.forward.get_mut(window) {
            *score = activation.0[lane];
        }
        if let Some(score) = scores.reverse.get_mut(window) {
            *score = activation.0[reverse_lane];
        }
        start += stride;
    }
}

/// Weights of a matrix as `strand` reads the forward sequence, shape `[4, length]`, zeros past the matrix's end.
fn as_read_on(matrix: &Network, strand: Strand, length: usize) -> impl Iterator<Item = f32> {
    let width = matrix.detector_length;
    (0..4 * length).map(move |i| {
        let (channel, j) = (i / length, i % length);
        match strand {
            _ if j >= width => 0.0,
            Strand::Forward => matrix.weights[channel * width + j],
            Strand::Reverse => matrix.weights[usize::from(complement(channel as u8)) * width + width - 1 - j],
        }
    })
}

/// Finds the lanes that reach their bound: a mask of bits for each position.
struct Reach<'a> {
    activations: &'a [Lanes],
    bounds: &'a Lanes,
    masks: &'a mut [u16],
}

impl Task for Reach<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let bounds = V::load(self.bounds);
        for (activation, mask) in self.activations.iter().zip(self.masks) {
            *mask = V::load(activation).reaches(bounds);
        }
    }
}
