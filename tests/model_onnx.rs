//! ONNX files: ours read back, PyTorch's recognised, and files that are none refused.

use std::path::{Path, PathBuf};

use bindscan::encode::encode;
use bindscan::engine::reference::window_scores;
use bindscan::model::{Dense, Layout, Model, ModelSpec, Network, Padding, Pooling};
use proptest::prelude::*;

fn pytorch() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch")
}

/// PyTorch's own scores of every network, from both of its exporters, against those of the recognised one.
#[test]
fn pytorch_networks_are_recognised() {
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(pytorch().join("scores.json")).unwrap()).unwrap();
    let sequences: Vec<Vec<u8>> = expected["sequences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| encode(s.as_str().unwrap().as_bytes()).unwrap())
        .collect();
    let mut recognised = 0;
    for (name, scores) in expected["scores"].as_object().unwrap() {
        let model = Model::open(pytorch().join(format!("{name}.onnx"))).unwrap();
        if name.starts_with("deep") {
            assert!(model.network.as_ref().unwrap_err().contains("not over all"), "{:?}", model.network);
            continue;
        }
        let network = model.network.as_ref().unwrap_or_else(|reason| panic!("{name}: {reason}"));
        for (sequence, scores) in sequences.iter().zip(scores.as_array().unwrap()) {
            let found = window_scores(network, sequence, true);
            let scores: Vec<f64> = scores.as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
            assert_eq!(found.len(), scores.len());
            for (found, score) in found.iter().zip(scores) {
                assert!((found - score).abs() < 1e-5, "{name}: {found} where PyTorch has {score}");
            }
        }
        recognised += 1;
    }
    assert_eq!(recognised, 12);
}

#[test]
fn layout_and_window_come_from_the_input_shape() {
    for (name, layout, window) in [
        ("plain.torchscript", Layout::ChannelsFirst, None),
        ("last.dynamo", Layout::ChannelsLast, Some(24)),
        ("image.dynamo", Layout::ImageRows, Some(24)),
    ] {
        let model = Model::open(pytorch().join(format!("{name}.onnx"))).unwrap();
        assert_eq!((model.input.layout, model.input.length, model.input.batch), (layout, window, None));
        assert_eq!(model.spec.window, window.unwrap_or(8), "{name}");
        assert_eq!(model.spec.name, name);
    }
}

#[test]
fn what_is_no_model_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Model::from_network(ModelSpec::of_network("x", &network(1)), network(1)).unwrap();
    for (bytes, reason) in [
        (&b""[..], "holds no graph"),
        (b">chr1\nACGT\n", "not an ONNX file"),
        (&ours.to_bytes()[..100], "not an ONNX file"),
    ] {
        let message = Model::from_bytes("x", bytes).unwrap_err().to_string();
        assert!(message.contains(reason) && !message.contains('\n'), "{message}");
    }
    assert!(Model::open(folder.path()).unwrap_err().to_string().contains("cannot read"));
    assert!(ours.save(folder.path()).unwrap_err().to_string().contains("cannot write"));
    assert!(
        ours.save(folder.path().join("no/such/x.onnx")).unwrap_err().to_string().contains("cannot write")
    );
}

#[test]
fn a_specification_that_contradicts_the_graph_is_refused() {
    let mut model = Model::from_network(ModelSpec::of_network("x", &network(1)), network(1)).unwrap();
    model.spec.outputs.push("another".into());
    let message = Model::from_bytes("x", &model.to_bytes()).unwrap_err().to_string();
    assert!(message.contains("outputs"), "{message}");
}

fn network(outputs: usize) -> Network {
    Network {
        detectors: 2,
        detector_length: 3,
        weights: (0..24).map(|i| i as f32 / 7.0).collect(),
        thresholds: vec![-0.5, 0.25],
        rectify: true,
        padding: Padding::n(2),
        pooling: Pooling::MaxAndAverage,
        hidden: None,
        output: Dense { inputs: 4, outputs, weights: vec![0.5; 4 * outputs], bias: vec![1.0; outputs] },
        sigmoid: false,
    }
}

fn dense(inputs: usize, outputs: usize) -> impl Strategy<Value = Dense> {
    let number = || -4.0f32..4.0;
    (prop::collection::vec(number(), inputs * outputs), prop::collection::vec(number(), outputs))
        .prop_map(move |(weights, bias)| Dense { inputs, outputs, weights, bias })
}

prop_compose! {
    fn any_network()(
        (detectors, length, outputs) in (1usize..9, 1usize..12, 1usize..4),
        pooling in prop::sample::select(vec![Pooling::Max, Pooling::Average, Pooling::MaxAndAverage]),
        width in prop::option::of(1usize..5),
        (left, right, value) in (0usize..12, 0usize..12, prop::sample::select(vec![0.0f32, 0.25])),
    )(
        weights in prop::collection::vec(-4.0f32..4.0, detectors * 4 * length),
        thresholds in prop::collection::vec(-4.0f32..4.0, detectors),
        hidden in match width {
            Some(width) => dense(detectors * pooling.features_per_detector(), width).prop_map(Some).boxed(),
            None => Just(None).boxed(),
        },
        output in dense(width.unwrap_or(detectors * pooling.features_per_detector()), outputs),
        (rectify, sigmoid) in any::<(bool, bool)>(),
        (detectors, length, pooling) in Just((detectors, length, pooling)),
        padding in Just(if left + right == 0 { Padding::NONE } else { Padding { left, right, value } }),
    ) -> Network {
        Network {
            detectors, detector_length: length, weights, thresholds, rectify, padding, pooling, hidden, output, sigmoid,
        }
    }
}

proptest! {
    #[test]
    fn networks_survive_a_file(network in any_network()) {
        let model = Model::from_network(ModelSpec::of_network("any", &network), network.clone()).unwrap();
        let bytes = model.to_bytes();
        let read = Model::from_bytes("other", &bytes).unwrap();
        prop_assert_eq!(read.network.as_ref(), Ok(&network));
        prop_assert_eq!(&read.spec, &model.spec);
        prop_assert_eq!(&read.input, &model.input);
        prop_assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn damaged_files_do_not_panic(network in any_network(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let model = Model::from_network(ModelSpec::of_network("any", &network), network).unwrap();
        let mut bytes = model.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Model::from_bytes("damaged", &bytes);
        let _ = Model::from_bytes("truncated", &bytes[..at]);
    }
}
