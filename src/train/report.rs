//! The report on a training: one web page that needs nothing else, for screens wide and narrow, light and dark, and for
//! paper.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::dataset::TargetKind;
use crate::dataset::metric::{Measured, Metric, precision_recall_curve, roc_curve};
use crate::model::Alphabet;
use crate::model::inspect::Layer;
use crate::model::usage::{BoundScores, Threshold};
use crate::report::chart::{Axis, Chart, significant};
use crate::report::filter::{Distinct, distinct, like_others};
use crate::report::logo::Logo;
use crate::report::svg::escape;
use crate::report::{self, capitalized, figure, figures, grouped, more_than};

pub mod filter;

use filter::FilterProfile;

/// Everything that the page shows. What is empty is left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingReport {
    /// Name of the model.
    pub name: String,
    /// Networks and data, in a sentence.
    pub summary: String,
    /// Further facts: what it is, and its value ([`facts`]).
    pub facts: Vec<(String, String)>,
    /// Oddities of the data, one sentence each.
    pub notes: Vec<String>,
    /// The model's scores on data; the most trustworthy first, whose metrics head the page.
    pub outcomes: Vec<ScoredSet>,
    /// Name of the number that the search went by, for instance "cross-validated AUC".
    pub search_score: String,
    /// Parameters in which the trials differ.
    pub compared: Compared,
    /// Every trial of the search.
    pub trials: Vec<Trial>,
    /// Recommended thresholds.
    pub thresholds: Vec<Threshold>,
    /// Scores of bound sequences, from which follows the share of them that reaches a threshold.
    pub bound: Option<BoundScores>,
    /// The model layer by layer ([`crate::model::inspect::inspect`]).
    pub layers: Vec<Layer>,
    /// The filters ([`filter::profiles`]).
    pub filters: Vec<FilterProfile>,
    /// Letters of the logos.
    pub alphabet: Alphabet,
}

/// Scores of one output on one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredSet {
    /// Name of the data, for instance "test" or "cross-validation".
    pub set: String,
    /// Kind of the targets.
    pub kind: TargetKind,
    /// Scores, one a sequence.
    pub scores: Vec<f32>,
    /// Targets, one a sequence; NaN where missing.
    pub targets: Vec<f32>,
    /// The metrics ([`crate::dataset::metric::measure`]).
    pub measured: Vec<Measured>,
}

/// Parameters in which the trials of a search differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Hyper-parameters: draws, each cross-validated.
    HyperParameters,
    /// The weights that they begin with: fits, validated on the same data.
    Weights,
}

impl Compared {
    /// Name of one of the trials.
    fn noun(self) -> &'static str {
        match self {
            Compared::HyperParameters => "trial",
            Compared::Weights => "fit",
        }
    }
}

/// One of those that were compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Number of the trial, from 1.
    pub number: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Name and value of every other hyper-parameter, the same names in all trials.
    pub parameters: Vec<(String, String)>,
    /// Metrics; with cross-validation, the means over the folds.
    pub checkpoints: Vec<Checkpoint>,
    /// Score of the trial, the higher the better; `None` if it failed.
    pub score: Option<f64>,
    /// True if it was chosen.
    pub best: bool,
}

/// A fit, some steps on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checkpoint {
    /// Steps made so far.
    pub step: u64,
    /// Loss on the training data.
    pub loss: f64,
    /// Score on the held-out fold.
    pub score: f64,
}

/// Outcomes that share a chart, told apart by colour.
const SERIES: usize = 6;

/// Corners of a curve that are drawn, about.
const CORNERS: usize = 400;

/// Points of a scatter plot that are drawn.
const POINTS: usize = 2000;

/// Bars of a histogram.
const BARS: usize = 40;

/// Fewer sites than this make no logo; the weights are shown instead.
const SITES: usize = 10;

/// Logos that are shown; a merged ensemble has very many filters.
const FILTERS: usize = 24;

/// The most telling filters, of which those that look alike share a logo.
const COMPARED: usize = 256;

impl TrainingReport {
    /// The page. It loads nothing and runs nothing.
    pub fn to_html(&self) -> String {
        let sections = [
            ("Accuracy", self.accuracy()),
            ("Thresholds", self.thresholds()),
            ("Curves", self.curves()),
            ("Scores", self.distributions()),
            ("Motifs", self.logos()),
            ("Search", self.search()),
            ("Training", self.fitting()),
            ("Layers", self.layers()),
            ("Data and model", self.facts()),
        ];
        let header =
            format!("<h1>{}</h1>\n<p>{}</p>\n{}", escape(&self.name), escape(&self.summary), self.headline());
        report::page(&format!("{}: training report", self.name), &header, &sections)
    }

    /// The first metrics on the first data, large: those of an output, or the means of several.
    fn headline(&self) -> String {
        let Some(first) = self.outcomes.first() else { return String::new() };
        let alike: Vec<&ScoredSet> =
            self.outcomes.iter().filter(|outcome| outcome.set == first.set).collect();
        let mut list = String::from("<ul class=\"heads\">\n");
        for measured in first.measured.iter().take(2) {
            let of_metric = alike.iter().flat_map(|outcome| &outcome.measured);
            let values: Vec<f64> = of_metric
                .filter(|other| other.metric == measured.metric)
                .filter_map(|measured| measured.value)
                .collect();
            if values.is_empty() {
                continue;
            }
            let value = values.iter().sum::<f64>() / values.len() as f64;
            let how_sure = match measured.interval {
                _ if alike.len() > 1 => format!("mean of {} outputs, ", values.len()),
                Some(interval) => format!("{:.3} to {:.3}, ", interval.low, interval.high),
                None => String::new(),
            };
            let _ = writeln!(
                list,
                "<li><b>{value:.3}</b><span>{} ({how_sure}{})</span></li>",
                escape(&measured.title()),
                escape(&first.set)
            );
        }
        list + "</ul>\n"
    }

    fn accuracy(&self) -> String {
        let mut metrics: Vec<Metric> = Vec::new();
        for measured in self.outcomes.iter().flat_map(|outcome| &outcome.measured) {
            if !metrics.contains(&measured.metric) {
                metrics.push(measured.metric);
            }
        }
        if metrics.is_empty() {
            return String::new();
        }
        let mut rows = String::new();
        for (outcome, label) in self.outcomes.iter().zip(self.labels()) {
            let find = |metric: &Metric| outcome.measured.iter().find(|measured| measured.metric == *metric);
            let count = outcome.measured.first().map_or(0, |measured| measured.count);
            let cells: String = metrics.iter().map(|metric| measured_cell(find(metric))).collect();
            let _ =
                writeln!(rows, "<tr><th scope=\"row\">{}</th><td>{count}</td>{cells}</tr>", escape(&label));
        }
        let heads: String = metrics.iter().map(|metric| format!("<th scope=\"col\">{metric}</th>")).collect();
        format!(
            "<div class=\"scroll\"><table class=\"sets\">\n<thead><tr><th scope=\"col\">Data</th><th scope=\"col\">Sequences</th>\
             {heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
             <p class=\"soft\">In brackets: 95 % bootstrap intervals, and of AUPRC positives to negatives.</p>"
        )
    }

    /// What a site is at each recommended threshold.
    fn thresholds(&self) -> String {
        let Some(first) = self.thresholds.first() else { return String::new() };
        let judged = self.thresholds.iter().any(|threshold| threshold.genome_wide.is_some());
        let mut heads = vec!["Threshold".to_owned(), "Score".into(), "p-value".into()];
        if let Some(bound) = &self.bound {
            heads.push(format!("Bound sequences ({}) above", bound.data));
        }
        if judged {
            heads.extend(["Sites", "Precision", "Recall"].map(str::to_owned));
        }
        let mut rows = String::new();
        for threshold in &self.thresholds {
            let mut cells = vec![format!("{:.3}", threshold.score), significant(threshold.p_value)];
            if let Some(bound) = &self.bound {
                cells.push(format!("{:.0} %", 100.0 * bound.share_above(threshold.score)));
            }
            if judged {
                let found = threshold.genome_wide;
                let share = |share: f64| format!("{share:.3}");
                cells.push(found.map_or_else(|| "–".into(), |found| grouped(found.sites)));
                cells.push(found.map_or_else(|| "–".into(), |found| share(found.precision)));
                cells.push(found.map_or_else(|| "–".into(), |found| share(found.recall)));
            }
            let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
            let _ = writeln!(rows, "<tr><th scope=\"row\">{}</th>{cells}</tr>", threshold.level.name());
        }
        let heads: String =
            heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escape(head))).collect();
        let on_contigs = if judged {
            " Sites, precision and recall: on whole held-out contigs, against the peaks."
        } else {
            ""
        };
        format!(
            "<div class=\"scroll\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
             <p class=\"soft\">p-value: share of the windows of background ({}) that reach it, on one strand.{on_contigs}</p>",
            escape(&first.background)
        )
    }

    /// A name for each outcome, with the output where there are several.
    fn labels(&self) -> Vec<String> {
        let several = self.has_several_outputs();
        let label = |outcome: &ScoredSet| match output(outcome) {
            Some(output) if several => format!("{}, {output}", outcome.set),
            _ => outcome.set.clone(),
        };
        self.outcomes.iter().map(label).collect()
    }

    fn has_several_outputs(&self) -> bool {
        let first = self.outcomes.first().and_then(output);
        self.outcomes.iter().any(|outcome| output(outcome) != first)
    }

    fn curves(&self) -> String {
        let labels = self.labels();
        let binary: Vec<(&ScoredSet, &String)> = self
            .outcomes
            .iter()
            .zip(&labels)
            .filter(|(outcome, _)| outcome.kind == TargetKind::Binary)
            .collect();
        let shown = &binary[..binary.len().min(SERIES)];
        if shown.is_empty() {
            return self.scatter_plots();
        }
        let mut roc = Chart::new(Axis::share("False positive rate"), Axis::share("True positive rate"))
            .line("guide", &[(0.0, 0.0), (1.0, 1.0)]);
        let mut recall = Chart::new(Axis::share("Recall"), Axis::share("Precision"));
        let (mut roc_legend, mut recall_legend) = (Vec::new(), Vec::new());
        for (i, (outcome, label)) in shown.iter().enumerate() {
            let class = report::series(i);
            roc = roc.line(&class, &thinned(&roc_curve(&outcome.scores, &outcome.targets)));
            recall =
                recall.line(&class, &thinned(&precision_recall_curve(&outcome.scores, &outcome.targets)));
            let entry = |metric: Metric| {
                let measured = outcome.measured.iter().find(|measured| measured.metric == metric);
                let value = measured.and_then(|measured| measured.value);
                let ratio = measured.and_then(Measured::ratio);
                let ratio = ratio.map_or_else(String::new, |ratio| format!(", {ratio}"));
                (
                    class.clone(),
                    value.map_or(label.to_string(), |value| format!("{label} ({value:.3}{ratio})")),
                )
            };
            roc_legend.push(entry(Metric::Auc));
            recall_legend.push(entry(Metric::AveragePrecision));
        }
        if let Some(share) = share_of_positives(shown) {
            recall = recall.line("guide", &[(0.0, share), (1.0, share)]);
        }
        let drawn = figure("ROC", &roc, "ROC curves", &roc_legend)
            + &figure("Precision and recall", &recall, "Precision-recall curves", &recall_legend);
        figures(&drawn) + &more_than(binary.len(), SERIES)
    }

    /// Scores against measured numbers.
    fn scatter_plots(&self) -> String {
        let mut drawn = String::new();
        for (outcome, label) in self.outcomes.iter().zip(self.labels()).take(SERIES) {
            let pairs =
                || outcome.targets.iter().zip(&outcome.scores).map(|(&t, &s)| (f64::from(t), f64::from(s)));
            let x = Axis::around("Measured", pairs().map(|pair| pair.0));
            let y = Axis::around("Score", pairs().map(|pair| pair.1));
            let step = outcome.scores.len().div_ceil(POINTS).max(1);
            let chart = pairs()
                .step_by(step)
                .fold(Chart::new(x, y), |chart, point| chart.dot("s1 cloud", 2.0, point, None));
            let shown = if step > 1 { format!("one of {step} sequences is drawn") } else { String::new() };
            let title = format!("Scores against measurements: {label}");
            drawn += &figure(&label, &chart, &title, &[(String::new(), shown)]);
        }
        figures(&drawn)
    }

    /// Histograms of the scores of bound and unbound sequences.
    fn distributions(&self) -> String {
        let mut drawn = String::new();
        let binary = |(outcome, _): &(&ScoredSet, String)| outcome.kind == TargetKind::Binary;
        for (outcome, label) in self.outcomes.iter().zip(self.labels()).filter(binary).take(SERIES) {
            let class = |wanted: bool| -> Vec<f64> {
                let pairs = outcome.scores.iter().zip(&outcome.targets);
                let chosen = pairs.filter(|(_, target)| !target.is_nan() && (**target > 0.5) == wanted);
                chosen.map(|(&score, _)| f64::from(score)).filter(|score| score.is_finite()).collect()
            };
            let (bound, unbound) = (class(true), class(false));
            let x = Axis::around("Score", bound.iter().chain(&unbound).copied());
            let range = extent(bound.iter().chain(&unbound));
            let (high, low) = (histogram(&bound, range), histogram(&unbound, range));
            let top = high.iter().chain(&low).map(|bar| bar.2).fold(0.0, f64::max);
            let y = Axis::new("Share of sequences (%)", 0.0, if top > 0.0 { top * 1.05 } else { 1.0 });
            let chart = Chart::new(x, y).bars("s2", &low).bars("s1", &high);
            let legend = [
                ("s1 block".to_owned(), format!("bound ({})", bound.len())),
                ("s2 block".to_owned(), format!("unbound ({})", unbound.len())),
            ];
            drawn +=
                &figure(&label, &chart, &format!("Scores of bound and unbound sequences: {label}"), &legend);
        }
        figures(&drawn)
    }

    fn logos(&self) -> String {
        let mut figures = String::new();
        let weights: Vec<&[[f64; 4]]> =
            self.filters.iter().take(COMPARED).map(|profile| &*profile.weights).collect();
        let distinct = distinct(&weights);
        for &Distinct { rank, alike } in distinct.iter().take(FILTERS) {
            let profile = &self.filters[rank];
            let number = profile.filter;
            let (logo, made_of) = if profile.sites < SITES {
                (
                    Logo::from_weights(&profile.weights, self.alphabet),
                    "weights; too few sites for a logo".to_owned(),
                )
            } else {
                (Logo::from_counts(&profile.counts, self.alphabet), format!("{} sites", profile.sites))
            };
            let (name, value) = match (self.outcomes.first().map(|outcome| outcome.kind), profile.alone) {
                (_, None) => ("", String::new()),
                (Some(TargetKind::Real), Some(alone)) => ("Spearman", format!(" {alone:.2} alone, ")),
                (_, Some(alone)) => ("AUC", format!(" {alone:.2} alone, ")),
            };
            let svg = logo.to_svg(&format!("Logo of filter {number}"));
            let _ = writeln!(
                figures,
                "<figure>{svg}<figcaption>Filter {number}{}: {name}{value}{made_of}</figcaption></figure>",
                like_others(alike)
            );
        }
        if figures.is_empty() {
            return figures;
        }
        let bound = match self.outcomes.first().and_then(output).filter(|_| self.has_several_outputs()) {
            Some(output) => format!("bound by {}", escape(output)),
            None => "bound".into(),
        };
        format!(
            "<p class=\"soft\">Made of the stretches of sequences {bound} that activate a filter most, where they reach half \
             of its highest activation. The most telling filters come first; those that look for the same share a logo.</p>\n\
             <div class=\"figures logos\">\n{figures}</div>{}",
            more_than(distinct.len(), FILTERS)
        )
    }

    fn search(&self) -> String {
        let Some(first) = self.trials.first() else { return String::new() };
        let noun = self.compared.noun();
        let mut trials: Vec<&Trial> = self.trials.iter().collect();
        trials.sort_by(|a, b| {
            let score = |trial: &Trial| trial.score.unwrap_or(f64::NEG_INFINITY);
            score(b).total_cmp(&score(a)).then(a.number.cmp(&b.number))
        });
        // Parameters that were the same in all trials would only widen the table.
        let varies =
            |i: usize| self.trials.iter().any(|trial| trial.parameters.get(i) != first.parameters.get(i));
        let (varied, fixed): (Vec<usize>, Vec<usize>) = (0..first.parameters.len()).partition(|&i| varies(i));
        let head =
            |&i: &usize| format!("<th scope=\"col\">{}</th>", escape(&capitalized(&first.parameters[i].0)));
        let heads: String = varied.iter().map(head).collect();
        let rows: String = trials.iter().map(|trial| trial_row(trial, &varied)).collect();
        let same: Vec<String> = fixed
            .iter()
            .map(|&i| &first.parameters[i])
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let same = match same.as_slice() {
            [] => String::new(),
            same => format!("\n<p class=\"soft\">The same in all {noun}s: {}.</p>", escape(&same.join(", "))),
        };
        let label = escape(&capitalized(&self.search_score));
        format!(
            "{}\n<div class=\"scroll tall\"><table>\n<thead><tr><th scope=\"col\">{}</th>\
             <th scope=\"col\">{label}</th><th scope=\"col\">Learning rate</th>{heads}</tr></thead>\n\
             <tbody>\n{rows}</tbody>\n</table></div>{same}",
            figures(&self.search_chart(&trials)),
            capitalized(noun)
        )
    }

    /// Nothing, if all learning rates are the same.
    fn search_chart(&self, trials: &[&Trial]) -> String {
        if trials.iter().all(|trial| trial.learning_rate == trials[0].learning_rate) {
            return String::new();
        }
        let x = Axis::around_log("Learning rate", trials.iter().map(|trial| trial.learning_rate));
        let y = Axis::around(&capitalized(&self.search_score), trials.iter().filter_map(|trial| trial.score));
        // The chosen one is drawn last, on top.
        let chart = trials.iter().rev().filter_map(|trial| Some((trial, trial.score?)));
        let chart = chart.fold(Chart::new(x, y), |chart, (trial, score)| {
            let title = format!(
                "trial {}: {score:.4} at learning rate {}",
                trial.number,
                significant(trial.learning_rate)
            );
            let (class, radius) = if trial.best { ("s2 best", 6.0) } else { ("s1", 4.0) };
            chart.dot(class, radius, (trial.learning_rate, score), Some(&title))
        });
        let failed = trials.iter().filter(|trial| trial.score.is_none()).count();
        let mut legend =
            vec![("s2 round".into(), "chosen".into()), ("s1 round".into(), "other trials".into())];
        if failed > 0 {
            legend.push((String::new(), format!("{failed} trials failed and are not drawn")));
        }
        figure("Trials", &chart, "Score of each trial against its learning rate", &legend)
    }

    /// Loss and score of all trials at their checkpoints, side by side.
    fn fitting(&self) -> String {
        let last =
            self.trials.iter().flat_map(|trial| &trial.checkpoints).map(|checkpoint| checkpoint.step).max();
        let Some(last) = last else { return String::new() };
        let noun = self.compared.noun();
        let mut legend = vec![("s2 solid".to_owned(), format!("chosen {noun}"))];
        if self.trials.len() > 1 {
            legend.push((report::series(0), format!("other {noun}s")));
        }
        if self.compared == Compared::HyperParameters {
            legend.push((String::new(), "means over the folds".to_owned()));
        }
        let chart = |label: &str, value: fn(&Checkpoint) -> f64| {
            let title = format!("{label} of the {noun}s at their checkpoints");
            figure(label, &self.checkpoint_chart(label, last, value), &title, &legend)
        };
        let score = capitalized(&self.search_score);
        let drawn =
            chart("Loss", |checkpoint| checkpoint.loss) + &chart(&score, |checkpoint| checkpoint.score);
        figures(&drawn)
    }

    fn checkpoint_chart(&self, label: &str, last: u64, value: fn(&Checkpoint) -> f64) -> Chart {
        let values = self.trials.iter().flat_map(|trial| &trial.checkpoints).map(value);
        let mut chart = Chart::new(Axis::new("Step", 0.0, last.max(1) as f64), Axis::around(label, values));
        // The chosen one is drawn last, on top.
        for best in [false, true] {
            for trial in self.trials.iter().filter(|trial| trial.best == best) {
                let points: Vec<(f64, f64)> = trial
                    .checkpoints
                    .iter()
                    .map(|checkpoint| (checkpoint.step as f64, value(checkpoint)))
                    .collect();
                chart = chart.line(if best { "s2 solid" } else { "s1 thin" }, &points);
            }
        }
        chart
    }

    fn layers(&self) -> String {
        if self.layers.is_empty() {
            return String::new();
        }
        let number = |number: Option<usize>| number.map(|n| grouped(n as u64)).unwrap_or_default();
        let row = |layer: &Layer| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(&layer.name),
                escape(&layer.shape),
                number(layer.sees),
                number(layer.stride),
                number(Some(layer.parameters).filter(|&n| n > 0)),
            )
        };
        let rows: String = self.layers.iter().map(row).collect();
        format!(
            "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">Layer</th><th scope=\"col\">Output</th>\
             <th scope=\"col\">Sees, bases</th><th scope=\"col\">Stride, bases</th><th scope=\"col\">Parameters</th></tr>\
             </thead>\n<tbody>\n{rows}</tbody>\n</table></div>"
        )
    }

    fn facts(&self) -> String {
        report::facts(&self.facts) + &report::notes(&self.notes)
    }
}

/// A model's provenance as `facts` of a training report: objects are taken apart, names lose their underscores; metrics,
/// which the page has in a table, and values that are null are left out.
pub fn facts(provenance: &Map<String, Value>) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for (name, value) in provenance {
        let name = capitalized(&name.replace('_', " "));
        match value {
            Value::Object(fields) => {
                let inner = facts_of_fields(fields);
                facts.extend(inner.into_iter().map(|(field, value)| (format!("{name}: {field}"), value)));
            }
            value => facts.extend(plain(value).map(|value| (name, value))),
        }
    }
    facts
}

fn facts_of_fields(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let fact = |(name, value): (&String, &Value)| Some((name.replace('_', " "), plain(value)?));
    fields.iter().filter_map(fact).collect()
}

/// A value in words; nothing for null, and for lists of objects.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_f64() => number.as_f64().map(significant),
        Value::Array(items) => items
            .iter()
            .map(|item| if item.is_object() { None } else { plain(item) })
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(", ")),
        Value::Object(fields) => {
            let fields = facts_of_fields(fields);
            Some(
                fields
                    .into_iter()
                    .map(|(name, value)| format!("{name} {value}"))
                    .collect::<Vec<_>>()
                    .join(", "),
            )
        }
        other => Some(other.to_string()),
    }
}

/// The output that is scored.
fn output(outcome: &ScoredSet) -> Option<&str> {
    outcome.measured.first().map(|measured| measured.output.as_str())
}

fn measured_cell(measured: Option<&Measured>) -> String {
    let Some(value) = measured.and_then(|measured| measured.value) else { return "<td>–</td>".into() };
    let ratio = measured.and_then(Measured::ratio).map_or_else(String::new, |ratio| format!("; {ratio}"));
    match measured.and_then(|measured| measured.interval) {
        Some(interval) => {
            format!("<td>{value:.4} <small>({:.3} to {:.3}{ratio})</small></td>", interval.low, interval.high)
        }
        None if ratio.is_empty() => format!("<td>{value:.4}</td>"),
        None => format!("<td>{value:.4} <small>({})</small></td>", ratio.trim_start_matches("; ")),
    }
}

/// A row of the table of trials, with the parameters of these ranks.
fn trial_row(trial: &Trial, parameters: &[usize]) -> String {
    let value = |&i: &usize| trial.parameters.get(i).map_or("", |(_, value)| value);
    let cells: String = parameters.iter().map(|i| format!("<td>{}</td>", escape(value(i)))).collect();
    format!(
        "<tr{}><th scope=\"row\">{}{}</th><td>{}</td><td>{}</td>{cells}</tr>\n",
        if trial.best { " class=\"best\"" } else { "" },
        trial.number,
        if trial.best { " (chosen)" } else { "" },
        trial.score.map_or_else(|| "failed".into(), |score| format!("{score:.4}")),
        significant(trial.learning_rate)
    )
}

/// Share of positives, if it is the same in all outcomes to the percent: what precision chance gives.
fn share_of_positives(outcomes: &[(&ScoredSet, &String)]) -> Option<f64> {
    let share = |outcome: &ScoredSet| {
        let present = outcome.targets.iter().filter(|target| !target.is_nan());
        let (count, positives) = present.fold((0, 0), |(n, p), &target| (n + 1, p + i32::from(target > 0.5)));
        f64::from(positives) / f64::from(count.max(1))
    };
    let first = share(outcomes.first()?.0);
    outcomes.iter().all(|(outcome, _)| (share(outcome) - first).abs() < 0.01).then_some(first)
}

/// The points that matter to the eye: at most about [`CORNERS`], evenly spread, with both ends.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(CORNERS).max(1);
    let mut kept: Vec<(f64, f64)> = points.iter().step_by(step).copied().collect();
    if kept.last() != points.last() {
        kept.extend(points.last());
    }
    kept
}

fn extent<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
}

/// Left edge, right edge and share of the values in percent, for [`BARS`] equal parts of the range.
fn histogram(values: &[f64], (low, high): (f64, f64)) -> Vec<(f64, f64, f64)> {
    if values.is_empty() {
        return Vec::new();
    }
    let width = if high > low { (high - low) / BARS as f64 } else { 1.0 };
    let mut counts = [0u32; BARS];
    values.iter().for_each(|value| counts[(((value - low) / width) as usize).min(BARS - 1)] += 1);
    let bar = |(i, &count): (usize, &u32)| {
        let left = low + i as f64 * width;
        (left, left + width, 100.0 * f64::from(count) / values.len() as f64)
    };
    counts.iter().enumerate().map(bar).collect()
}
