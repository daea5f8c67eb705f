//! Scores of one scanner for a chunk or a read, and the hits among them.

use std::ops::Range;

use crate::engine::kernel::MatrixScanner;
use crate::engine::scanner::Scanner;
use crate::scan::ambiguous;
use crate::scan::ambiguous::{Ambiguous, Rule, Windows};
use crate::scores::Hit;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::sites;
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
    scores: Scores,
    /// Hits of each output of the scanner, by start.
    hits: Vec<Vec<Hit>>,
    /// Windows that there are: of a model, or of each matrix.
    pub(crate) windows: Vec<u64>,
    /// Number of them that were left out, over all matrices.
    pub(crate) left_out: u64,
    /// Windows of each output that were not left out.
    pub(crate) tested: Vec<u64>,
    ambiguous: Ambiguous,
    /// Numbers of the windows that were not left out.
    kept: Vec<Range<usize>>,
}

impl Found {
    /// The hits of one output.
    pub(crate) fn hits(&mut self, output: usize) -> &mut Vec<Hit> {
        if self.hits.len() <= output {
            self.hits.resize_with(output + 1, Vec::new);
        }
        &mut self.hits[output]
    }

    fn set_tested(&mut self, output: usize, windows: u64) {
        if self.tested.len() <= output {
            self.tested.resize(output + 1, 0);
        }
        self.tested[output] = windows;
    }

    /// Leaves out the hits of a matrix that have too many N, and counts its windows that have.
    fn leave_out(&mut self, chunk: &Chunk, target: &Target, matrices: &MatrixScanner) {
        let (first, count) = chunk.windows(&matrices.plan(target.output));
        let windows = Windows { first, stride: matrices.plan(target.output).stride as u64, count };
        self.ambiguous.keep(chunk, Rule::from_target(target), windows, &mut self.kept);
        let left_out = windows.count - ambiguous::count(&self.kept);
        self.set_tested(target.output, (windows.count - left_out) as u64);
        if left_out == 0 {
            return;
        }
        self.left_out += left_out as u64;
        let mut kept = self.kept.iter();
        let mut range = kept.next();
        self.hits[target.output].retain(|hit| {
            let number = ((hit.start - windows.first) / windows.stride) as usize;
            while range.is_some_and(|range| range.end <= number) {
                range = kept.next();
            }
            range.is_some_and(|range| range.contains(&number))
        });
    }
}

impl Rule {
    pub(crate) fn from_target(target: &Target) -> Rule {
        Rule { window: target.window, most_n: target.most_n }
    }
}

impl Windows {
    pub(crate) fn from_scores(scores: &Scores) -> Windows {
        Windows { first: scores.start, stride: scores.stride as u64, count: scores.windows }
    }
}

impl Scanner {
    /// Scores `chunk` for those `targets`, each with its rank, that are this scanner's. What it finds replaces what is in
    /// `found`. If scores are needed, `take` is given each target with its row of them as soon as they are known, and the
    /// numbers of the windows that count: those that are not left out for their N. It answers with the start of a window
    /// whose score is NaN, if it meets one. `place` says in words where a window is.
    ///
    /// # Errors
    /// A failure of the engine; a score that is NaN.
    pub(crate) fn scan(
        &mut self,
        chunk: &Chunk,
        targets: &[(usize, &Target)],
        need: Need,
        found: &mut Found,
        mut take: impl FnMut((usize, &Target), &Scores, usize, &[Range<usize>]) -> Result<(), u64>,
        place: impl Fn(u64) -> String,
    ) -> Result<()> {
        found.hits.iter_mut().for_each(Vec::clear);
        found.windows.clear();
        found.left_out = 0;
        found.tested.clear();
        found.ambiguous.begin(chunk);
        let mut take = |(rank, target): (usize, &Target),
                        (scores, row): (&Scores, usize),
                        kept: &[Range<usize>],
                        hits: &mut Vec<Hit>| {
            let collected =
                if need.hits { sites::collect(scores, row, kept, target.thresholds, hits) } else { Ok(()) };
            collected.and_then(|()| take((rank, target), scores, row, kept)).map_err(|start| {
                Error::model(&target.name, format!("gave NaN for the window at {}", place(start)))
            })
        };
        match self {
            Scanner::Model { engine, plan } => {
                let mut scores = std::mem::take(&mut found.scores);
                if need.all {
                    engine.score(chunk, plan, &mut scores)?;
                } else {
                    let lowest =
                        targets.iter().map(|(_, target)| target.lowest()).fold(f32::INFINITY, f32::min);
                    engine.score_above(chunk, plan, lowest, &mut scores)?;
                }
                found.windows.push(scores.windows as u64);
                let mut kept = std::mem::take(&mut found.kept);
                // The windows of all outputs are the same.
                if let Some((_, target)) = targets.first() {
                    found.ambiguous.keep(
                        chunk,
                        Rule::from_target(target),
                        Windows::from_scores(&scores),
                        &mut kept,
                    );
                    found.left_out = (scores.windows - ambiguous::count(&kept)) as u64;
                }
                for &(rank, target) in targets {
                    found.set_tested(target.output, ambiguous::count(&kept) as u64);
                    take((rank, target), (&scores, target.output), &kept, found.hits(target.output))?;
                }
                (found.scores, found.kept) = (scores, kept);
            }
            Scanner::Matrices(matrices) => {
                if need.all || need.scores {
                    let mut kept = std::mem::take(&mut found.kept);
                    matrices.score(chunk, |output, scores| {
                        for &(rank, target) in targets.iter().filter(|(_, target)| target.output == output) {
                            found.ambiguous.keep(
                                chunk,
                                Rule::from_target(target),
                                Windows::from_scores(scores),
                                &mut kept,
                            );
                            found.left_out += (scores.windows - ambiguous::count(&kept)) as u64;
                            found.set_tested(output, ambiguous::count(&kept) as u64);
                            take((rank, target), (scores, 0), &kept, found.hits(output))?;
                        }
                        Ok(())
                    })?;
                    found.kept = kept;
                } else if need.hits {
                    let thresholds: Vec<[f32; 2]> =
                        targets.iter().map(|(_, target)| target.thresholds).collect();
                    found.hits.resize_with(found.hits.len().max(thresholds.len()), Vec::new);
                    matrices.find(chunk, &thresholds, &mut found.hits);
                    for (_, target) in targets {
                        found.leave_out(chunk, target, matrices);
                    }
                }
                let windows = |matrix| matrices.windows(chunk, matrix) as u64;
                found.windows.extend((0..matrices.matrices()).map(windows));
            }
        }
        Ok(())
    }
}
