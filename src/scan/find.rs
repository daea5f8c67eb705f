//! What a scanner finds in a chunk, or in a read: scores, and the hits among them.

use super::Scanner;
use crate::engine::Scores;
use crate::hits::{self, Hit};
use crate::source::Chunk;
use crate::track::Target;
use crate::{Error, Result};

/// What is to be known of the windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// The scores of all windows, also of those that reach no threshold.
    pub(super) all: bool,
    /// The scores of those that do, and not their hits alone.
    pub(super) scores: bool,
    /// Hits.
    pub(super) hits: bool,
}

/// What a scanner found.
#[derive(Debug, Default)]
pub(super) struct Found {
    scores: Scores,
    /// Hits of each output of the scanner, by start.
    hits: Vec<Vec<Hit>>,
    /// Windows that were scored: by a model, or by each matrix.
    pub(super) windows: Vec<u64>,
}

impl Found {
    /// The hits of one output.
    pub(super) fn hits(&mut self, output: usize) -> &mut Vec<Hit> {
        if self.hits.len() <= output {
            self.hits.resize_with(output + 1, Vec::new);
        }
        &mut self.hits[output]
    }
}

impl Scanner {
    /// Scores `chunk` for those `targets`, each with its rank, that are this scanner's. What it finds replaces what is in
    /// `found`; `take` is given each target with its row of the scores as soon as they are known, if they are needed, and
    /// answers with the start of a window whose score is NaN, if it meets one. `place` says in words where a window is.
    ///
    /// # Errors
    /// A failure of the engine; a score that is NaN.
    pub(super) fn scan(
        &mut self,
        chunk: &Chunk,
        targets: &[(usize, &Target)],
        need: Need,
        found: &mut Found,
        mut take: impl FnMut((usize, &Target), &Scores, usize) -> Result<(), u64>,
        place: impl Fn(u64) -> String,
    ) -> Result<()> {
        found.hits.iter_mut().for_each(Vec::clear);
        found.windows.clear();
        let mut take =
            |(rank, target): (usize, &Target), scores: &Scores, row: usize, hits: &mut Vec<Hit>| {
                let collected =
                    if need.hits { hits::collect(scores, row, target.threshold, hits) } else { Ok(()) };
                collected.and_then(|()| take((rank, target), scores, row)).map_err(|start| {
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
                        targets.iter().map(|(_, target)| target.threshold).fold(f32::INFINITY, f32::min);
                    engine.score_above(chunk, plan, hits::unrounded_bound(lowest), &mut scores)?;
                }
                found.windows.push(scores.windows as u64);
                for &(rank, target) in targets {
                    take((rank, target), &scores, target.output, found.hits(target.output))?;
                }
                found.scores = scores;
            }
            Scanner::Matrices(matrices) => {
                if need.all || need.scores {
                    matrices.score(chunk, |output, scores| {
                        let mut of_matrix = targets.iter().filter(|(_, target)| target.output == output);
                        of_matrix.try_for_each(|&(rank, target)| {
                            take((rank, target), scores, 0, found.hits(output))
                        })
                    })?;
                } else if need.hits {
                    let thresholds: Vec<f32> = targets.iter().map(|(_, target)| target.threshold).collect();
                    found.hits.resize_with(found.hits.len().max(thresholds.len()), Vec::new);
                    matrices.find(chunk, &thresholds, &mut found.hits);
                }
                let windows = |matrix| matrices.windows(chunk, matrix) as u64;
                found.windows.extend((0..matrices.matrices()).map(windows));
            }
        }
        Ok(())
    }
}
