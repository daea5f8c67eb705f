//! Cores of sites: the bases that carry the score of a window.
//!
//! Each base that the score of a window depends on has a contribution to it: the bases of the window, and where the model
//! sees them, those of its flanks ([`Context::Flank`]). A core may therefore lie partly beside its window. It never leaves
//! the segment that is scanned. The core is the stretch whose contributions stand out, and the
//! summit is the centre of gravity of the core. Contributions come from the model:
//!
//! - A motif matrix is as long as its window: the window is the core.
//! - In a network of the DeepBind family, the score is a sum over bases as long as the same alignments win and the same
//!   hidden units are active. A base contributes what it adds in that sum, compared with an N in its place
//!   ([`Contributions`]). One pass over the window finds all contributions.
//! - For any other network, and for an ensemble, a base contributes what an N in its place takes from the score.
//!   Stretches that can be masked without much loss are left out ([`masking`]).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::Result;
use crate::engine::Engine;
use crate::engine::ensemble;
use crate::engine::planned::Planned;
use crate::engine::scanner::Scanner;
use crate::model::Model;
use crate::scores::{Hit, Scores};
use crate::seq::alphabet::N;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::sites::contributions::{Contributions, Scratch};

/// The bases that carry the score of a window, as distances from the first base of the window; negative before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Core {
    /// First base of the core.
    pub start: i32,
    /// End of the core: the base behind its last one.
    pub end: i32,
    /// The base at the centre of the core.
    pub summit: i32,
}

/// Number of the largest contributions whose mean is the scale of a core.
pub(super) const LARGEST: usize = 5;

/// Share of that scale that a base of the core contributes, on balance. It was set with ChIP-exo summits on the
/// even-numbered yeast chromosomes.
const SHARE: f64 = 0.3;

impl Core {
    /// The whole window, with its middle as the summit.
    pub fn whole(window: u64) -> Core {
        let window = window.min(i32::MAX as u64) as i32;
        Core { start: 0, end: window, summit: window / 2 }
    }

    /// The core among bases that make these contributions: the stretch with the largest sum of contributions, each less a
    /// share of the largest ones. `None` without any contribution.
    pub fn of(contributions: &[f64]) -> Option<Core> {
        let mut largest = [0.0f64; LARGEST];
        for &contribution in contributions {
            let rank = largest.partition_point(|&other| other >= contribution);
            if rank < LARGEST {
                largest[rank..].rotate_right(1);
                largest[rank] = contribution;
            }
        }
        let scale = largest.iter().sum::<f64>() / LARGEST.min(contributions.len()).max(1) as f64;
        if scale <= 0.0 || !scale.is_finite() {
            return None;
        }
        let (mut best, mut core) = (0.0, 0..0);
        let (mut sum, mut from) = (0.0, 0);
        for (at, contribution) in contributions.iter().enumerate() {
            if sum <= 0.0 {
                (sum, from) = (0.0, at);
            }
            sum += contribution - SHARE * scale;
            if sum > best {
                (best, core) = (sum, from..at + 1);
            }
        }
        let gains = || core.clone().map(|at| (at, contributions[at].max(0.0)));
        let total: f64 = gains().map(|(_, gain)| gain).sum();
        let moment: f64 = gains().map(|(at, gain)| at as f64 * gain).sum();
        let summit = (moment / total).round();
        Some(Core { start: core.start as i32, end: core.end as i32, summit: summit as i32 })
    }

    /// The same core seen from the other strand of so many bases.
    pub fn reversed(self, length: i32) -> Core {
        Core { start: length - self.end, end: length - self.start, summit: length - 1 - self.summit }
    }

    /// The same core as distances from a base that lies `by` bases before the one that they were counted from.
    pub fn moved(self, by: i32) -> Core {
        Core { start: self.start + by, end: self.end + by, summit: self.summit + by }
    }

    /// The contig position of its first base, for a window that starts here.
    pub fn start_in(self, window_start: u64) -> u64 {
        window_start.saturating_add_signed(self.start.into())
    }

    /// The contig position of its end, for a window that starts here.
    pub fn end_in(self, window_start: u64) -> u64 {
        window_start.saturating_add_signed(self.end.into())
    }

    /// The contig position of its summit, for a window that starts here.
    pub fn summit_in(self, window_start: u64) -> u64 {
        window_start.saturating_add_signed(self.summit.into())
    }

    /// Distance of the summit from the middle of the window.
    pub fn off_centre(self, window: u64) -> u64 {
        i64::from(self.summit).abs_diff(window as i64 / 2)
    }
}

/// Method by which the cores of a model's sites are found.
#[derive(Debug, Clone)]
pub enum CoreSource {
    /// The window is the core.
    Window,
    /// By the contributions of the filters.
    Contributions(Arc<Contributions>),
    /// By masking bases.
    Masking,
}

impl CoreSource {
    /// The source that suits a model. It does not depend on the engine. What carries the mean score of an ensemble is not what
    /// carries that of one member: only masking asks all of them.
    pub fn of(planned: &Planned) -> CoreSource {
        let window = planned.plan().window;
        let is_matrix = |model: &Model| model.network.as_ref().is_ok_and(|network| network.is_matrix(window));
        match &planned.model().network {
            _ if planned.members().all(is_matrix) => CoreSource::Window,
            _ if planned.is_ensemble() => CoreSource::Masking,
            Ok(network) => CoreSource::Contributions(Arc::new(Contributions::new(network))),
            Err(_) => CoreSource::Masking,
        }
    }
}

/// A hit, and where in its window the score comes from.
#[derive(Debug, Clone, Copy)]
pub struct Located {
    /// The hit.
    pub hit: Hit,
    /// Its core.
    pub core: Core,
    /// Standard deviation of the scores of an ensemble's members; NaN of any other model, and where it is not shown.
    pub spread: f32,
}

impl Located {
    /// A key that sorts sites by the start of their windows, target and strand.
    pub fn place(&self) -> (u64, usize, bool) {
        (self.hit.start, self.hit.target, self.hit.strand == Strand::Reverse)
    }
}

/// Memory in which cores are found.
#[derive(Debug, Default)]
pub struct Locator {
    scratch: Scratch,
}

impl Locator {
    /// Finds cores of hits in `chunk`, whose scores are this output of `scanner`.
    pub fn begin<'a>(
        &'a mut self,
        source: &'a CoreSource,
        scanner: &'a mut dyn Scanner,
        output: usize,
        chunk: &'a Chunk,
    ) -> Finder<'a> {
        self.scratch.forget();
        let plan = *scanner.plan(output);
        let scratch = &mut self.scratch;
        Finder { scratch, source, scanner, output, chunk, plan, known: HashMap::new(), failure: Ok(()) }
    }
}

/// Finds the cores of one output's hits in a chunk, each once.
pub struct Finder<'a> {
    scratch: &'a mut Scratch,
    source: &'a CoreSource,
    scanner: &'a mut dyn Scanner,
    output: usize,
    chunk: &'a Chunk,
    plan: WindowPlan,
    known: HashMap<(u64, Strand), Core>,
    failure: Result<()>,
}

impl Finder<'_> {
    /// The core of a hit; the whole window after a failure, which [`Finder::finish`] reports.
    pub fn core(&mut self, hit: &Hit) -> Core {
        let whole = Core::whole(self.plan.window as u64);
        if self.failure.is_err() || matches!(self.source, CoreSource::Window) {
            return whole;
        }
        if let Some(core) = self.known.get(&(hit.start, hit.strand)) {
            return *core;
        }
        match self.find(hit) {
            Ok(core) => *self.known.entry((hit.start, hit.strand)).or_insert(core),
            Err(error) => {
                self.failure = Err(error);
                whole
            }
        }
    }

    fn find(&mut self, hit: &Hit) -> Result<Core> {
        let whole = || Ok(Core::whole(self.plan.window as u64));
        match self.source {
            CoreSource::Window => whole(),
            CoreSource::Contributions(contributions) => {
                Ok(contributions.core(self.output, self.chunk, hit, &self.plan, self.scratch))
            }
            CoreSource::Masking => match self.scanner.engine() {
                Some(engine) => masking(engine, self.output, self.chunk, hit, &self.plan),
                None => whole(),
            },
        }
    }

    /// Distance of a hit's summit from the middle of its window.
    pub fn off_centre(&mut self, hit: &Hit) -> u64 {
        self.core(hit).off_centre(self.plan.window as u64)
    }

    /// How far the members of an ensemble lie apart at a hit; NaN of any other model, and after a failure.
    pub fn spread(&mut self, hit: &Hit) -> f32 {
        let Some(engine) = self.scanner.engine().filter(|_| self.failure.is_ok()) else { return f32::NAN };
        ensemble::spread(engine, self.output, self.chunk, hit, &self.plan).unwrap_or_else(|error| {
            self.failure = Err(error);
            f32::NAN
        })
    }

    /// Ends the search.
    ///
    /// # Errors
    /// A failure of the engine that scores masked windows.
    pub fn finish(self) -> Result<()> {
        self.failure
    }
}

/// The contig positions among which the core of a hit may lie: its window, and if the model sees its flanks, what the model
/// sees (`bases`), as far as it lies in the segment.
pub(super) fn reach(bases: Range<i64>, chunk: &Chunk, hit: &Hit, plan: &WindowPlan) -> Range<i64> {
    let window = hit.start as i64..hit.start as i64 + plan.window as i64;
    match plan.context {
        Context::Padding => window,
        Context::Flank => {
            let end = i64::try_from(chunk.segment_end).unwrap_or(i64::MAX);
            let segment = chunk.segment_start as i64..end.max(window.end);
            bases.start.max(segment.start)..bases.end.min(segment.end)
        }
    }
}

/// The core of a hit among bases from contig position `first` on that make these contributions, of which those in `reach`
/// count; `None` without any contribution.
pub(super) fn within(contributions: &[f64], first: i64, reach: &Range<i64>, hit: &Hit) -> Option<Core> {
    let core = Core::of(&contributions[(reach.start - first) as usize..(reach.end - first) as usize]);
    core.map(|core| core.moved((reach.start - hit.start as i64) as i32))
}

/// Variants of a window that are scored together.
const TOGETHER: usize = 1024;

/// Bases that are masked together, at least.
const SHORTEST_STRETCH: usize = 8;

/// Stretches that a window is cut into, at most, unless they would be shorter than that.
const STRETCHES: usize = 32;

/// A stretch matters if masking it takes this share of what masking the stretch that matters most takes.
const MATTERS: f64 = 0.1;

/// Stretches of which bases are masked one by one, at most.
const MOST_STRETCHES: usize = 8;

/// Finds the core of a hit in `chunk` by masking bases with N, scored with an engine of its model. Stretches of bases are
/// masked first. A base in one of the few stretches that matter contributes what masking it takes from the score; other bases
/// contribute nothing. That spares most of the work: a core is much shorter than its window.
///
/// # Errors
/// A failure of the engine.
pub fn masking(
    engine: &mut dyn Engine,
    output: usize,
    chunk: &Chunk,
    hit: &Hit,
    plan: &WindowPlan,
) -> Result<Core> {
    let mut variants = Variants::new(engine, output, chunk, hit, plan);
    let changed = match plan.context {
        Context::Padding => variants.left..variants.left + plan.window,
        Context::Flank => 0..variants.codes.len(),
    };
    let length = changed.len().div_ceil(STRETCHES).max(SHORTEST_STRETCH);
    let stretches: Vec<Range<usize>> =
        changed.clone().step_by(length).map(|from| from..(from + length).min(changed.end)).collect();
    let losses = variants.losses(&stretches)?;
    let least = MATTERS * losses.iter().copied().fold(0.0, f64::max);
    let mut matters: Vec<(Range<usize>, f64)> =
        stretches.into_iter().zip(losses).filter(|&(_, loss)| loss > 0.0 && loss >= least).collect();
    matters.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    matters.truncate(MOST_STRETCHES);
    let bases: Vec<Range<usize>> = matters
        .into_iter()
        .flat_map(|(stretch, _)| stretch)
        .filter(|&at| variants.codes[at] != N)
        .map(|at| at..at + 1)
        .collect();
    let losses = variants.losses(&bases)?;
    let mut contributions = vec![0.0; variants.codes.len()];
    for (base, loss) in bases.iter().zip(losses) {
        contributions[base.start] = loss;
    }
    let first = hit.start as i64 - variants.left as i64;
    let reach = reach(first..first + contributions.len() as i64, chunk, hit, plan);
    Ok(within(&contributions, first, &reach, hit).unwrap_or_else(|| Core::whole(plan.window as u64)))
}

/// Scores a window with some of its bases masked.
struct Variants<'a> {
    engine: &'a mut dyn Engine,
    output: usize,
    /// Score of the window as it is.
    score: f64,
    /// The window with its flanks.
    codes: Vec<u8>,
    /// Bases of the left flank.
    left: usize,
    /// Variants lie one behind the other, each with its own flanks, and start at multiples of the stride.
    plan: WindowPlan,
    scores: Scores,
}

impl<'a> Variants<'a> {
    fn new(engine: &'a mut dyn Engine, output: usize, chunk: &Chunk, hit: &Hit, plan: &WindowPlan) -> Self {
        let strands = match hit.strand {
            Strand::Forward => StrandChoice::Forward,
            Strand::Reverse => StrandChoice::Reverse,
        };
        let (left, right) = engine.flanks(plan);
        let unit = left + plan.window + right;
        let plan = WindowPlan { stride: unit, strands, ..*plan };
        let mut codes = Vec::with_capacity(unit);
        chunk.codes_at(hit.start as i64 - left as i64, unit, &mut codes);
        Variants { engine, output, score: hit.score.into(), codes, left, plan, scores: Scores::default() }
    }

    /// What masking each stretch of bases takes from the score.
    fn losses(&mut self, stretches: &[Range<usize>]) -> Result<Vec<f64>> {
        let (unit, window) = (self.codes.len(), self.plan.window);
        let mut losses = Vec::with_capacity(stretches.len());
        for stretches in stretches.chunks(TOGETHER) {
            let mut variants = Chunk::whole("masked", self.codes.repeat(stretches.len()));
            for (codes, stretch) in variants.codes.chunks_exact_mut(unit).zip(stretches) {
                codes[stretch.clone()].fill(N);
            }
            variants.start = (unit - self.left) as u64;
            variants.own = unit as u64..((stretches.len() + 1) * unit) as u64;
            variants.end = (stretches.len() * unit + window) as u64;
            self.engine.score(&variants, &self.plan, &mut self.scores)?;
            let Scores { forward, reverse, windows, .. } = &self.scores;
            let of_strand = if forward.is_empty() { reverse } else { forward };
            let row = &of_strand[self.output * windows..(self.output + 1) * windows];
            losses.extend(row.iter().map(|&score| self.score - f64::from(score)));
        }
        Ok(losses)
    }
}
