//! Networks with random weights.

use std::path::Path;

use bindscan::model::{Dense, Model, ModelSpec, Network, Padding, Pooling};
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

/// Random numbers between -1 and 1.
fn numbers(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn dense(random: &mut Random, inputs: usize, outputs: usize) -> Dense {
    Dense { inputs, outputs, weights: numbers(random, inputs * outputs), bias: numbers(random, outputs) }
}

/// A network with random weights.
pub(crate) fn network(
    random: &mut Random,
    (filters, filter_length): (usize, usize),
    padding: Padding,
    pooling: Pooling,
    (hidden, outputs): (Option<usize>, usize),
) -> Network {
    let features = filters * pooling.features_per_filter();
    Network {
        filters,
        filter_length,
        weights: numbers(random, filters * 4 * filter_length),
        biases: numbers(random, filters),
        rectify: true,
        padding,
        pooling,
        hidden: hidden.map(|hidden| dense(random, features, hidden)),
        output: dense(random, hidden.unwrap_or(features), outputs),
        sigmoid: false,
    }
}

/// A motif matrix as a network.
pub(crate) fn matrix(random: &mut Random, length: usize) -> Network {
    let output = Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![0.0] };
    let network = network(random, (1, length), Padding::NONE, Pooling::Max, (None, 1));
    Network { rectify: false, output, ..network }
}

/// Writes `NAME.onnx` into a folder.
pub(crate) fn save(name: &str, network: &Network, window: usize, directory: &Path) {
    let spec = ModelSpec { window, ..ModelSpec::from_network(name, network) };
    let model = Model::from_network(spec, network.clone()).unwrap();
    model.save(directory.join(format!("{name}.onnx"))).unwrap();
}

/// A network with a filter for each word, of such a weight; each output is what one of them finds.
pub(crate) fn word_network(words: &[(&str, f32)]) -> Model {
    let (filters, filter_length) = (words.len(), words[0].0.len());
    let mut weights = Vec::new();
    for (word, factor) in words {
        for base in "ACGT".chars() {
            let weight = |(i, letter)| {
                let weight = if letter == base { 1.0 + 0.13 * i as f32 } else { -0.4 - 0.07 * i as f32 };
                factor * weight
            };
            weights.extend(word.chars().enumerate().map(weight));
        }
    }
    let identity = (0..filters * filters).map(|i| f32::from(i % (filters + 1) == 0)).collect();
    let network = Network {
        filters,
        filter_length,
        weights,
        biases: vec![0.5; filters],
        rectify: true,
        padding: Padding::n(filter_length - 1),
        pooling: Pooling::Max,
        hidden: None,
        output: Dense { inputs: filters, outputs: filters, weights: identity, bias: vec![0.0; filters] },
        sigmoid: false,
    };
    Model::from_network(ModelSpec::from_network("words", &network), network).unwrap()
}
