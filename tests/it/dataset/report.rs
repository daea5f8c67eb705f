//! The training report: complete, well formed, and on its own.

use bindscan::dataset::TargetKind;
use bindscan::dataset::metric::measure;
use bindscan::model::Alphabet;
use bindscan::model::inspect::Layer;
use bindscan::model::usage::{BoundScores, GenomeWide, Level, Threshold};
use bindscan::train::report::filter::FilterProfile;
use bindscan::train::report::{Checkpoint, Compared, ScoredSet, TrainingReport, Trial, facts};

use crate::common::html::elements;

fn scored(set: &str, kind: TargetKind, count: u64, separation: f32) -> ScoredSet {
    let mut x = 7 + count;
    let mut noise = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 40) as f32 / (1 << 24) as f32
    };
    let targets: Vec<f32> =
        (0..count).map(|i| if kind == TargetKind::Binary { (i % 2) as f32 } else { noise() * 3.0 }).collect();
    let scores: Vec<f32> = targets.iter().map(|t| separation * t + noise() + noise() + noise()).collect();
    let measured = measure("bound", kind, &scores, &targets, 4.0, 1);
    ScoredSet { set: set.into(), kind, scores, targets, measured }
}

fn trial(number: usize) -> Trial {
    let rate = 5e-4 * 100f64.powf(((number * 37) % 30) as f64 / 30.0);
    let reached = 0.95 - 0.03 * (rate.log10() + 2.2).powi(2) - 0.002 * (number % 7) as f64;
    let checkpoint = |i: u64| Checkpoint {
        step: 4000 * i,
        loss: 0.2 + 0.5 / i as f64 + 0.01 * (number % 5) as f64,
        score: reached - 0.04 / i as f64,
    };
    Trial {
        number,
        learning_rate: rate,
        parameters: vec![
            ("Momentum".into(), format!("0.9{}", number % 9)),
            ("Dropout".into(), "0.25".into()),
        ],
        checkpoints: (1..=5).map(checkpoint).collect(),
        score: (number != 13).then_some(reached),
        best: number == 4,
    }
}

fn profile(filter: usize, sites: usize) -> FilterProfile {
    let column = |j: usize| {
        let mut counts = [1.0, 2.0, 3.0, 1.0].map(|x| x * sites as f64 / 60.0);
        counts[(j * 7 + filter) % 4] += sites as f64 * if (3..12).contains(&j) { 0.9 } else { 0.05 };
        counts
    };
    // The tenth filter looks for the same as the second.
    let mut x = if filter == 9 { 1 } else { filter as u64 };
    let mut weight = |_| {
        [(); 4].map(|()| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 40) as f64 / f64::from(1 << 23) - 1.0
        })
    };
    FilterProfile {
        filter,
        sites,
        counts: (0..24).map(column).collect(),
        weights: (0..24).map(&mut weight).collect(),
        alone: (filter != 2).then_some(0.9 - 0.02 * filter as f64),
    }
}

fn layer(name: &str, stride: Option<usize>) -> Layer {
    Layer {
        name: name.into(),
        shape: "[N, 16]".into(),
        sees: Some(24),
        stride,
        pads: (0, 0),
        parameter_shapes: Vec::new(),
        parameters: 1552,
    }
}

fn threshold(level: Level, score: f32, genome_wide: Option<GenomeWide>) -> Threshold {
    Threshold { level, score, p_value: level.p_value(), background: "hg38.fa".into(), genome_wide }
}

fn report() -> TrainingReport {
    let found = GenomeWide { sites: 1234, precision: 0.5, recall: 0.25 };
    TrainingReport {
        name: "ELK1 <GM12878> & friends".into(),
        summary: "16 filters of 24 bases, fitted to 5,084 bound and 5,084 unbound sequences of 101 bases."
            .into(),
        facts: vec![
            ("Data".into(), "ELK1_GM12878_AC.seq.gz, SHA-256 1f0c…".into()),
            ("Seed".into(), "1".into()),
            ("Pooling".into(), "maximum and average".into()),
        ],
        notes: vec!["12 repeated sequences".into()],
        outcomes: vec![
            scored("test", TargetKind::Binary, 1000, 1.4),
            scored("cross-validation", TargetKind::Binary, 8000, 1.3),
        ],
        search_score: "cross-validated AUC".into(),
        compared: Compared::HyperParameters,
        trials: (1..=30).map(trial).collect(),
        thresholds: vec![
            threshold(Level::Lenient, 1.0, Some(found)),
            threshold(Level::Default, 2.5, Some(found)),
            threshold(Level::Strict, 4.0, None),
        ],
        bound: BoundScores::of("held out", (0..=100).map(|i| i as f32 / 25.0).collect()),
        layers: vec![layer("convolution, 16 filters of length 24", Some(1)), layer("output layer", None)],
        filters: (0..16).map(|k| profile(k, if k == 5 { 3 } else { 900 - 40 * k })).collect(),
        alphabet: Alphabet::Dna,
    }
}

#[test]
fn the_page_is_well_formed_and_has_everything() {
    let html = report().to_html();
    let seen = elements(&html);
    let count = |name: &str| seen.iter().filter(|other| *other == name).count();
    assert_eq!(count("h2"), 9);
    // ROC, precision and recall, two histograms, 15 logos, the search, loss and score.
    assert_eq!(count("svg"), 2 + 2 + 15 + 1 + 2);
    assert_eq!(count("tr"), 1 + 2 + 1 + 3 + 1 + 30 + 1 + 2);
    assert!(html.contains("Filter 1, like 1 other: AUC 0.88 alone") && !html.contains("Filter 9"));
    assert!(html.contains(
        "<th scope=\"row\">default</th><td>2.500</td><td>0.0001</td><td>38 %</td><td>1,234</td><td>0.500</td>\
         <td>0.250</td>"
    ));
    assert!(html.contains("<td>[N, 16]</td><td>24</td><td>1</td><td>1,552</td>"));
    assert_eq!(count("circle"), 29, "one trial failed");
    assert!(html.contains("<h1>ELK1 &lt;GM12878&gt; &amp; friends</h1>"));
    assert!(html.contains("1 trials failed") && html.contains("weights; too few sites"));
    assert!(
        html.contains("<th scope=\"col\">Momentum</th>") && !html.contains("<th scope=\"col\">Dropout</th>")
    );
    assert!(html.contains("The same in all trials: Dropout 0.25."));
    for word in ["NaN", "inf", "http:", "https:", "<script", "url(", "@import"] {
        let found = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(word), "{word}");
    }
    if let Ok(path) = std::env::var("BINDSCAN_REPORT_SAMPLE") {
        std::fs::write(path, html).unwrap();
    }
}

#[test]
fn numbers_instead_of_classes_make_a_scatter_plot() {
    let outcomes = vec![scored("test", TargetKind::Real, 5000, 1.0)];
    let html = TrainingReport { outcomes, alphabet: Alphabet::Rna, ..report() }.to_html();
    assert!(html.contains("one of 3 sequences is drawn") && !html.contains("ROC"));
    assert_eq!(elements(&html).iter().filter(|name| *name == "svg").count(), 1 + 15 + 1 + 2);
    assert!(html.contains("Spearman 0.90 alone"));
}

#[test]
fn several_outputs_are_told_apart_and_fits_are_no_trials() {
    let mut outcomes = report().outcomes;
    for (outcome, output) in outcomes.iter_mut().zip(["ELK1", "CREB1 <x>"]) {
        outcome.set = "held out".into();
        outcome.measured.iter_mut().for_each(|measured| measured.output = output.into());
    }
    let value = |outcome: &ScoredSet| outcome.measured[0].value.unwrap();
    let mean = outcomes.iter().map(value).sum::<f64>() / 2.0;
    let trials = (1..=3).map(|number| Trial { learning_rate: 1e-3, ..trial(number) }).collect();
    let html = TrainingReport { outcomes, trials, compared: Compared::Weights, ..report() }.to_html();
    assert!(html.contains(&format!("<b>{mean:.3}</b><span>AUC (mean of 2 outputs, held out)")), "{html}");
    assert!(html.contains("held out, CREB1 &lt;x&gt;") && html.contains("sequences bound by ELK1 that"));
    assert!(html.contains("<th scope=\"col\">Fit</th>") && html.contains("The same in all fits: "));
    assert!(!html.contains("means over the folds") && !html.contains("against its learning rate"));
}

#[test]
fn what_is_missing_is_left_out() {
    let bare = TrainingReport {
        facts: Vec::new(),
        notes: Vec::new(),
        outcomes: Vec::new(),
        trials: Vec::new(),
        thresholds: Vec::new(),
        layers: Vec::new(),
        filters: Vec::new(),
        ..report()
    };
    let seen = elements(&bare.to_html());
    assert!(!seen.iter().any(|name| ["h2", "svg", "table"].contains(&name.as_str())), "{seen:?}");
    let one_class = ScoredSet {
        set: "test".into(),
        kind: TargetKind::Binary,
        scores: vec![1.0, 1.0],
        targets: vec![1.0, f32::NAN],
        measured: measure("bound", TargetKind::Binary, &[1.0, 1.0], &[1.0, f32::NAN], 4.0, 1),
    };
    let html = TrainingReport { outcomes: vec![one_class], ..bare }.to_html();
    elements(&html);
    assert!(!html.contains("NaN"));
}

#[test]
fn provenance_becomes_facts() {
    let provenance = serde_json::json!({
        "data_sha256": "3c71",
        "final_fits": [0.912556, 0.5],
        "held_out": [{"metric": "auc", "value": 0.9}],
        "hyper_parameters": {"batch": 64, "dense_scale": null, "optimizer": {"name": "adam", "rate": 0.0055133}},
    });
    let names = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        names("Data sha256", "3c71"),
        names("Final fits", "0.913, 0.5"),
        names("Hyper parameters: batch", "64"),
        names("Hyper parameters: optimizer", "name adam, rate 0.00551"),
    ];
    assert_eq!(facts(provenance.as_object().unwrap()), expected);
}
