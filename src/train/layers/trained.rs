//! The outcome of a training of layers as a model file and as a report.

use serde_json::{Map, Value, json};

use crate::Result;
use crate::model;
use crate::model::inspect::inspect;
use crate::model::{Alphabet, Model, Padding, Pooling, Strands};
use crate::train::layers::export;
use crate::train::layers::export::Labels;
use crate::train::layers::layer::Module;
use crate::train::layers::network::Network;
use crate::train::layers::training::{Fitted, Outcome, Training};
use crate::train::metric_name;
use crate::train::report;
use crate::train::report::filter::profiles;
use crate::train::report::{Checkpoint, Compared, ScoredSet, TrainingReport, Trial};
use crate::train::trainer;

/// The model that a training gave; its window is the length of the sequences that it was fitted to. The provenance holds
/// all that it takes to make it again, and how well it did.
///
/// # Errors
/// A name with nothing in it.
pub fn model(name: &str, alphabet: Alphabet, training: &Training<'_>, outcome: &Outcome) -> Result<Model> {
    let dataset = training.training;
    let outputs = if dataset.outputs > 1 { dataset.output_names.clone() } else { vec!["score".into()] };
    let labels = Labels {
        name: name.to_owned(),
        outputs,
        alphabet,
        strands: training.settings.strands,
        provenance: provenance(training, outcome),
    };
    export::model(&outcome.network, labels)
}

fn provenance(training: &Training<'_>, outcome: &Outcome) -> Map<String, Value> {
    let Training { architecture, settings, fits, .. } = training;
    let (dataset, validation) = (training.training, training.validation);
    let chosen = &outcome.fits[outcome.chosen];
    let fields = [
        ("validation_sha256", json!(validation.digest)),
        ("validation_sequences", json!(validation.len())),
        ("architecture", json!(architecture)),
        ("parameters", json!(outcome.network.parameters())),
        (
            "protocol",
            json!({
                "optimizer": "Adam",
                "learning_rate": settings.rate,
                "penalty": settings.penalty,
                "batch": settings.batch,
                "epochs": settings.epochs,
                "patience": settings.patience,
                "fits": fits,
                "seed": settings.seed,
            }),
        ),
        ("chosen_fit", json!(outcome.chosen + 1)),
        ("epochs", json!(chosen.best + 1)),
        ("validated", json!(chosen.metric)),
    ];
    trainer::provenance(dataset, fields)
}

/// The page on a training. `sets` are the model's scores on data, the held-out ones first; `notes` say what is odd about
/// the data.
pub fn report(
    model: &Model,
    training: &Training<'_>,
    outcome: &Outcome,
    sets: Vec<ScoredSet>,
    notes: Vec<String>,
) -> TrainingReport {
    let dataset = training.training;
    let trial = |(rank, fit): (usize, &Fitted)| Trial {
        number: rank + 1,
        learning_rate: f64::from(training.settings.rate),
        parameters: vec![
            ("epochs".into(), fit.epochs.len().to_string()),
            ("best epoch".into(), (fit.best + 1).to_string()),
        ],
        checkpoints: checkpoints(fit),
        score: fit.metric,
        best: rank == outcome.chosen,
    };
    let both = training.settings.strands == Strands::Both;
    TrainingReport {
        name: model.spec.name.clone(),
        summary: format!(
            "A network of {} layers with {} parameters, fitted to {} sequences of {} bases.",
            training.architecture.layers.len(),
            outcome.network.parameters(),
            dataset.len(),
            model.spec.window,
        ),
        facts: report::facts(&model.spec.provenance),
        notes,
        outcomes: sets,
        search_score: format!("{} on the validation data", metric_name(dataset.kind)),
        compared: Compared::Weights,
        thresholds: model.spec.thresholds.clone(),
        bound: model.spec.bound.clone(),
        layers: inspect(model).layers,
        trials: outcome.fits.iter().enumerate().map(trial).collect(),
        filters: first_layer(&outcome.network)
            .map(|layer| profiles(&layer, dataset, both))
            .unwrap_or_default(),
        alphabet: model.spec.alphabet,
    }
}

fn checkpoints(fit: &Fitted) -> Vec<Checkpoint> {
    let epochs = fit.epochs.len().max(1) as u64;
    let each = fit.epochs.iter().enumerate();
    each.map(|(i, epoch)| Checkpoint {
        step: fit.steps * (i as u64 + 1) / epochs,
        loss: epoch.loss,
        score: epoch.metric,
    })
    .collect()
}

/// The first layer as the filters of a DeepBind network, whose output does not matter; `None` if it is no
/// convolution of neighbouring bases.
fn first_layer(network: &Network) -> Option<model::Network> {
    let Some(Module::Convolution(layer)) = network.modules.first() else { return None };
    let next = match network.modules.get(1) {
        Some(Module::Normalization(next)) => Some(&**next),
        _ => None,
    };
    if layer.sizes.groups > 1 || layer.sizes.dilation > 1 {
        return None;
    }
    let (weights, biases) = export::filters(layer, next);
    let filters = layer.sizes.filters;
    Some(model::Network {
        filters,
        filter_length: layer.sizes.kernel,
        weights,
        biases,
        rectify: true,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        output: model::Dense { inputs: filters, outputs: 1, weights: vec![1.0; filters], bias: vec![0.0] },
        sigmoid: false,
    })
}
