//! One score for a whole sequence, as the published DeepBind program gives it.

use crate::engine::Engine;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
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
    if codes.is_empty() {
        return Err(Error::Data("a sequence without bases has no score".into()));
    }
    let whole = codes.len() <= plan.window;
    let plan = if whole {
        WindowPlan { window: codes.len(), stride: 1, context: Context::Padding, ..*plan }
    } else {
        *plan
    };
    let mut scores = Scores::default();
    engine.score(&Chunk::whole("", codes.to_vec()), &plan, &mut scores)?;
    let summary = if whole { Summary::Max } else { summary };
    let of_windows = |windows: &[f32]| match summary {
        Summary::Max => windows.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        Summary::Average => (windows.iter().map(|&x| f64::from(x)).sum::<f64>() / codes.len() as f64) as f32,
    };
    let of_strand = |strand: &[f32]| strand.chunks(scores.windows).map(of_windows).collect::<Vec<f32>>();
    Ok(match plan.strands {
        StrandChoice::Forward => of_strand(&scores.forward),
        StrandChoice::Reverse => of_strand(&scores.reverse),
        StrandChoice::Both => {
            let pairs = of_strand(&scores.forward).into_iter().zip(of_strand(&scores.reverse));
            pairs.map(|(forward, reverse)| forward.max(reverse)).collect()
        }
    })
}
