//! The trainer's gradients against finite differences of the reference engine's f64 scores, and against PyTorch's.

use std::collections::BTreeMap;

use bindscan::engine::reference;
use bindscan::model::{Dense, Network, Padding, Pooling, Strands};
use bindscan::train::deepbind::gradient::{Loss, loss_and_gradient};
use bindscan::train::deepbind::rc_tied;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

#[derive(Debug, Clone, Copy)]
struct Shape {
    filters: usize,
    length: usize,
    padded: bool,
    pooling: Pooling,
    hidden: usize,
    outputs: usize,
}

fn normal(rng: &mut Xoshiro256PlusPlus) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

fn network(shape: Shape, rng: &mut Xoshiro256PlusPlus) -> Network {
    let Shape { filters, length, padded, pooling, hidden, outputs } = shape;
    let mut draw =
        |count: usize, scale: f32| -> Vec<f32> { (0..count).map(|_| scale * normal(rng)).collect() };
    let features = filters * pooling.features_per_filter();
    let mut dense = |inputs: usize, outputs: usize| Dense {
        inputs,
        outputs,
        weights: draw(inputs * outputs, 0.4),
        bias: draw(outputs, 0.2),
    };
    let hidden_layer = (hidden > 0).then(|| dense(features, hidden));
    let output = dense(if hidden > 0 { hidden } else { features }, outputs);
    Network {
        filters,
        filter_length: length,
        weights: draw(filters * 4 * length, 0.3),
        biases: draw(filters, 0.1),
        rectify: true,
        padding: if padded { Padding::n(length - 1) } else { Padding::NONE },
        pooling,
        hidden: hidden_layer,
        output,
        sigmoid: false,
    }
}

/// Mean loss over the targets that are not missing, from the definition, in f64.
fn loss_by_definition(
    network: &Network,
    strands: Strands,
    loss: Loss,
    sequences: &[Vec<u8>],
    targets: &[f32],
) -> f64 {
    let unfolded = (strands == Strands::Symmetric).then(|| rc_tied::unfold(network));
    let network = unfolded.as_ref().unwrap_or(network);
    let (mut total, mut count) = (0.0, 0);
    for (codes, targets) in sequences.iter().zip(targets.chunks(network.output.outputs)) {
        let mut scores = reference::window_scores(network, codes, true);
        if strands == Strands::Both {
            let mut reverse = Vec::new();
            bindscan::seq::alphabet::reverse_complement_into(codes, &mut reverse);
            let other = reference::window_scores(network, &reverse, true);
            scores.iter_mut().zip(other).for_each(|(s, o)| *s = s.max(o));
        }
        for (s, &y) in scores.into_iter().zip(targets).filter(|(_, y)| !y.is_nan()) {
            let y = f64::from(y);
            total += match loss {
                Loss::Logistic => s.max(0.0) + (-s.abs()).exp().ln_1p() - y * s,
                Loss::Squared => (s - y) * (s - y),
            };
            count += 1;
        }
    }
    total / f64::from(count)
}

/// All parameters of a network, in one order.
fn parameters(network: &mut Network) -> Vec<&mut f32> {
    let layers = network.hidden.iter_mut().chain([&mut network.output]);
    let dense = layers.flat_map(|layer| layer.weights.iter_mut().chain(&mut layer.bias));
    network.weights.iter_mut().chain(&mut network.biases).chain(dense).collect()
}

/// Checks networks until one is met with active units: more than a quarter of its gradients are not 0.
fn check(shape: Shape, strands: Strands, loss: Loss, seed: u64) {
    let active = (0..5).any(|attempt| check_one(shape, strands, loss, seed + 1000 * attempt));
    assert!(active, "{shape:?}: hardly any gradient is not 0");
}

fn check_one(shape: Shape, strands: Strands, loss: Loss, seed: u64) -> bool {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut network = network(shape, &mut rng);
    let sequences: Vec<Vec<u8>> = (0..7)
        .map(|i| {
            (0..shape.length + 3 * i)
                .map(|_| if rng.random_range(0..12) == 0 { 4 } else { rng.random_range(0..4) })
                .collect()
        })
        .collect();
    let mut targets: Vec<f32> = (0..sequences.len() * shape.outputs)
        .map(|_| {
            if loss == Loss::Logistic { f32::from(u8::from(rng.random::<bool>())) } else { normal(&mut rng) }
        })
        .collect();
    targets[3] = f32::NAN;

    let (value, mut gradient) = loss_and_gradient(&network, strands, loss, &sequences, &targets).unwrap();
    let by_definition = loss_by_definition(&network, strands, loss, &sequences, &targets);
    assert!(
        (value - by_definition).abs() < 1e-5,
        "{shape:?} {strands:?} {loss:?}: loss {value}, {by_definition}"
    );

    let gradient: Vec<f32> = parameters(&mut gradient).into_iter().map(|g| *g).collect();
    let mut moved = 0;
    for (i, &g) in gradient.iter().enumerate() {
        let mut slope = |step: f32| {
            let x = *parameters(&mut network)[i];
            *parameters(&mut network)[i] = x + step;
            let moved = f64::from(x + step) - f64::from(x);
            let loss = loss_by_definition(&network, strands, loss, &sequences, &targets);
            *parameters(&mut network)[i] = x;
            (loss - by_definition) / moved
        };
        // Where a maximum, a rectifier or the strand changes over, the slopes on the two sides differ, and every value
        // between them is right.
        let (left, right) = (slope(-1e-5), slope(1e-5));
        let slack = 5e-4 * left.abs().max(right.abs()).max(0.05);
        assert!(
            (left.min(right) - slack..=left.max(right) + slack).contains(&f64::from(g)),
            "{shape:?} {strands:?} {loss:?}: parameter {i} has gradient {g}, finite differences {left} and {right}"
        );
        moved += usize::from(g != 0.0);
    }
    moved * 4 > gradient.len()
}

#[test]
fn gradients_equal_finite_differences_in_every_variant() {
    let mut seed = 0;
    for pooling in [Pooling::Max, Pooling::MaxAndAverage, Pooling::Average] {
        for hidden in [0, 5, 18] {
            for strands in [Strands::Single, Strands::Both, Strands::Symmetric] {
                for padded in [true, false] {
                    for (loss, outputs) in
                        [(Loss::Logistic, 1), (Loss::Squared, 1), (Loss::Squared, 3), (Loss::Logistic, 2)]
                    {
                        // More than one vector of filters, and lengths of every remainder by three.
                        let (filters, length) = [(3, 7), (16, 6), (18, 5)][seed as usize % 3];
                        check(
                            Shape { filters, length, padded, pooling, hidden, outputs },
                            strands,
                            loss,
                            seed,
                        );
                        seed += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let shape = Shape { filters: 2, length: 6, padded: false, pooling: Pooling::Max, hidden: 0, outputs: 1 };
    let good = network(shape, &mut rng);
    let run = |network: &Network, sequences: &[Vec<u8>], targets: &[f32]| {
        loss_and_gradient(network, Strands::Both, Loss::Squared, sequences, targets)
            .map(drop)
            .map_err(|e| e.to_string())
    };
    assert!(run(&good, &[vec![0; 6]], &[1.0]).is_ok());
    assert!(run(&good, &[vec![0; 5]], &[1.0]).unwrap_err().contains("shorter"));
    assert!(run(&good, &[vec![0; 6]], &[1.0, 2.0]).unwrap_err().contains("targets"));
    let zero = Padding { left: 5, right: 5, value: 0.0 };
    assert!(
        run(&Network { padding: zero, ..good.clone() }, &[vec![0; 6]], &[1.0])
            .unwrap_err()
            .contains("padding")
    );
    assert!(run(&Network { sigmoid: true, ..good }, &[vec![0; 6]], &[1.0]).unwrap_err().contains("logistic"));
}

/// A network with PyTorch's loss and gradient, as `scripts/regenerate pytorch-gradients` writes them.
#[derive(Debug, Deserialize)]
struct Case {
    pooling: String,
    strands: String,
    padded: bool,
    loss: String,
    filters: usize,
    filter_length: usize,
    outputs: usize,
    network: BTreeMap<String, Vec<f32>>,
    sequences: Vec<Vec<u8>>,
    targets: Vec<f32>,
    value: f64,
    gradient: BTreeMap<String, Vec<f32>>,
}

impl Case {
    fn network(&self) -> Network {
        let pooling = match self.pooling.as_str() {
            "max" => Pooling::Max,
            "avg" => Pooling::Average,
            _ => Pooling::MaxAndAverage,
        };
        let features = self.filters * pooling.features_per_filter();
        let dense = |name: &str, inputs: usize| {
            let bias = self.network.get(&format!("{name}_bias"))?.clone();
            let weights = self.network[&format!("{name}_weights")].clone();
            Some(Dense { inputs, outputs: bias.len(), weights, bias })
        };
        let hidden = dense("hidden", features);
        let output = dense("output", hidden.as_ref().map_or(features, |hidden| hidden.outputs)).unwrap();
        let length = self.filter_length;
        assert_eq!(output.outputs, self.outputs);
        Network {
            filters: self.filters,
            filter_length: length,
            weights: self.network["weights"].clone(),
            biases: self.network["biases"].clone(),
            rectify: true,
            padding: if self.padded { Padding::n(length - 1) } else { Padding::NONE },
            pooling,
            hidden,
            output,
            sigmoid: false,
        }
    }
}

#[test]
fn gradients_equal_those_of_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../data/pytorch_gradients.json")).unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let strands = if case.strands == "both" { Strands::Both } else { Strands::Single };
        let loss = if case.loss == "logistic" { Loss::Logistic } else { Loss::Squared };
        let (value, gradient) =
            loss_and_gradient(&case.network(), strands, loss, &case.sequences, &case.targets).unwrap();
        assert!((value - case.value).abs() < 1e-6, "{value}, PyTorch {}: {case:?}", case.value);
        let mut layers = vec![("weights", &gradient.weights), ("biases", &gradient.biases)];
        if let Some(hidden) = &gradient.hidden {
            layers.extend([("hidden_weights", &hidden.weights), ("hidden_bias", &hidden.bias)]);
        }
        layers.extend([("output_weights", &gradient.output.weights), ("output_bias", &gradient.output.bias)]);
        assert_eq!(layers.len(), case.gradient.len());
        for (name, ours) in layers {
            let theirs = &case.gradient[name];
            assert_eq!(ours.len(), theirs.len());
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{name}: {a}, PyTorch {b}: {case:?}");
            }
        }
    }
}
