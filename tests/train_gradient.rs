//! The trainer's gradients against finite differences of the reference engine's f64 scores.

use bindscan::engine::reference;
use bindscan::model::{Dense, Network, Padding, Pooling, Strands};
use bindscan::train::gradient::{Loss, loss_and_gradient};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

#[derive(Debug, Clone, Copy)]
struct Shape {
    detectors: usize,
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
    let Shape { detectors, length, padded, pooling, hidden, outputs } = shape;
    let mut draw =
        |count: usize, scale: f32| -> Vec<f32> { (0..count).map(|_| scale * normal(rng)).collect() };
    let features = detectors * pooling.features_per_detector();
    let mut dense = |inputs: usize, outputs: usize| Dense {
        inputs,
        outputs,
        weights: draw(inputs * outputs, 0.4),
        bias: draw(outputs, 0.2),
    };
    let hidden_layer = (hidden > 0).then(|| dense(features, hidden));
    let output = dense(if hidden > 0 { hidden } else { features }, outputs);
    Network {
        detectors,
        detector_length: length,
        weights: draw(detectors * 4 * length, 0.3),
        thresholds: draw(detectors, 0.1),
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
    let (mut total, mut count) = (0.0, 0);
    for (codes, targets) in sequences.iter().zip(targets.chunks(network.output.outputs)) {
        let mut scores = reference::window_scores(network, codes, true);
        if strands == Strands::Both {
            let mut reverse = Vec::new();
            bindscan::encode::reverse_complement_into(codes, &mut reverse);
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
    network.weights.iter_mut().chain(&mut network.thresholds).chain(dense).collect()
}

fn check(shape: Shape, strands: Strands, loss: Loss, seed: u64) {
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
        let mut at = |step: f32| {
            let x = parameters(&mut network)[i].to_owned();
            *parameters(&mut network)[i] = x + step;
            let reached = f64::from(*parameters(&mut network)[i]);
            let loss = loss_by_definition(&network, strands, loss, &sequences, &targets);
            *parameters(&mut network)[i] = x;
            (reached, loss)
        };
        // A step so small that no maximum, rectifier or strand changes, but for rare ones.
        let ((x0, y0), (x1, y1)) = (at(-1e-4), at(1e-4));
        let slope = (y1 - y0) / (x1 - x0);
        let close = (slope - f64::from(g)).abs() < 2e-4 * slope.abs().max(0.05);
        if !close {
            let ((x0, y0), (x1, y1)) = (at(-1e-6), at(1e-6));
            let slope = (y1 - y0) / (x1 - x0);
            assert!(
                (slope - f64::from(g)).abs() < 1e-3 * slope.abs().max(0.05),
                "{shape:?} {strands:?} {loss:?}: parameter {i} has gradient {g}, finite difference {slope}"
            );
        }
        moved += usize::from(g != 0.0);
    }
    assert!(moved * 4 > gradient.len(), "{shape:?}: only {moved} of {} gradients are not 0", gradient.len());
}

#[test]
fn gradients_equal_finite_differences_in_every_variant() {
    let mut seed = 0;
    for pooling in [Pooling::Max, Pooling::MaxAndAverage, Pooling::Average] {
        for hidden in [0, 5, 32] {
            for strands in [Strands::Single, Strands::Both] {
                for padded in [true, false] {
                    for (loss, outputs) in
                        [(Loss::Logistic, 1), (Loss::Squared, 1), (Loss::Squared, 3), (Loss::Logistic, 17)]
                    {
                        // More than one vector of detectors, and lengths of every remainder by three.
                        let (detectors, length) = [(3, 7), (16, 6), (18, 8)][seed as usize % 3];
                        check(
                            Shape { detectors, length, padded, pooling, hidden, outputs },
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
    let shape =
        Shape { detectors: 2, length: 6, padded: false, pooling: Pooling::Max, hidden: 0, outputs: 1 };
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
