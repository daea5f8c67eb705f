//! One score for a whole sequence, as the published DeepBind program gives it.

use crate::engine::Engine;
use crate::engine::ensemble;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::{Error, Result};

/// Summary of the scores of a sequence's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// The highest of all windows and strands.
    Max,
    /// The sum over the windows divided by the number of bases; of two strands, the higher one.
    Average,
}

/// Scores of a sequence: one value for each of the model's outputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SequenceScores {
    /// Scores.
    pub scores: Vec<f32>,
    /// Standard deviation of the scores of an ensemble's members; NaN of any other model.
    pub spreads: Vec<f32>,
}

/// Scores a sequence of codes: one value for each of the model's outputs.
///
/// A sequence no longer than the window of `plan` is scored once, whole, with the model's own padding.
///
/// # Errors
/// A sequence without bases or too short for the model, and any failure of the engine.
pub fn score_sequence(
    engine: &mut dyn Engine,
    codes: &[u8],
    plan: &WindowPlan,
    summary: Summary,
) -> Result<Vec<f32>> {
    let (chunk, plan, summary) = whole_sequence(codes, plan, summary)?;
    let mut scores = Scores::default();
    engine.score(&chunk, &plan, &mut scores)?;
    let rows = Rows { plan: &plan, summary, bases: codes.len() };
    Ok((0..outputs(&scores))
        .map(|output| rows.value(&scores, output, rows.choice(&scores, output)))
        .collect())
}

/// As [`score_sequence`], with how far the members of an ensemble lie apart: at the window and the strand that the mean is
/// highest at, or for averages, on the strand on which that of the mean is higher.
///
/// # Errors
/// As [`score_sequence`].
pub fn score_sequence_and_spread(
    engine: &mut dyn Engine,
    codes: &[u8],
    plan: &WindowPlan,
    summary: Summary,
) -> Result<SequenceScores> {
    if engine.members().is_empty() {
        let scores = score_sequence(engine, codes, plan, summary)?;
        let spreads = vec![f32::NAN; scores.len()];
        return Ok(SequenceScores { scores, spreads });
    }
    let (chunk, plan, summary) = whole_sequence(codes, plan, summary)?;
    let members = ensemble::of_members(engine, &chunk, &plan)?;
    let mean = ensemble::mean(&members);
    let rows = Rows { plan: &plan, summary, bases: codes.len() };
    let mut found = SequenceScores::default();
    for output in 0..outputs(&mean) {
        let choice = rows.choice(&mean, output);
        found.scores.push(rows.value(&mean, output, choice));
        let own = members.iter().map(|scores| rows.value(scores, output, choice));
        found.spreads.push(ensemble::deviation(own));
    }
    Ok(found)
}

/// A sequence as a chunk, and how it is scored.
fn whole_sequence(codes: &[u8], plan: &WindowPlan, summary: Summary) -> Result<(Chunk, WindowPlan, Summary)> {
    if codes.is_empty() {
        return Err(Error::Data("a sequence without bases has no score".into()));
    }
    let whole = codes.len() <= plan.window;
    let plan = if whole {
        WindowPlan { window: codes.len(), stride: 1, context: Context::Padding, ..*plan }
    } else {
        *plan
    };
    let summary = if whole { Summary::Max } else { summary };
    Ok((Chunk::whole("", codes.to_vec()), plan, summary))
}

fn outputs(scores: &Scores) -> usize {
    scores.forward.len().max(scores.reverse.len()).checked_div(scores.windows).unwrap_or(0)
}

/// Where a score comes from: the strand, and of a maximum the window.
#[derive(Debug, Clone, Copy)]
struct Choice {
    strand: Strand,
    window: usize,
}

/// How scores of windows become one.
struct Rows<'a> {
    plan: &'a WindowPlan,
    summary: Summary,
    bases: usize,
}

impl Rows<'_> {
    /// The first window that has the maximum of a strand, or that of both; the forward strand of two alike.
    fn choice(&self, scores: &Scores, output: usize) -> Choice {
        let best = |strand: Strand| {
            let highest = |best: usize, (window, x): (usize, &f32), row: &[f32]| {
                if *x > row[best] || row[best].is_nan() { window } else { best }
            };
            let row = row(scores, output, strand);
            let window = row.iter().enumerate().fold(0, |best, at| highest(best, at, row));
            Choice { strand, window }
        };
        match self.plan.strands {
            StrandChoice::Forward => best(Strand::Forward),
            StrandChoice::Reverse => best(Strand::Reverse),
            StrandChoice::Both => {
                let (forward, reverse) = (best(Strand::Forward), best(Strand::Reverse));
                let value = |choice| self.value(scores, output, choice);
                // A NaN gives way.
                if value(reverse) > value(forward) || value(forward).is_nan() { reverse } else { forward }
            }
        }
    }

    fn value(&self, scores: &Scores, output: usize, choice: Choice) -> f32 {
        let row = row(scores, output, choice.strand);
        match self.summary {
            Summary::Max => row.get(choice.window).copied().unwrap_or(f32::NEG_INFINITY),
            Summary::Average => (row.iter().map(|&x| f64::from(x)).sum::<f64>() / self.bases as f64) as f32,
        }
    }
}

fn row(scores: &Scores, output: usize, strand: Strand) -> &[f32] {
    let all = if strand == Strand::Forward { &scores.forward } else { &scores.reverse };
    &all[output * scores.windows..(output + 1) * scores.windows]
}
