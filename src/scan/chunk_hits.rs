//! Scores of one scanner for a chunk or a read, and the hits among them.

use std::ops::Range;

use crate::engine::scanner::{OutputScores, Scanner, Wanted};
use crate::scan::ambiguous;
use crate::scan::ambiguous::{Ambiguous, Rule, Windows};
use crate::scores::{Hit, Scores, collect};
use crate::seq::chunk::Chunk;
use crate::seq::window::WindowPlan;
use crate::track::Target;
use crate::{Error, Result};

/// Requested statistics of the windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The scores of all windows, also of those that reach no threshold.
    pub(crate) all: bool,
    /// The scores of those that do, and not their hits alone.
    pub(crate) scores: bool,
    /// Hits.
    pub(crate) hits: bool,
}

/// Hits of a scanner.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Hits of each output of the scanner, by start and strand.
    hits: Vec<Vec<Hit>>,
    /// Windows that there are, a number for each [plan](Scanner::plans) of the scanner.
    pub(crate) windows: Vec<u64>,
    /// Number of them that were left out, over all plans.
    pub(crate) left_out: u64,
    /// Windows of each output that were not left out.
    pub(crate) tested: Vec<u64>,
    ambiguous: Ambiguous,
    /// Numbers of the windows of each plan that were not left out.
    kept: Vec<Vec<Range<usize>>>,
}

impl Rule {
    pub(crate) fn from_target(target: &Target) -> Rule {
        Rule { window: target.window, most_n: target.most_n }
    }
}

impl Windows {
    fn from_plan(chunk: &Chunk, plan: &WindowPlan) -> Windows {
        let (first, count) = chunk.windows(plan);
        Windows { first, stride: plan.stride as u64, count }
    }

    pub(crate) fn from_scores(scores: &Scores) -> Windows {
        Windows { first: scores.start, stride: scores.stride as u64, count: scores.windows }
    }
}

impl Found {
    /// The hits of one output.
    pub(crate) fn hits(&mut self, output: usize) -> &mut Vec<Hit> {
        &mut self.hits[output]
    }

    /// Finds the windows that are left out, of the plans of a scanner that `targets` follow.
    fn begin(&mut self, chunk: &Chunk, scanner: &dyn Scanner, targets: &[(usize, &Target)]) {
        self.hits.iter_mut().for_each(Vec::clear);
        self.hits.resize_with(self.hits.len().max(scanner.outputs()), Vec::new);
        self.ambiguous.begin(chunk);
        let plans = scanner.plans();
        let of_plan = |plan: &WindowPlan| Windows::from_plan(chunk, plan);
        self.windows.clear();
        self.windows.extend(plans.iter().map(|plan| of_plan(plan).count as u64));
        self.kept.resize_with(self.kept.len().max(plans.len()), Vec::new);
        self.tested.clear();
        self.tested.resize(scanner.outputs(), 0);
        self.left_out = 0;
        let mut last = None;
        for (_, target) in targets {
            let rank = scanner.plan_rank(target.output);
            // The windows of all outputs of a model are the same.
            if last != Some(rank) {
                let windows = of_plan(&plans[rank]);
                self.ambiguous.keep(chunk, Rule::from_target(target), windows, &mut self.kept[rank]);
                self.left_out += (windows.count - ambiguous::count(&self.kept[rank])) as u64;
                last = Some(rank);
            }
            self.tested[target.output] = ambiguous::count(&self.kept[rank]) as u64;
        }
    }

    /// Scores `chunk` for those `targets`, each with its rank, that are this scanner's; the targets of a model stand
    /// together. The findings replace earlier ones. If scores are needed, `take` is given each target with its row of them
    /// as soon as they are known, and the numbers of the windows that count: those that are not left out for their N. It
    /// answers with the start of a window whose score is NaN, if it meets one. `place` says in words where a window is.
    ///
    /// # Errors
    /// A failure of the engine; a score that is NaN.
    pub(crate) fn scan(
        &mut self,
        scanner: &mut dyn Scanner,
        chunk: &Chunk,
        targets: &[(usize, &Target)],
        need: Need,
        mut take: impl FnMut((usize, &Target), &Scores, usize, &[Range<usize>]) -> Result<(), u64>,
        place: impl Fn(u64) -> String,
    ) -> Result<()> {
        self.begin(chunk, scanner, targets);
        let Found { hits, kept, .. } = self;
        let ranks: Vec<usize> = targets.iter().map(|(_, target)| scanner.plan_rank(target.output)).collect();
        let not_a_number = |target: &Target, start: u64| {
            Error::model(&target.name, format!("gave NaN for the window at {}", place(start)))
        };
        if need.all || need.scores {
            let lowest = targets.iter().map(|(_, target)| target.lowest()).fold(f32::INFINITY, f32::min);
            let least = (!need.all).then_some(lowest);
            let by_output = ByOutput::new(targets.iter().map(|(_, target)| target.output));
            scanner.score_outputs(chunk, least, &mut |OutputScores { output, scores, row }| {
                for i in by_output.of(output) {
                    let ((rank, target), kept) = (targets[i], &kept[ranks[i]]);
                    let nan = |start| not_a_number(target, start);
                    if need.hits {
                        collect(scores, row, kept, target.hit_rule(), &mut hits[output]).map_err(nan)?;
                    }
                    take((rank, target), scores, row, kept).map_err(nan)?;
                }
                Ok(())
            })
        } else if need.hits {
            let wanted = targets.iter().zip(&ranks).map(|((_, target), &plan)| Wanted {
                output: target.output,
                rule: target.hit_rule(),
                kept: &kept[plan],
            });
            let wanted: Vec<Wanted<'_>> = wanted.collect();
            scanner.find_hits(chunk, &wanted, hits, &|rank, start| not_a_number(targets[rank].1, start))
        } else {
            Ok(())
        }
    }
}

/// The ranks of targets, by the outputs of a scanner that they are of.
pub(crate) struct ByOutput(Vec<(usize, usize)>);

impl ByOutput {
    /// Of targets with these outputs.
    pub(crate) fn new(outputs: impl Iterator<Item = usize>) -> ByOutput {
        let mut all: Vec<(usize, usize)> = outputs.zip(0..).collect();
        all.sort_unstable();
        ByOutput(all)
    }

    /// The ranks of the targets of an output, in order.
    pub(crate) fn of(&self, output: usize) -> impl Iterator<Item = usize> {
        let first = self.0.partition_point(|&(other, _)| other < output);
        self.0[first..].iter().take_while(move |&&(other, _)| other == output).map(|&(_, rank)| rank)
    }
}
