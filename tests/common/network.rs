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
pub fn network(
    random: &mut Random,
    (detectors, detector_length): (usize, usize),
    padding: Padding,
    pooling: Pooling,
    (hidden, outputs): (Option<usize>, usize),
) -> Network {
    let features = detectors * pooling.features_per_detector();
    Network {
        detectors,
        detector_length,
        weights: numbers(random, detectors * 4 * detector_length),
        thresholds: numbers(random, detectors),
        rectify: true,
        padding,
        pooling,
        hidden: hidden.map(|hidden| dense(random, features, hidden)),
        output: dense(random, hidden.unwrap_or(features), outputs),
        sigmoid: false,
    }
}

/// A motif matrix as a network.
pub fn matrix(random: &mut Random, length: usize) -> Network {
    let output = Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![0.0] };
    let network = network(random, (1, length), Padding::NONE, Pooling::Max, (None, 1));
    Network { rectify: false, output, ..network }
}

/// Writes `NAME.onnx` into a folder.
pub fn save(name: &str, network: &Network, window: usize, directory: &Path) {
    let spec = ModelSpec { window, ..ModelSpec::of_network(name, network) };
    let model = Model::from_network(spec, network.clone()).unwrap();
    model.save(directory.join(format!("{name}.onnx"))).unwrap();
}
