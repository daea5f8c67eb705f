//! Agreement of scores with measurements: ranking metrics for classes, correlations for numbers, and bootstrap
//! intervals for both.
//!
//! Ties are treated exactly: tied scores share a midrank in the area under the ROC curve and in Spearman's
//! coefficient, and form one step in the average precision (as in scikit-learn). Targets that are NaN are missing, and
//! their scores are left out. A metric that is not defined is `None`: one class only, no variation, fewer than two
//! values, or a score that is NaN.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::dataset::TargetKind;

/// Area under the ROC curve: the chance that a positive (label above 0.5) scores higher than a negative, ties counting
/// one half.
///
/// ```
/// use bindscan::dataset::metric::auc;
///
/// assert_eq!(auc(&[0.9, 0.8, 0.8, 0.1], &[1.0, 1.0, 0.0, 0.0]), Some(0.875));
/// ```
pub fn auc(scores: &[f32], labels: &[f32]) -> Option<f64> {
    Metric::Auc.of(scores, labels)
}

/// Average precision: precision at each distinct score, weighted by the recall gained there. It summarises the
/// precision-recall curve without interpolation.
pub fn average_precision(scores: &[f32], labels: &[f32]) -> Option<f64> {
    Metric::AveragePrecision.of(scores, labels)
}

/// Pearson's correlation coefficient.
pub fn pearson(scores: &[f32], targets: &[f32]) -> Option<f64> {
    Metric::Pearson.of(scores, targets)
}

/// Spearman's rank correlation coefficient, with midranks.
pub fn spearman(scores: &[f32], targets: &[f32]) -> Option<f64> {
    Metric::Spearman.of(scores, targets)
}

/// Coefficient of determination, 1 − (squared errors) / (squared deviations of the targets): scores are taken for
/// predictions in the targets' own units.
pub fn r2(scores: &[f32], targets: &[f32]) -> Option<f64> {
    Metric::R2.of(scores, targets)
}

/// A measure of agreement between scores and targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// [`auc`]
    Auc,
    /// [`average_precision`]
    AveragePrecision,
    /// [`pearson`]
    Pearson,
    /// [`spearman`]
    Spearman,
    /// [`r2`]
    R2,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Metric::Auc => "AUC",
            Metric::AveragePrecision => "AUPRC",
            Metric::Pearson => "Pearson",
            Metric::Spearman => "Spearman",
            Metric::R2 => "R2",
        })
    }
}

/// A range that a metric lies in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Metric {
    /// The metric of `scores` against `targets` (for ranking metrics, positives are targets above 0.5).
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn of(self, scores: &[f32], targets: &[f32]) -> Option<f64> {
        let paired = Paired::new(self, scores, targets)?;
        paired.value(&vec![1; paired.scores.len()])
    }

    /// The metric with its 95 % interval from the percentiles of `replicates` bootstrap samples: pairs drawn with
    /// replacement. Samples for which the metric is not defined are passed over; there is no interval if they are more
    /// than half. The same seed gives the same interval.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn with_interval(
        self,
        scores: &[f32],
        targets: &[f32],
        replicates: usize,
        seed: u64,
    ) -> Option<(f64, Option<Interval>)> {
        let paired = Paired::new(self, scores, targets)?;
        let count = paired.scores.len();
        let mut weights = vec![1; count];
        let value = paired.value(&weights)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut drawn: Vec<f64> = (0..replicates)
            .filter_map(|_| {
                weights.fill(0);
                (0..count).for_each(|_| weights[rng.random_range(0..count)] += 1);
                paired.value(&weights)
            })
            .collect();
        if drawn.is_empty() || 2 * drawn.len() < replicates {
            return Some((value, None));
        }
        drawn.sort_unstable_by(f64::total_cmp);
        Some((value, Some(Interval { low: quantile(&drawn, 0.025), high: quantile(&drawn, 0.975) })))
    }
}

/// Quantile of sorted values, linear between neighbours.
///
/// # Panics
/// If there are no values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Scores and targets that are there, sorted once, so that a bootstrap sample (a weight for each pair) costs no sort.
struct Paired {
    metric: Metric,
    scores: Vec<f64>,
    targets: Vec<f64>,
    /// Ranks of the pairs by rising score.
    by_score: Vec<usize>,
    /// Ranks of the pairs by rising target; empty where the metric does not need it.
    by_target: Vec<usize>,
}

impl Paired {
    fn new(metric: Metric, scores: &[f32], targets: &[f32]) -> Option<Paired> {
        assert_eq!(scores.len(), targets.len());
        let present = || scores.iter().zip(targets).filter(|(_, target)| !target.is_nan());
        let score_column: Vec<f64> = present().map(|(&score, _)| f64::from(score)).collect();
        if score_column.iter().any(|score| score.is_nan()) {
            return None;
        }
        let target_column: Vec<f64> = present().map(|(_, &target)| f64::from(target)).collect();
        let (ranked, ranked_twice) = match metric {
            Metric::Auc | Metric::AveragePrecision => (true, false),
            Metric::Spearman => (true, true),
            Metric::Pearson | Metric::R2 => (false, false),
        };
        Some(Paired {
            metric,
            by_score: if ranked { order(&score_column) } else { Vec::new() },
            by_target: if ranked_twice { order(&target_column) } else { Vec::new() },
            scores: score_column,
            targets: target_column,
        })
    }

    /// The metric where pair i is there `weights[i]` times.
    fn value(&self, weights: &[u32]) -> Option<f64> {
        match self.metric {
            Metric::Auc => self.auc(weights),
            Metric::AveragePrecision => self.average_precision(weights),
            Metric::Pearson => correlation(&self.scores, &self.targets, weights),
            Metric::Spearman => correlation(
                &midranks(&self.scores, &self.by_score, weights),
                &midranks(&self.targets, &self.by_target, weights),
                weights,
            ),
            Metric::R2 => self.r2(weights),
        }
    }

    /// Positives and negatives among the pairs with the same score.
    fn classes(&self, group: &[usize], weights: &[u32]) -> (f64, f64) {
        let (mut positives, mut negatives) = (0.0, 0.0);
        for &i in group {
            *(if self.targets[i] > 0.5 { &mut positives } else { &mut negatives }) += f64::from(weights[i]);
        }
        (positives, negatives)
    }

    fn groups(&self) -> impl DoubleEndedIterator<Item = &[usize]> {
        self.by_score.chunk_by(|&a, &b| self.scores[a] == self.scores[b])
    }

    fn auc(&self, weights: &[u32]) -> Option<f64> {
        let (mut positives, mut negatives, mut won) = (0.0, 0.0, 0.0);
        for group in self.groups() {
            let (up, down) = self.classes(group, weights);
            won += up * (negatives + down / 2.0);
            positives += up;
            negatives += down;
        }
        (positives > 0.0 && negatives > 0.0).then(|| won / (positives * negatives))
    }

    fn average_precision(&self, weights: &[u32]) -> Option<f64> {
        let (mut positives, mut negatives, mut sum) = (0.0, 0.0, 0.0);
        for group in self.groups().rev() {
            let (up, down) = self.classes(group, weights);
            positives += up;
            negatives += down;
            if up > 0.0 {
                sum += up * positives / (positives + negatives);
            }
        }
        (positives > 0.0 && negatives > 0.0).then(|| sum / positives)
    }

    fn r2(&self, weights: &[u32]) -> Option<f64> {
        let mean = weighted_mean(&self.targets, weights)?;
        let sum = |term: &dyn Fn(usize) -> f64| -> f64 {
            (0..weights.len()).map(|i| f64::from(weights[i]) * term(i)).sum()
        };
        let errors = sum(&|i| (self.targets[i] - self.scores[i]).powi(2));
        let deviations = sum(&|i| (self.targets[i] - mean).powi(2));
        (deviations > 0.0 && errors.is_finite()).then(|| 1.0 - errors / deviations)
    }
}

/// Corners of the ROC curve, from (0, 0) to (1, 1): false positive rate and true positive rate at each distinct score,
/// falling. Empty where the AUC is not defined.
///
/// # Panics
/// If the slices differ in length.
pub fn roc_curve(scores: &[f32], labels: &[f32]) -> Vec<(f64, f64)> {
    let steps = steps(scores, labels);
    let Some(&(positives, negatives)) = steps.last() else { return steps };
    let corners = steps.into_iter().map(|(up, down)| (down / negatives, up / positives));
    std::iter::once((0.0, 0.0)).chain(corners).collect()
}

/// Points of the precision-recall curve: recall and precision at each distinct score, falling. Empty where the average
/// precision is not defined.
///
/// # Panics
/// If the slices differ in length.
pub fn precision_recall_curve(scores: &[f32], labels: &[f32]) -> Vec<(f64, f64)> {
    let steps = steps(scores, labels);
    let Some(&(positives, _)) = steps.last() else { return steps };
    steps.into_iter().map(|(up, down)| (up / positives, up / (up + down))).collect()
}

/// True and false positives at each distinct score, falling: the last step has all positives and all negatives. Empty if
/// there is one class only.
fn steps(scores: &[f32], labels: &[f32]) -> Vec<(f64, f64)> {
    let Some(paired) = Paired::new(Metric::Auc, scores, labels) else { return Vec::new() };
    let weights = vec![1; paired.scores.len()];
    let (mut positives, mut negatives) = (0.0, 0.0);
    let mut steps = Vec::new();
    for group in paired.groups().rev() {
        let (up, down) = paired.classes(group, &weights);
        positives += up;
        negatives += down;
        steps.push((positives, negatives));
    }
    if positives > 0.0 && negatives > 0.0 { steps } else { Vec::new() }
}

/// Ranks of the values by size.
fn order(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    order
}

/// Midrank of each value, counted from 0, where value i is there `weights[i]` times.
fn midranks(values: &[f64], order: &[usize], weights: &[u32]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0.0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let size: f64 = group.iter().map(|&i| f64::from(weights[i])).sum();
        group.iter().for_each(|&i| ranks[i] = below + (size - 1.0) / 2.0);
        below += size;
    }
    ranks
}

fn weighted_mean(values: &[f64], weights: &[u32]) -> Option<f64> {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let sum: f64 = values.iter().zip(weights).map(|(value, &weight)| value * f64::from(weight)).sum();
    (total > 0.0).then(|| sum / total)
}

fn correlation(a: &[f64], b: &[f64], weights: &[u32]) -> Option<f64> {
    let (mean_a, mean_b) = (weighted_mean(a, weights)?, weighted_mean(b, weights)?);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for ((&x, &y), &weight) in a.iter().zip(b).zip(weights) {
        let (x, y, weight) = (x - mean_a, y - mean_b, f64::from(weight));
        aa += weight * x * x;
        bb += weight * y * y;
        ab += weight * x * y;
    }
    let value = ab / (aa.sqrt() * bb.sqrt());
    value.is_finite().then(|| value.clamp(-1.0, 1.0))
}

/// A metric of one output on one data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the output.
    pub output: String,
    /// Measured values.
    pub metric: Metric,
    /// Its value; `None` where it is not defined.
    pub value: Option<f64>,
    /// 95 % bootstrap interval, where there is one.
    pub interval: Option<Interval>,
    /// Pairs of score and target that it was computed from.
    pub count: usize,
    /// Positives among them, for ranking metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positives: Option<usize>,
}

impl Measured {
    /// Negatives for each positive, of a metric that depends on it: that of chance is 1 / (1 + this).
    pub fn negatives_per_positive(&self) -> Option<f64> {
        let positives = self.positives.filter(|&positives| positives > 0)?;
        let depends = self.metric == Metric::AveragePrecision;
        depends.then(|| (self.count - positives) as f64 / positives as f64)
    }

    /// Positives to negatives, as `1:10`, where the metric depends on it.
    pub fn ratio(&self) -> Option<String> {
        self.negatives_per_positive().map(|ratio| format!("1:{}", ratio_text(ratio)))
    }

    /// The metric's name, with the ratio of positives to negatives where it depends on that: `AUPRC (1:10)`.
    pub fn title(&self) -> String {
        match self.ratio() {
            Some(ratio) => format!("{} ({ratio})", self.metric),
            None => self.metric.to_string(),
        }
    }
}

/// A ratio with as many digits as tell it from others: 10, 2.5, 0.33.
fn ratio_text(ratio: f64) -> String {
    let text = if ratio < 1.0 { format!("{ratio:.3}") } else { format!("{ratio:.1}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bootstrap samples behind an interval.
pub const REPLICATES: usize = 1000;

/// All metrics that go with the kind of target.
///
/// Classes: AUC, AUPRC, Pearson, Spearman. Numbers: Pearson, Spearman, R², and AUC and AUPRC with values above mean +
/// `positive_sigmas` standard deviations as positives, as is usual for protein-binding microarrays (4).
///
/// # Panics
/// If the slices differ in length.
pub fn measure(
    output: &str,
    kind: TargetKind,
    scores: &[f32],
    targets: &[f32],
    positive_sigmas: f64,
    seed: u64,
) -> Vec<Measured> {
    let metrics: &[Metric] = match kind {
        TargetKind::Binary => &[Metric::Auc, Metric::AveragePrecision, Metric::Pearson, Metric::Spearman],
        TargetKind::Real => {
            &[Metric::Pearson, Metric::Spearman, Metric::R2, Metric::Auc, Metric::AveragePrecision]
        }
    };
    let labels = match kind {
        TargetKind::Binary => targets.to_vec(),
        TargetKind::Real => labels_above(targets, positive_sigmas),
    };
    let count = targets.iter().filter(|target| !target.is_nan()).count();
    let measured = metrics.iter().map(|&metric| {
        let ranking = matches!(metric, Metric::Auc | Metric::AveragePrecision);
        let against = if ranking { &labels } else { targets };
        let result = metric.with_interval(scores, against, REPLICATES, seed);
        Measured {
            output: output.to_owned(),
            metric,
            value: result.map(|(value, _)| value),
            interval: result.and_then(|(_, interval)| interval),
            count,
            positives: ranking.then(|| labels.iter().filter(|&&label| label > 0.5).count()),
        }
    });
    measured.collect()
}

/// 1 for targets above mean + `sigmas` standard deviations, 0 for the others; NaN stays.
pub fn labels_above(targets: &[f32], sigmas: f64) -> Vec<f32> {
    let present: Vec<f64> = targets.iter().filter(|t| !t.is_nan()).map(|&t| f64::from(t)).collect();
    let count = present.len().max(1) as f64;
    let mean = present.iter().sum::<f64>() / count;
    let deviation = (present.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / count).sqrt();
    let cut = mean + sigmas * deviation;
    let label = |&target: &f32| match target {
        target if target.is_nan() => f32::NAN,
        target => f32::from(u8::from(f64::from(target) > cut)),
    };
    targets.iter().map(label).collect()
}
