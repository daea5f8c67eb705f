//! A model judged by a data set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::dataset::metric;
use crate::dataset::metric::{Measured, measure};
use crate::dataset::{Dataset, TargetKind};
use crate::engine::Engine;
use crate::engine::summary::{Summary, score_sequence};
use crate::seq::window::WindowPlan;
use crate::{Error, Result};

/// Scores every sequence with an engine for each thread: `scores[sequence * outputs + output]`, whatever their number.
///
/// A sequence's score is that of its best window under `plan` on the better of the strands; a sequence no longer than
/// the window is one window, whole.
///
/// # Errors
/// A sequence too short for the model (the first, by its number), a score that is not finite, a failure of the engine, or
/// [`Error::Interrupted`] once `cancelled` is set.
///
/// # Panics
/// If there is no engine.
pub fn score_dataset(
    engines: &mut [Box<dyn Engine>],
    dataset: &Dataset,
    plan: &WindowPlan,
    cancelled: &AtomicBool,
) -> Result<Vec<f32>> {
    let share = dataset.len().div_ceil(engines.len()).max(1);
    let parts: Vec<Result<Vec<f32>>> = thread::scope(|scope| {
        let parts = dataset.sequences.chunks(share).zip(engines.iter_mut()).enumerate();
        let threads: Vec<_> = parts
            .map(|(part, (sequences, engine))| {
                scope.spawn(move || score_part(engine.as_mut(), sequences, part * share, plan, cancelled))
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
    cancelled: &AtomicBool,
) -> Result<Vec<f32>> {
    let mut scores = Vec::with_capacity(sequences.len());
    for (i, codes) in sequences.iter().enumerate() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let place = || format!("sequence {} of the data ({} bases)", before + i + 1, codes.len());
        let row = score_sequence(engine, codes, plan, Summary::Max);
        let row = row.map_err(|error| Error::Data(format!("{}: {error}", place())))?;
        if row.iter().any(|score| !score.is_finite()) {
            return Err(Error::Data(format!("{}: its score is not finite", place())));
        }
        scores.extend(row);
    }
    Ok(scores)
}

/// The scores of the outputs that the data are about: those with the data's names if the model has all of them, otherwise
/// all in their order, if they are as many.
///
/// # Errors
/// Outputs that do not match.
pub fn choose_outputs(scores: &[f32], outputs: &[String], wanted: &[String]) -> Result<Vec<f32>> {
    let place = |name: &String| outputs.iter().position(|output| output == name);
    match wanted.iter().map(place).collect::<Option<Vec<usize>>>() {
        Some(places) => {
            let rows = scores.chunks_exact(outputs.len());
            Ok(rows.flat_map(|row| places.iter().map(|&place| row[place])).collect())
        }
        None if outputs.len() == wanted.len() => Ok(scores.to_vec()),
        None => Err(Error::Mismatch(format!(
            "the model has {} outputs ({}), and the data have {} ({}): choose columns with --target",
            outputs.len(),
            outputs.join(", "),
            wanted.len(),
            wanted.join(", ")
        ))),
    }
}

/// Metrics of every output ([`measure`]): `scores[sequence * outputs + output]`.
///
/// # Panics
/// If there is not one score for each target.
pub fn measure_dataset(dataset: &Dataset, scores: &[f32], positive_sigmas: f64, seed: u64) -> Vec<Measured> {
    assert_eq!(scores.len(), dataset.targets.len());
    let measured = dataset.output_names.iter().enumerate().map(|(output, name)| {
        let column: Vec<f32> = scores.iter().skip(output).step_by(dataset.outputs).copied().collect();
        measure(name, dataset.kind, &column, &dataset.target_column(output), positive_sigmas, seed)
    });
    measured.flatten().collect()
}

/// To six decimals, which a state file keeps exactly.
pub(crate) fn rounded(metric: f64) -> f64 {
    (metric * 1e6).round() / 1e6
}

/// The metric that fits are compared by: mean over outputs of AUC or Pearson correlation, to six decimals. An output
/// for which it is not defined (one class only among those held out) does not count; with none, it is 0.
///
/// `scores[rank * outputs + output]` are those of the examples with the ranks `ranks`, in that order.
pub(crate) fn mean_metric(dataset: &Dataset, ranks: &[u32], scores: &[f32]) -> f64 {
    let mut metrics = Vec::with_capacity(dataset.outputs);
    for output in 0..dataset.outputs {
        let pairs = ranks.iter().enumerate().map(|(i, &rank)| {
            (scores[i * dataset.outputs + output], dataset.targets[rank as usize * dataset.outputs + output])
        });
        let (scores, targets): (Vec<f32>, Vec<f32>) = pairs.filter(|(_, target)| !target.is_nan()).unzip();
        metrics.extend(match dataset.kind {
            TargetKind::Binary => metric::auc(&scores, &targets),
            TargetKind::Real => metric::pearson(&scores, &targets),
        });
    }
    rounded(metrics.iter().sum::<f64>() / metrics.len().max(1) as f64)
}
