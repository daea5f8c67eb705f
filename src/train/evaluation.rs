//! A model judged by a data set.

use std::thread;

use super::dataset::Dataset;
use super::metric::{Measured, measure};
use crate::engine::summary::{Summary, score_sequence};
use crate::engine::{Engine, WindowPlan};
use crate::{Error, Result};

/// Scores every sequence with an engine for each thread: `scores[sequence * outputs + output]`, whatever their number.
///
/// A sequence's score is that of its best window under `plan` on the better of the strands; a sequence no longer than
/// the window is one window, whole.
///
/// # Errors
/// A sequence too short for the model (the first, by its number), a score that is not finite, or a failure of the
/// engine.
///
/// # Panics
/// If there is no engine.
pub fn score_dataset(
    engines: &mut [Box<dyn Engine>],
    dataset: &Dataset,
    plan: &WindowPlan,
) -> Result<Vec<f32>> {
    let share = dataset.len().div_ceil(engines.len()).max(1);
    let parts: Vec<Result<Vec<f32>>> = thread::scope(|scope| {
        let parts = dataset.sequences.chunks(share).zip(engines.iter_mut()).enumerate();
        let threads: Vec<_> = parts
            .map(|(part, (sequences, engine))| {
                scope.spawn(move || score_part(engine.as_mut(), sequences, part * share, plan))
            })
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(parts.concat())
}

fn score_part(
    engine: &mut dyn Engine,
    sequences: &[Vec<u8>],
    before: usize,
    plan: &WindowPlan,
) -> Result<Vec<f32>> {
    let mut scores = Vec::with_capacity(sequences.len());
    for (i, codes) in sequences.iter().enumerate() {
        let place = || format!("sequence {} of the data ({} bases)", before + i + 1, codes.len());
        let row = score_sequence(engine, codes, plan, Summary::Max);
        let row = row.map_err(|error| Error::Request(format!("{}: {error}", place())))?;
        if row.iter().any(|score| !score.is_finite()) {
            return Err(Error::Request(format!("{}: its score is not finite", place())));
        }
        scores.extend(row);
    }
    Ok(scores)
}

/// Metrics of every output ([`measure`]); `scores` as [`score_dataset`] gives them.
///
/// # Errors
/// Scores of another number of outputs than the data have.
pub fn measure_dataset(
    dataset: &Dataset,
    scores: &[f32],
    positive_sigmas: f64,
    seed: u64,
) -> Result<Vec<Measured>> {
    if scores.len() != dataset.targets.len() {
        return Err(Error::Request(format!(
            "the model has {} outputs, and the data have {} ({})",
            scores.len() / dataset.len().max(1),
            dataset.outputs,
            dataset.output_names.join(", ")
        )));
    }
    let measured = dataset.output_names.iter().enumerate().map(|(output, name)| {
        let column: Vec<f32> = scores.iter().skip(output).step_by(dataset.outputs).copied().collect();
        measure(name, dataset.kind, &column, &dataset.target_column(output), positive_sigmas, seed)
    });
    Ok(measured.flatten().collect())
}
