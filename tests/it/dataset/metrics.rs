//! Metrics against scikit-learn 1.x and SciPy, against their definitions, and under transformations.

use bindscan::dataset::TargetKind;
use bindscan::dataset::metric::{
    Metric, auc, average_precision, labels_above, measure, pearson, precision_recall_curve, quantile, r2,
    roc_curve, spearman,
};
use proptest::prelude::*;

/// Numbers 0 to 999 of a linear congruential generator, the same in any language.
fn numbers(seed: u64, count: usize) -> Vec<u64> {
    let mut x = seed;
    let next = || {
        x = (x * 1_103_515_245 + 12_345) % (1 << 31);
        (x >> 8) % 1000
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Scores with ties, classes, and numbers.
fn case(seed: u64, count: usize, levels: u64) -> [Vec<f32>; 3] {
    let (a, b) = (numbers(seed, count), numbers(seed + 100, count));
    let pairs = || a.iter().zip(&b);
    let eighths = |x: u64| x as f32 / 8.0;
    let real = |(a, b)| if levels < 1000 { (a + b) % levels } else { a + b };
    [
        a.iter().map(|a| eighths(a % levels)).collect(),
        pairs().map(|(a, b)| f32::from(u8::from((a + 2 * b) / 2 >= 750))).collect(),
        pairs().map(real).map(eighths).collect(),
    ]
}

/// `roc_auc_score`, `average_precision_score`, `pearsonr`, `spearmanr` and `r2_score` of the cases.
#[test]
fn values_are_those_of_scikit_learn_and_scipy() {
    let expected = [
        (
            1,
            50,
            7,
            [0.551666666666667, 0.427124035384905, 0.037925824256147, 0.054768185518531, -0.830334190231362],
        ),
        (
            2,
            200,
            1000,
            [0.657802483974359, 0.629405914494493, 0.705972503385310, 0.700846258216424, -0.891627620995330],
        ),
        (
            3,
            1000,
            20,
            [
                0.483829306678520,
                0.470002904065519,
                -0.046067759865570,
                -0.045467603268032,
                -1.179899513316848,
            ],
        ),
        (
            4,
            25,
            3,
            [
                0.609649122807018,
                0.369215686274510,
                -0.018145530081671,
                -0.023262528896703,
                -1.136075949367088,
            ],
        ),
    ];
    for (seed, count, levels, want) in expected {
        let [scores, labels, real] = case(seed, count, levels);
        let got = [
            auc(&scores, &labels),
            average_precision(&scores, &labels),
            pearson(&scores, &real),
            spearman(&scores, &real),
            r2(&scores, &real),
        ];
        for (got, want) in got.into_iter().zip(want) {
            assert!((got.unwrap() - want).abs() < 1e-12, "case {seed}: {got:?}, not {want}");
        }
    }
}

#[test]
fn what_is_not_defined_is_none() {
    let scores = [1.0, 2.0, 3.0];
    for labels in [[1.0; 3], [0.0; 3], [f32::NAN; 3]] {
        assert_eq!(auc(&scores, &labels), None);
        assert_eq!(average_precision(&scores, &labels), None);
        assert_eq!(pearson(&scores, &labels), None);
        assert_eq!(spearman(&scores, &labels), None);
        assert_eq!(r2(&scores, &labels), None);
    }
    assert_eq!(auc(&[1.0, f32::NAN], &[0.0, 1.0]), None, "a score that is NaN");
    assert_eq!(pearson(&[0.0, f32::INFINITY], &[0.0, 1.0]), None);
    assert_eq!(pearson(&[], &[]), None);
    assert_eq!(auc(&[f32::NEG_INFINITY, f32::INFINITY], &[0.0, 1.0]), Some(1.0));
}

#[test]
fn missing_targets_are_left_out_with_their_scores() {
    let (scores, labels) = ([0.1, 9.0, 0.4, f32::NAN, 0.3], [0.0, f32::NAN, 1.0, f32::NAN, 1.0]);
    assert_eq!(auc(&scores, &labels), Some(1.0));
    let measured = measure("x", TargetKind::Binary, &scores, &labels, 4.0, 1);
    assert!(measured.iter().all(|measured| measured.count == 3));
    assert_eq!(measured[0].positives, Some(2));
}

#[test]
fn outliers_are_the_positives_among_numbers() {
    let mut targets = vec![0.0; 100];
    targets[7] = 50.0;
    targets[9] = f32::NAN;
    let labels = labels_above(&targets, 4.0);
    assert_eq!(labels.iter().filter(|&&label| label == 1.0).count(), 1);
    assert!(labels[7] == 1.0 && labels[9].is_nan());
    let measured = measure("x", TargetKind::Real, &targets.map_nan(0.0), &targets, 4.0, 1);
    assert_eq!(measured.iter().find(|m| m.metric == Metric::Auc).unwrap().value, Some(1.0));
}

trait MapNan {
    fn map_nan(&self, value: f32) -> Vec<f32>;
}

impl MapNan for Vec<f32> {
    fn map_nan(&self, value: f32) -> Vec<f32> {
        self.iter().map(|&x| if x.is_nan() { value } else { x }).collect()
    }
}

#[test]
fn quantiles_are_linear_between_neighbours() {
    // numpy.quantile of the same values.
    let values = [1.0, 2.0, 4.0, 8.0];
    for (share, want) in [(0.0, 1.0), (0.25, 1.75), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
        assert!((quantile(&values, share) - want).abs() < 1e-12);
    }
}

#[test]
fn intervals_hold_the_value_repeat_by_seed_and_narrow_with_more_data() {
    let width = |count| {
        let [scores, labels, _] = case(2, count, 1000);
        let (value, interval) = Metric::Auc.with_interval(&scores, &labels, 1000, 5).unwrap();
        let interval = interval.unwrap();
        assert!(interval.low < value && value < interval.high);
        let again = Metric::Auc.with_interval(&scores, &labels, 1000, 5).unwrap();
        assert_eq!(again, (value, Some(interval)));
        assert_ne!(Metric::Auc.with_interval(&scores, &labels, 1000, 6).unwrap().1, Some(interval));
        interval.high - interval.low
    };
    let (few, many) = (width(100), width(1600));
    assert!(
        (3.0..5.5).contains(&(few / many)),
        "sixteen times the data, a quarter of the width: {few}, {many}"
    );
}

/// The standard error of the AUC by Hanley and McNeil (1982) is another road to the same width.
#[test]
fn the_interval_is_as_wide_as_theory_has_it() {
    let [scores, labels, _] = case(2, 1000, 1000);
    let (value, interval) = Metric::Auc.with_interval(&scores, &labels, 2000, 1).unwrap();
    let positives = labels.iter().filter(|&&label| label == 1.0).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let (q1, q2) = (value / (2.0 - value), 2.0 * value * value / (1.0 + value));
    let variance = (value * (1.0 - value)
        + (positives - 1.0) * (q1 - value * value)
        + (negatives - 1.0) * (q2 - value * value))
        / (positives * negatives);
    let width = interval.map(|interval| interval.high - interval.low).unwrap();
    let theory = 2.0 * 1.96 * variance.sqrt();
    assert!((width / theory - 1.0).abs() < 0.15, "{width} against {theory}");
}

proptest! {
    /// AUC and average precision by their definitions, over all pairs.
    #[test]
    fn ranking_metrics_are_what_their_definitions_say(
        pairs in prop::collection::vec((0u8..6, any::<bool>()), 2..40)
    ) {
        let scores: Vec<f32> = pairs.iter().map(|&(score, _)| f32::from(score)).collect();
        let labels: Vec<f32> = pairs.iter().map(|&(_, label)| f32::from(u8::from(label))).collect();
        let positives = pairs.iter().filter(|pair| pair.1).count();
        prop_assume!(positives > 0 && positives < pairs.len());
        let (mut won, mut met) = (0.0, 0.0);
        for (a, _) in pairs.iter().filter(|pair| pair.1) {
            for (b, _) in pairs.iter().filter(|pair| !pair.1) {
                won += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                met += 1.0;
            }
        }
        prop_assert!((auc(&scores, &labels).unwrap() - won / met).abs() < 1e-12);
        let mut sum = 0.0;
        for (cut, _) in pairs.iter().filter(|pair| pair.1) {
            let above = || pairs.iter().filter(|pair| pair.0 >= *cut);
            sum += above().filter(|pair| pair.1).count() as f64 / above().count() as f64;
        }
        prop_assert!((average_precision(&scores, &labels).unwrap() - sum / positives as f64).abs() < 1e-12);
    }

    /// The areas under the curves: by trapezia for ROC, by steps for precision and recall.
    #[test]
    fn curves_enclose_what_the_metrics_say(pairs in prop::collection::vec((0u8..9, any::<bool>()), 2..60)) {
        let scores: Vec<f32> = pairs.iter().map(|&(score, _)| f32::from(score)).collect();
        let labels: Vec<f32> = pairs.iter().map(|&(_, label)| f32::from(u8::from(label))).collect();
        let (roc, recall) = (roc_curve(&scores, &labels), precision_recall_curve(&scores, &labels));
        let Some(area) = auc(&scores, &labels) else {
            prop_assert!(roc.is_empty() && recall.is_empty());
            return Ok(());
        };
        let trapezia: f64 = roc.windows(2).map(|p| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0).sum();
        prop_assert!((trapezia - area).abs() < 1e-12);
        let mut before = 0.0;
        let steps: f64 = recall.iter().map(|&(r, p)| (r - std::mem::replace(&mut before, r)) * p).sum();
        prop_assert!((steps - average_precision(&scores, &labels).unwrap()).abs() < 1e-12);
        prop_assert_eq!((roc[0], roc[roc.len() - 1], recall[recall.len() - 1].0), ((0.0, 0.0), (1.0, 1.0), 1.0));
    }

    /// Ranks see the order only; correlations do not change with the units.
    #[test]
    fn metrics_do_not_change_with_the_units(
        pairs in prop::collection::vec((-8i32..8, -8i32..8), 3..40)
    ) {
        let scores: Vec<f32> = pairs.iter().map(|pair| pair.0 as f32).collect();
        let targets: Vec<f32> = pairs.iter().map(|pair| pair.1 as f32).collect();
        let cubes: Vec<f32> = scores.iter().map(|x| x * x * x).collect();
        let scaled: Vec<f32> = scores.iter().map(|x| 4.0 * x - 3.0).collect();
        let turned: Vec<f32> = scores.iter().map(|x| -x).collect();
        let labels: Vec<f32> = targets.iter().map(|&x| f32::from(u8::from(x > 0.0))).collect();
        let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        };
        prop_assert!(close(spearman(&scores, &targets), spearman(&cubes, &targets)));
        prop_assert!(close(auc(&scores, &labels), auc(&cubes, &labels)));
        prop_assert!(close(auc(&scores, &labels), auc(&turned, &labels).map(|x| 1.0 - x)));
        prop_assert!(close(pearson(&scores, &targets), pearson(&scaled, &targets)));
        prop_assert!(close(pearson(&scores, &targets), pearson(&targets, &scores)));
        prop_assert!(close(r2(&targets, &targets), spearman(&targets, &targets)));
    }
}
