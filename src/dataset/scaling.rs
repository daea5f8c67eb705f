//! Making measured numbers fit to be learned, as published for DeepBind (Alipanahi et al. 2015, supplementary notes):
//! replicates to their median, the largest values clamped, then mean 0 and standard deviation 1.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::dataset::metric::quantile;
use crate::dataset::{Dataset, TargetKind};
use crate::{Error, Result};

/// Values above this quantile are clamped to it.
pub const CLAMP_QUANTILE: f64 = 0.9995;

/// Under this name a model's provenance holds the [`Scaling`] of the targets it was fitted to.
pub const PROVENANCE_KEY: &str = "target_scaling";

/// Scaling of the targets of one output: `(min(value, clamp) - mean) / deviation`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Largest value that is left as it is.
    pub clamp: f64,
    /// Mean of the clamped values.
    pub mean: f64,
    /// Standard deviation of the clamped values (divided by their number).
    pub deviation: f64,
}

/// A [`Scale`] for each output, learned from training data and kept with the model, so that test data are put on the
/// same scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scaling {
    /// One an output.
    pub scales: Vec<Scale>,
}

impl Scaling {
    /// Learns the scales from the targets that are not missing.
    ///
    /// # Errors
    /// An output without values, or whose clamped values are all the same.
    pub fn fit(dataset: &Dataset) -> Result<Scaling> {
        let scale = |(output, name): (usize, &String)| {
            Scale::fit(&dataset.target_column(output))
                .ok_or_else(|| Error::Data(format!("column {name} has no values that differ")))
        };
        Ok(Scaling { scales: dataset.output_names.iter().enumerate().map(scale).collect::<Result<_>>()? })
    }

    /// Scales the targets. The digest is left as it is: it stands for the data as they came.
    ///
    /// # Errors
    /// Another number of outputs.
    pub fn apply(&self, dataset: &mut Dataset) -> Result<()> {
        if self.scales.len() != dataset.outputs {
            return Err(Error::Mismatch(format!(
                "the model was fitted to {} outputs, and the data have {}",
                self.scales.len(),
                dataset.outputs
            )));
        }
        for row in dataset.targets.chunks_exact_mut(dataset.outputs) {
            row.iter_mut().zip(&self.scales).for_each(|(target, scale)| *target = scale.apply(*target));
        }
        Ok(())
    }
}

impl Scale {
    fn fit(targets: &[f32]) -> Option<Scale> {
        let mut values: Vec<f64> = targets.iter().filter(|t| !t.is_nan()).map(|&t| f64::from(t)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let clamp = if values.is_empty() { return None } else { quantile(&values, CLAMP_QUANTILE) };
        let count = values.len() as f64;
        let clamped = || values.iter().map(|value| value.min(clamp));
        let mean = clamped().sum::<f64>() / count;
        let deviation = (clamped().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        (deviation > 0.0).then_some(Scale { clamp, mean, deviation })
    }

    /// A target on this scale; NaN stays.
    pub fn apply(&self, target: f32) -> f32 {
        if target.is_nan() {
            return target;
        }
        ((f64::from(target).min(self.clamp) - self.mean) / self.deviation) as f32
    }
}

/// Joins rows with the same sequence: each output has the median of its values that are not missing. Sequences keep
/// the order, and the fold, of their first appearance. Second: how many rows were joined to an earlier one.
///
/// # Errors
/// A binary data set: classes have no median.
pub fn join_replicates(dataset: &Dataset) -> Result<(Dataset, usize)> {
    if dataset.kind == TargetKind::Binary {
        return Err(Error::Data("replicates of 0 and 1 have no median".into()));
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: HashMap<&[u8], usize> = HashMap::with_capacity(dataset.len());
    for (row, codes) in dataset.sequences.iter().enumerate() {
        let group = *group_of.entry(codes).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(rows) => rows.push(row),
            None => groups.push(vec![row]),
        }
    }
    let joined = dataset.len() - groups.len();
    if joined == 0 {
        return Ok((dataset.clone(), 0));
    }
    let value = |row: usize, output: usize| dataset.targets[row * dataset.outputs + output];
    let targets = groups.iter().flat_map(|rows| {
        (0..dataset.outputs).map(move |output| median(rows.iter().map(|&row| value(row, output)).collect()))
    });
    let mut result = Dataset::new(
        groups.iter().map(|rows| dataset.sequences[rows[0]].clone()).collect(),
        targets.collect(),
        dataset.output_names.clone(),
        dataset.kind,
    )?;
    result.folds = dataset.folds.as_ref().map(|folds| groups.iter().map(|rows| folds[rows[0]]).collect());
    Ok((result, joined))
}

/// Median of the values that are not NaN; NaN if there are none.
fn median(mut values: Vec<f32>) -> f32 {
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f32::total_cmp);
    match values.len() {
        0 => f32::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f32::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}
