//! Scanners: each scores the windows of a chunk for one model or for several together, and finds the hits among them.

use std::ops::Range;

use crate::engine::Engine;
use crate::scores::{Hit, HitRule, Scores, collect};
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::seq::window::{Context, WindowPlan};
use crate::{Error, Result};

/// The scanners of one worker.
pub type Scanners = Vec<Box<dyn Scanner>>;

/// Scores of one output of a scanner.
#[derive(Debug, Clone, Copy)]
pub struct OutputScores<'a> {
    /// The output.
    pub output: usize,
    /// Scores, among them those of the output.
    pub scores: &'a Scores,
    /// Row of `scores` that is the output's.
    pub row: usize,
}

/// Hits that are wanted of one output.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The output.
    pub output: usize,
    /// Rule by which its windows are hits.
    pub rule: HitRule,
    /// Numbers of the windows that count, sorted and apart from each other.
    pub kept: &'a [Range<usize>],
}

/// Scores every window of a chunk for one or many outputs, and finds the windows that reach thresholds.
///
/// Outputs are counted from 0 over all models of the scanner.
pub trait Scanner: Send {
    /// The implementation in a word or two for people, with its instruction set or device.
    fn description(&self) -> String;

    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// The windows that are scored: a plan for each model.
    fn plans(&self) -> &[WindowPlan];

    /// Rank of the plan that an output's windows follow.
    fn plan_rank(&self, output: usize) -> usize;

    /// Real bases looked at on each side of a window: left and right.
    fn flanks(&self) -> (usize, usize);

    /// Scores every window of `chunk`, and gives the scores of each output to `each`. Scores below `least` may come as minus
    /// infinity.
    ///
    /// # Errors
    /// A failure of the engine, and whatever `each` gives.
    fn score_outputs(
        &mut self,
        chunk: &Chunk,
        least: Option<f32>,
        each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>,
    ) -> Result<()>;

    /// Scores a chunk shorter than every window as one window, with the model's own padding. A scanner that cannot gives no
    /// scores.
    ///
    /// # Errors
    /// As [`score_outputs`](Scanner::score_outputs).
    fn score_whole(
        &mut self,
        chunk: &Chunk,
        each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>,
    ) -> Result<()>;

    /// Appends the hits of each output of `wanted` to `hits[output]`, by start and strand; [`Hit::target`] is the output.
    /// Each output is wanted once at the most. `not_a_number` makes the error for a window whose score is NaN, from the rank in `wanted`
    /// and the start of the window.
    ///
    /// # Errors
    /// A failure of the engine, and a score that is NaN.
    fn find_hits(
        &mut self,
        chunk: &Chunk,
        wanted: &[Wanted<'_>],
        hits: &mut [Vec<Hit>],
        not_a_number: &dyn Fn(usize, u64) -> Error,
    ) -> Result<()>;

    /// The engine, if there is one that scores windows under other plans than the scanner's own.
    fn engine(&mut self) -> Option<&mut dyn Engine>;

    /// The windows of an output.
    fn plan(&self, output: usize) -> &WindowPlan {
        &self.plans()[self.plan_rank(output)]
    }

    /// Bases of the longest window.
    fn longest(&self) -> usize {
        self.plans().iter().map(|plan| plan.window).max().unwrap_or(0)
    }

    /// Bases that the score of a window depends on: the window, and its flanks where the model sees them. Windows that share
    /// one of them see the same match of a filter.
    fn seen(&self, output: usize) -> u64 {
        let (left, right) = self.flanks();
        (left + self.plan(output).window + right) as u64
    }
}

/// Replaces what is in `hits` by those hits of all windows of `chunk` that each of some outputs has by its rule, as
/// [`Scanner::find_hits`] gives them; gives the windows of each, in the order of `rules`.
///
/// # Errors
/// As [`Scanner::find_hits`]; `not_a_number` gets the rank in `rules`.
pub fn find_in_all_windows(
    scanner: &mut dyn Scanner,
    chunk: &Chunk,
    rules: impl Iterator<Item = (usize, HitRule)> + Clone,
    hits: &mut Vec<Vec<Hit>>,
    not_a_number: &dyn Fn(usize, u64) -> Error,
) -> Result<Vec<Range<usize>>> {
    hits.iter_mut().for_each(Vec::clear);
    hits.resize_with(hits.len().max(scanner.outputs()), Vec::new);
    let windows: Vec<Range<usize>> =
        rules.clone().map(|(output, _)| 0..chunk.windows(scanner.plan(output)).1).collect();
    let wanted = |((output, rule), windows)| Wanted { output, rule, kept: std::slice::from_ref(windows) };
    let wanted: Vec<Wanted<'_>> = rules.zip(&windows).map(wanted).collect();
    scanner.find_hits(chunk, &wanted, hits, not_a_number)?;
    Ok(windows)
}

/// Scans with one model, of which each output is a target.
pub struct EngineScanner {
    engine: Box<dyn Engine>,
    plan: WindowPlan,
    scores: Scores,
}

impl EngineScanner {
    /// A scanner with an engine of its own, for the windows of `plan`.
    pub fn new(engine: Box<dyn Engine>, plan: WindowPlan) -> EngineScanner {
        EngineScanner { engine, plan, scores: Scores::default() }
    }

    /// Gives the scores of each output to `each`.
    fn give(&self, each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>) -> Result<()> {
        let scores = &self.scores;
        (0..self.outputs()).try_for_each(|output| each(OutputScores { output, scores, row: output }))
    }
}

impl Scanner for EngineScanner {
    fn description(&self) -> String {
        self.engine.description()
    }

    fn outputs(&self) -> usize {
        self.engine.spec().outputs.len()
    }

    fn plans(&self) -> &[WindowPlan] {
        std::slice::from_ref(&self.plan)
    }

    fn plan_rank(&self, _output: usize) -> usize {
        0
    }

    fn flanks(&self) -> (usize, usize) {
        self.engine.flanks(&self.plan)
    }

    fn score_outputs(
        &mut self,
        chunk: &Chunk,
        least: Option<f32>,
        each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>,
    ) -> Result<()> {
        match least {
            Some(least) => self.engine.score_above(chunk, &self.plan, least, &mut self.scores)?,
            None => self.engine.score(chunk, &self.plan, &mut self.scores)?,
        }
        self.give(each)
    }

    fn score_whole(
        &mut self,
        chunk: &Chunk,
        each: &mut dyn FnMut(OutputScores<'_>) -> Result<()>,
    ) -> Result<()> {
        let plan = WindowPlan { window: chunk.codes.len(), context: Context::Padding, ..self.plan };
        self.engine.score(chunk, &plan, &mut self.scores)?;
        self.give(each)
    }

    fn find_hits(
        &mut self,
        chunk: &Chunk,
        wanted: &[Wanted<'_>],
        hits: &mut [Vec<Hit>],
        not_a_number: &dyn Fn(usize, u64) -> Error,
    ) -> Result<()> {
        let least = wanted.iter().flat_map(|wanted| wanted.rule.thresholds).fold(f32::INFINITY, f32::min);
        self.engine.score_above(chunk, &self.plan, least, &mut self.scores)?;
        for (rank, &Wanted { output, rule, kept }) in wanted.iter().enumerate() {
            collect(&self.scores, output, kept, rule, &mut hits[output])
                .map_err(|start| not_a_number(rank, start))?;
        }
        Ok(())
    }

    fn engine(&mut self) -> Option<&mut dyn Engine> {
        Some(self.engine.as_mut())
    }
}

/// The chunk shape that serves several scanners at once, with `own` window starts a chunk.
pub fn chunk_shape(own: usize, scanners: &[Box<dyn Scanner>]) -> ChunkShape {
    let mut shape = ChunkShape { own, left: 0, right: 0, reach: 0 };
    for scanner in scanners {
        let ((left, right), reach) = (scanner.flanks(), scanner.longest() - 1);
        shape.left = shape.left.max(left);
        shape.right = shape.right.max(reach + right);
        shape.reach = shape.reach.max(reach);
    }
    shape
}
