//! The outcome of a training as a model file and as a report.

use serde_json::{Map, Value, json};

use crate::Result;
use crate::dataset::{Dataset, TargetKind};
use crate::model::inspect::inspect;
use crate::model::usage::MainMotif;
use crate::model::{Alphabet, Model, ModelSpec, Network, Strands};
use crate::seq::window::Context;
use crate::train::deepbind::hyperparameters::{Recipe, Space};
use crate::train::deepbind::search::{Outcome, Protocol, Trial};
use crate::train::metric_name;
use crate::train::report;
use crate::train::report::filter::profiles;
use crate::train::report::{Compared, ScoredSet, TrainingReport};
use crate::train::trainer;
use crate::train::trainer::Point;

/// The model that a run gave. Its default window is the middle length of the sequences it was fitted to: scores mean
/// what they meant in training for windows of that length. (The published models' default of 1.5 filters is another
/// length than theirs.) The provenance holds all that it takes to make it again, and how well it did.
///
/// # Errors
/// A name with nothing in it.
pub fn model(
    name: &str,
    alphabet: Alphabet,
    dataset: &Dataset,
    protocol: &Protocol,
    outcome: &Outcome,
) -> Result<Model> {
    let mut spec = ModelSpec::from_network(name, &outcome.network);
    spec.window = middle_length(dataset);
    spec.alphabet = alphabet;
    spec.strands = protocol.space.strands;
    spec.context = context(dataset, protocol);
    if dataset.outputs > 1 {
        spec.outputs.clone_from(&dataset.output_names);
    }
    spec.provenance = provenance(dataset, protocol, outcome);
    spec.motif = main_motif(&outcome.network, dataset, protocol.space.strands != Strands::Single);
    Model::from_network(spec, outcome.network.clone())
}

/// The motif of the filter that tells best on its own.
fn main_motif(network: &Network, dataset: &Dataset, both_strands: bool) -> Option<MainMotif> {
    let best = profiles(network, dataset, both_strands).into_iter().find(|profile| profile.sites > 0)?;
    let counts = best.counts.iter().map(|counts| counts.map(|count| count as u32)).collect();
    Some(MainMotif { filter: best.filter, sites: best.sites, counts })
}

/// Context of the model's windows in a contig. Of sequences much longer than a filter, little depends on the padding, and a
/// scan that pads no window is four times as fast.
fn context(dataset: &Dataset, protocol: &Protocol) -> Context {
    let Space { recipe, filter_length, .. } = protocol.space;
    let long = dataset.lengths().0 >= LONG * filter_length;
    match recipe == Recipe::Tuned && dataset.kind == TargetKind::Binary && long {
        true => Context::Flank,
        false => Context::Padding,
    }
}

/// Sequences are long if they have so many times as many bases as a filter.
const LONG: usize = 3;

fn middle_length(dataset: &Dataset) -> usize {
    let mut lengths: Vec<usize> = dataset.sequences.iter().map(Vec::len).collect();
    let middle = lengths.len() / 2;
    *lengths.select_nth_unstable(middle).1
}

fn provenance(dataset: &Dataset, protocol: &Protocol, outcome: &Outcome) -> Map<String, Value> {
    let chosen = &outcome.trials[outcome.chosen];
    let complete = outcome.trials.iter().filter(|trial| trial.folds.iter().all(Option::is_some)).count();
    let fields = [
        (
            "protocol",
            json!({
                "recipe": protocol.space.recipe.name(),
                "trials": protocol.trials,
                "trials_complete": complete,
                "folds": protocol.folds,
                "steps": protocol.steps,
                "checkpoints": protocol.checkpoints,
                "final_fits": protocol.finals,
                "filters": protocol.space.filters,
                "distilled": protocol.distillation.map(|to| json!({
                    "filters": to.filters,
                    "length": to.length,
                    "sequences": to.sequences,
                    "steps": to.steps,
                })),
                "seed": protocol.seed,
            }),
        ),
        (
            "motif_filter",
            json!(outcome.motif.map(|motif| json!({
                "sequences": motif.sequences,
                "sites": motif.sites,
                "weight": motif.weight,
            }))),
        ),
        ("hyper_parameters", Value::Object(chosen.candidate.describe())),
        ("steps", json!(outcome.steps)),
        ("cross_validated", json!(chosen.best().map(|(_, metric)| metric))),
        ("final_fits_on_training_data", json!(outcome.finals)),
    ];
    trainer::provenance(dataset, fields)
}

/// The page on a training. `sets` are the model's scores on data, the held-out ones first; `notes` say what is odd
/// about the data.
pub fn report(
    model: &Model,
    dataset: &Dataset,
    protocol: &Protocol,
    outcome: &Outcome,
    sets: Vec<ScoredSet>,
    notes: Vec<String>,
) -> TrainingReport {
    let network = &outcome.network;
    let trial = |(rank, trial): (usize, &Trial)| report::Trial {
        number: rank + 1,
        learning_rate: f64::from(trial.candidate.settings.rate),
        parameters: parameters(trial),
        checkpoints: checkpoints(protocol, trial),
        score: trial.best().map(|(_, metric)| metric),
        best: rank == outcome.chosen,
    };
    TrainingReport {
        name: model.spec.name.clone(),
        summary: format!(
            "{} filters of {} bases, fitted to {} sequences.",
            network.filters,
            network.filter_length,
            dataset.len()
        ),
        facts: report::facts(&model.spec.provenance),
        notes,
        outcomes: sets,
        search_score: format!("cross-validated {}", metric_name(dataset.kind)),
        compared: Compared::HyperParameters,
        thresholds: model.spec.thresholds.clone(),
        bound: model.spec.bound.clone(),
        layers: inspect(model).layers,
        trials: outcome.trials.iter().enumerate().map(trial).collect(),
        filters: profiles(network, dataset, protocol.space.strands != Strands::Single),
        alphabet: model.spec.alphabet,
    }
}

/// The hyper-parameters by name, but for the learning rate, which has a place of its own.
fn parameters(trial: &Trial) -> Vec<(String, String)> {
    let mut fields = trial.candidate.describe();
    fields.remove("learning_rate");
    report::facts(&fields)
}

fn checkpoints(protocol: &Protocol, trial: &Trial) -> Vec<report::Checkpoint> {
    let curve = trial.curve().unwrap_or_default().into_iter().enumerate();
    let checkpoint = |(i, at): (usize, Point)| report::Checkpoint {
        step: protocol.steps_at(i) as u64,
        loss: at.loss,
        score: at.metric,
    };
    curve.map(checkpoint).collect()
}
