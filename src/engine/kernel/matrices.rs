//! Scanning with many motif matrices at once.
//!
//! A matrix is a network with one filter, one alignment for each window and no pooling; on its own it would leave 15 of 16
//! lanes empty. Here matrices share the lanes, both strands of a matrix side by side, and shorter ones are padded with zeros
//! at the end. One convolution gives the scores of eight matrices on both strands.
//!
//! With thresholds, fixed point comes first ([`dinucleotides`]): sums of bytes count how far a score is below the highest
//! possible one, in steps so large that every score below the threshold saturates at 255. Exact scores are computed only
//! where a sum does not saturate. There each matrix is scanned by itself: its tables are registers, and what 32 positions
//! cost does not depend on how many matrices there are.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::kernel::convolve::{self, Convolve, Index, To};
use crate::engine::kernel::filters::Filters;
use crate::engine::kernel::matrices::dinucleotides::{Candidates, Deficits, Found, Pair, SPAN};
use crate::engine::kernel::prefilter::quantized;
use crate::engine::kernel::prefilter::quantized::Lane;
use crate::engine::kernel::simd::{Lanes, Simd, WIDTH};
use crate::engine::kernel::triple::{TRIPLE, TRIPLES, triple};
use crate::engine::scanner::{OutputScores, Scanner, Wanted};
use crate::model::Network;
use crate::scores::{Hit, HitRule, HitStrands, Scores, push_hits};
use crate::seq::alphabet::{N, complement};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::{Error, Result};

mod dinucleotides;

/// Positions that are scored together.
const TILE: usize = 256;

/// Positions that all matrices look at in turn, a multiple of [`SPAN`]: their dinucleotides stay in the first-level cache.
const SCAN_TILE: usize = 4096;

/// Scans with several motif matrices. Clones share the tables, so that one a thread costs little.
#[derive(Debug, Clone)]
pub struct MatrixScanner {
    compiled: Arc<Compiled>,
    simd: Simd,
    codes: Vec<u8>,
    triples: Vec<u8>,
    activations: Vec<Lanes>,
    bounds: Option<Bounds>,
    dinucleotides: Vec<u8>,
    /// Candidates on each strand, in order.
    found: [Found; 2],
}

/// Bounds on the scores of each matrix for some thresholds.
#[derive(Debug, Clone)]
struct Bounds {
    rules: Vec<HitRule>,
    /// `lanes[rank * lanes + strand]`; `None` if no sequence reaches the threshold.
    lanes: Vec<Option<Bound>>,
}

/// Bounds on the scores of a matrix on one strand.
#[derive(Debug, Clone)]
struct Bound {
    deficits: Deficits,
    /// The entries of the matrix's tables for three bases, those that are not zero. The tables themselves hold 16 lanes, and
    /// those of a collection of motifs fit no cache.
    entries: Vec<[f32; TRIPLES]>,
    /// N alone reach the threshold.
    n_reach: bool,
}

#[derive(Debug)]
struct Compiled {
    filters: Filters,
    /// Windows of each matrix.
    plans: Vec<WindowPlan>,
    shortest: usize,
    longest: usize,
    /// Lanes that a matrix takes: 1 or 2.
    lanes: usize,
    strands: StrandChoice,
}

impl Bound {
    /// The exact score at the first of `codes`, by the same additions in the same order as a convolution gives it. There are two
    /// more codes than columns at least.
    fn score(&self, codes: &[u8]) -> f32 {
        let terms = self.entries.iter().zip(codes.chunks_exact(TRIPLE));
        let terms = terms.map(|(entries, codes)| entries[usize::from(triple(codes[0], codes[1], codes[2]))]);
        terms.reduce(|sum, term| sum + term).unwrap_or_default()
    }
}

impl Compiled {
    /// The group that has matrix `rank`, and its first lane there.
    fn place(&self, rank: usize) -> (usize, usize) {
        let each = WIDTH / self.lanes;
        (rank / each, rank % each * self.lanes)
    }
}

impl MatrixScanner {
    /// A scanner for [matrices](Network::is_matrix) on windows of their own length, with the stride and the strands of
    /// `plan`; hits refer to them by rank.
    ///
    /// # Panics
    /// Without a matrix.
    pub fn new(matrices: &[&Network], plan: &WindowPlan, simd: Simd) -> MatrixScanner {
        let plan_of = |matrix: &&Network| {
            let (window, context) = (matrix.filter_length, Context::Padding);
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
            filters: matrices.len() * strands.len(),
            filter_length: longest,
            weights: Vec::new(),
            biases: Vec::new(),
            ..matrices[0].clone()
        };
        for matrix in matrices {
            let (scale, shift) = (matrix.output.weights[0], matrix.output.bias[0]);
            for &strand in strands {
                joined.weights.extend(as_read_on(matrix, strand, longest).map(|weight| scale * weight));
                joined.biases.push(scale * matrix.biases[0] + shift);
            }
        }
        let order: Vec<usize> = (0..joined.filters).collect();
        let filters = Filters::new(&joined, &order, Strand::Forward, simd);
        let (lanes, strands) = (strands.len(), plan.strands);
        MatrixScanner {
            compiled: Arc::new(Compiled { filters, plans, shortest, longest, lanes, strands }),
            simd,
            codes: Vec::new(),
            triples: Vec::new(),
            activations: vec![Lanes([0.0; WIDTH]); TILE],
            bounds: None,
            dinucleotides: Vec::new(),
            found: Default::default(),
        }
    }

    /// Number of matrices.
    pub fn matrices(&self) -> usize {
        self.compiled.plans.len()
    }

    /// Appends the windows that are hits by `rules[rank]` to `hits[rank]`, by start and strand; [`Hit::target`] is the rank.
    /// Only the windows whose numbers are in `kept[rank]`, sorted and apart from each other, are scored.
    fn find(&mut self, chunk: &Chunk, rules: &[HitRule], kept: &[&[Range<usize>]], hits: &mut [Vec<Hit>]) {
        let positions = self.load(chunk, dinucleotides::slack(self.compiled.longest));
        self.dinucleotides.resize(self.codes.len() - 1, 0);
        self.simd.run(Pair { codes: &self.codes, dinucleotides: &mut self.dinucleotides });
        let bounds = self.bounds.take().filter(|bounds| bounds.rules == rules);
        let bounds = bounds.unwrap_or_else(|| self.bounds(rules));
        for from in (0..positions).step_by(SCAN_TILE) {
            let to = positions.min(from + SCAN_TILE);
            let (whole, parts) = (from..to, self.parts_with_bases(from, to));
            for (rank, strands) in bounds.lanes.chunks(self.compiled.lanes).enumerate() {
                let n_reach = strands.iter().flatten().any(|bound| bound.n_reach);
                let parts = if n_reach { std::slice::from_ref(&whole) } else { &parts[..] };
                self.found.iter_mut().for_each(Vec::clear);
                for &Range { start: from, end } in parts {
                    let (dinucleotides, count) = (&self.dinucleotides[from..], end - from);
                    let mut strands = strands.iter().map(Option::as_ref).chain([None]);
                    let strands =
                        self.found.each_mut().map(|found| Some((&strands.next()??.deficits, found)));
                    self.simd.run(Candidates { strands, dinucleotides, from, count });
                }
                if self.found.iter().any(|found| !found.is_empty()) {
                    let matrix = (rank, rules[rank], strands);
                    self.score_candidates(chunk, positions, matrix, kept[rank], &mut hits[rank]);
                }
            }
        }
        self.bounds = Some(bounds);
    }

    /// The parts of positions `from .. to` where some matrix may see a base and not only N.
    fn parts_with_bases(&self, from: usize, to: usize) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for start in (from..to).step_by(SPAN) {
            let end = to.min(start + SPAN);
            // A base between two N is in no dinucleotide, but is seen.
            let seen = &self.codes[start..end + self.compiled.longest];
            if seen.iter().all(|&code| code == N) {
                continue;
            }
            match parts.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => parts.push(start..end),
            }
        }
        parts
    }

    /// Adds those of the candidates of a matrix that are hits.
    fn score_candidates(
        &self,
        chunk: &Chunk,
        positions: usize,
        (rank, rule, bounds): (usize, HitRule, &[Option<Bound>]),
        kept: &[Range<usize>],
        hits: &mut Vec<Hit>,
    ) {
        let plan = &self.compiled.plans[rank];
        let last = (chunk.end + 1).saturating_sub(plan.window as u64 + chunk.own.start) as usize;
        let positions = positions.min(last);
        let first_window = chunk.windows(plan).0;
        let [mut first, mut second] = self.found.each_ref().map(|found| found.iter().copied().peekable());
        while let Some(at) = [&mut first, &mut second].iter_mut().filter_map(|x| Some(x.peek()?.0)).min() {
            let masks = [&mut first, &mut second]
                .map(|found| found.next_if(|(start, _)| *start == at).map_or(0, |(_, mask)| mask));
            let mut either = masks[0] | masks[1];
            while either != 0 {
                let bit = either.trailing_zeros();
                either &= either - 1;
                let position = at + bit as usize;
                let start = chunk.own.start + position as u64;
                if position >= positions || !start.is_multiple_of(plan.stride as u64) {
                    continue;
                }
                // Where there is N, all windows are candidates, and most are left out.
                let number = ((start - first_window) / plan.stride as u64) as usize;
                let range = kept.get(kept.partition_point(|range| range.end <= number));
                if range.is_none_or(|range| number < range.start) {
                    continue;
                }
                let codes = &self.codes[position..];
                let is_candidate = |i: usize| masks[i] >> bit & 1 != 0;
                let score =
                    |i: usize| bounds[i].as_ref().filter(|_| is_candidate(i)).map(|bound| bound.score(codes));
                let scores = match self.compiled.strands {
                    StrandChoice::Both => [score(0), score(1)],
                    StrandChoice::Forward => [score(0), None],
                    StrandChoice::Reverse => [None, score(0)],
                };
                push_hits((start, rank), scores, rule, hits);
            }
        }
    }

    /// Bounds for these rules.
    fn bounds(&self, rules: &[HitRule]) -> Bounds {
        let Compiled { filters, lanes, longest, .. } = &*self.compiled;
        let n = vec![N; longest + TRIPLE];
        let bound = |i: usize| {
            let (rank, strand) = (i / lanes, i % lanes);
            let (group, lane) = self.compiled.place(rank);
            let (group, lane) = (&filters.groups[group], lane + strand);
            let threshold = self.threshold(strand, rules[rank].thresholds);
            let columns = self.compiled.plans[rank].window;
            let best = |j: usize| group.columns[j].iter().map(|row| f64::from(row.0[lane])).take(5);
            let best = |j: usize| best(j).fold(f64::NEG_INFINITY, f64::max);
            let top = f64::from(group.padded.0[lane]) + (0..columns).map(best).sum::<f64>();
            let margin = quantized::margin(*longest) * f64::from(group.size.0[lane]);
            let room = top + margin - f64::from(threshold);
            if room < 0.0 {
                return None;
            }
            // An entry may be half a step too great. Of a matrix of a thousand columns nothing is ruled out.
            let steps = (f64::from(u8::MAX) - 1.0 - Deficits::terms(columns) as f64 / 2.0).max(0.0);
            let scale = steps / room.max(f64::from(f32::MIN_POSITIVE));
            let deficits = Deficits::new(&Lane::new(group, lane, top, scale), columns);
            let tables = 0..columns.div_ceil(TRIPLE);
            let entries = |table| std::array::from_fn(|index| group.tables.entry(table, index as u8, lane));
            let mut bound = Bound { deficits, entries: tables.map(entries).collect(), n_reach: false };
            bound.n_reach = bound.score(&n) >= threshold;
            Some(bound)
        };
        Bounds { rules: rules.to_vec(), lanes: (0..rules.len() * lanes).map(bound).collect() }
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
        let tables = compiled.longest.div_ceil(TRIPLE);
        let positions = self.load(chunk, TILE + convolve::slack(tables) + TRIPLE);
        self.triples.resize(self.codes.len() - (TRIPLE - 1), 0);
        self.simd.run(Index { codes: &self.codes, triples: &mut self.triples });
        let mut group: Vec<Scores> = Vec::new();
        for g in 0..compiled.filters.groups.len() {
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

    /// Reads the codes at the positions that windows of `chunk` start at, and `slack` more; gives the number of positions.
    fn load(&mut self, chunk: &Chunk, slack: usize) -> usize {
        let Compiled { shortest, longest, .. } = &*self.compiled;
        let last_start = (chunk.end + 1).saturating_sub(*shortest as u64);
        let positions = chunk.own.end.min(last_start).saturating_sub(chunk.own.start) as usize;
        self.codes.clear();
        chunk.codes_at(chunk.own.start as i64, positions + longest + slack, &mut self.codes);
        positions
    }

    /// Scores of group `g` at `count` positions.
    fn convolve(&mut self, g: usize, from: usize, count: usize) {
        self.simd.run(Convolve {
            tables: &self.compiled.filters.groups[g].tables,
            triples: &self.triples[from..],
            rectify: false,
            out: &mut self.activations[..count],
            to: To::Vectors,
        });
    }

    /// The threshold of the strand with this rank among those scanned.
    fn threshold(&self, strand: usize, thresholds: [f32; 2]) -> f32 {
        match self.compiled.strands {
            StrandChoice::Both => thresholds[strand],
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
        let mut kept: Vec<&[Range<usize>]> = vec![&[]; self.matrices()];
        for wanted in wanted {
            rules[wanted.output] = wanted.rule;
            kept[wanted.output] = wanted.kept;
        }
        self.find(chunk, &rules, &kept, hits);
        Ok(())
    }

    fn engine(&mut self) -> Option<&mut dyn Engine> {
        None
    }
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
    let width = matrix.filter_length;
    (0..4 * length).map(move |i| {
        let (channel, j) = (i / length, i % length);
        match strand {
            _ if j >= width => 0.0,
            Strand::Forward => matrix.weights[channel * width + j],
            Strand::Reverse => matrix.weights[usize::from(complement(channel as u8)) * width + width - 1 - j],
        }
    })
}
