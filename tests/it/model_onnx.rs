//! ONNX files: ours read back, PyTorch's recognised, and files that are none refused.

use std::path::{Path, PathBuf};

use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::reference::window_scores;
use bindscan::model::onnx::proto::{AttributeProto, NodeProto};
use bindscan::model::onnx::recognize;
use bindscan::model::usage::MainMotif;
use bindscan::model::{Dense, Layout, Model, ModelSpec, Network, Padding, Pooling};
use bindscan::seq::alphabet::encode;
use proptest::prelude::*;
use prost::Message;

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
    let ours = Model::from_network(ModelSpec::from_network("x", &network(1)), network(1)).unwrap();
    for (bytes, reason) in [
        (&b""[..], "holds no graph"),
        (b">chr1\nACGT\n", "not an ONNX file"),
        (&ours.to_bytes()[..100], "not an ONNX file"),
    ] {
        let message = Model::from_bytes("x", bytes).unwrap_err().to_string();
        assert!(message.contains(reason) && !message.contains('\n'), "{message}");
    }
    assert!(Model::open(folder.path()).unwrap_err().to_string().contains("is a directory"));
    assert!(ours.save(folder.path()).unwrap_err().to_string().contains("is a directory"));
    assert!(
        ours.save(folder.path().join("no/such/x.onnx")).unwrap_err().to_string().contains("cannot create")
    );
}

#[test]
fn whatever_a_specification_holds_the_error_is_one_line() {
    let model = Model::from_network(ModelSpec::from_network("x", &network(1)), network(1)).unwrap();
    for text in ["[0,\n1]", "{\"format\": \"4\\n\\n\"}", "{\"format\": 1, \"pad\\r\\nding\": 2}"] {
        let mut graph = model.graph.clone();
        bindscan::model::onnx::set_metadata(&mut graph, bindscan::model::SPEC_KEY, text.to_owned());
        let message = Model::from_bytes("x", &graph.encode_to_vec()).unwrap_err().to_string();
        assert!(!message.contains(['\n', '\r']) && message.contains("bindscan.spec"), "{message:?}");
    }
}

#[test]
fn a_specification_that_contradicts_the_graph_is_refused() {
    let mut model = Model::from_network(ModelSpec::from_network("x", &network(1)), network(1)).unwrap();
    model.spec.outputs.push("another".into());
    let message = Model::from_bytes("x", &model.to_bytes()).unwrap_err().to_string();
    assert!(message.contains("outputs"), "{message}");
}

#[test]
fn a_specification_has_numbers_that_a_model_can_have() {
    let mut model = Model::from_network(ModelSpec::from_network("x", &network(1)), network(1)).unwrap();
    let window = std::mem::replace(&mut model.spec.window, usize::MAX);
    let message = Model::from_bytes("x", &model.to_bytes()).unwrap_err().to_string();
    assert!(message.contains("more than 16777216"), "{message}");
    for options in [PlanOptions::default().window(1 << 40), PlanOptions::default().window(9).stride(1 << 40)]
    {
        let message = Planned::new(model.clone(), &options).unwrap_err().to_string();
        assert!(message.contains("at most 16777216"), "{message}");
    }
    model.spec.window = window;
    let counts = vec![[u32::MAX; 4], [0, u32::MAX, 1, 1]];
    model.spec.motif = Some(MainMotif { filter: 0, sites: 1, counts });
    let read = Model::from_bytes("x", &model.to_bytes()).unwrap();
    assert_eq!(read.spec.motif.unwrap().consensus(), "aC");
}

fn network(outputs: usize) -> Network {
    Network {
        filters: 2,
        filter_length: 3,
        weights: (0..24).map(|i| i as f32 / 7.0).collect(),
        biases: vec![-0.5, 0.25],
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
        (filters, length, outputs) in (1usize..9, 1usize..12, 1usize..4),
        pooling in prop::sample::select(vec![Pooling::Max, Pooling::Average, Pooling::MaxAndAverage]),
        width in prop::option::of(1usize..5),
        (left, right, value) in (0usize..12, 0usize..12, prop::sample::select(vec![0.0f32, 0.25])),
    )(
        weights in prop::collection::vec(-4.0f32..4.0, filters * 4 * length),
        biases in prop::collection::vec(-4.0f32..4.0, filters),
        hidden in match width {
            Some(width) => dense(filters * pooling.features_per_filter(), width).prop_map(Some).boxed(),
            None => Just(None).boxed(),
        },
        output in dense(width.unwrap_or(filters * pooling.features_per_filter()), outputs),
        (rectify, sigmoid) in any::<(bool, bool)>(),
        (filters, length, pooling) in Just((filters, length, pooling)),
        padding in Just(if left + right == 0 { Padding::NONE } else { Padding { left, right, value } }),
    ) -> Network {
        Network {
            filters, filter_length: length, weights, biases, rectify, padding, pooling, hidden, output, sigmoid,
        }
    }
}

proptest! {
    #[test]
    fn networks_survive_a_file(network in any_network()) {
        let model = Model::from_network(ModelSpec::from_network("any", &network), network.clone()).unwrap();
        let bytes = model.to_bytes();
        let read = Model::from_bytes("other", &bytes).unwrap();
        prop_assert_eq!(read.network.as_ref(), Ok(&network));
        prop_assert_eq!(&read.spec, &model.spec);
        prop_assert_eq!(&read.input, &model.input);
        prop_assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn damaged_files_do_not_panic(network in any_network(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let model = Model::from_network(ModelSpec::from_network("any", &network), network).unwrap();
        let mut bytes = model.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Model::from_bytes("damaged", &bytes);
        let _ = Model::from_bytes("truncated", &bytes[..at]);
    }
}

/// A graph of ours with one node changed by `edit`.
fn edited(op: &str, edit: impl Fn(&mut NodeProto)) -> Result<Network, String> {
    let network = Network { padding: Padding::NONE, ..network(1) };
    let mut model = Model::from_network(ModelSpec::from_network("x", &network), network).unwrap();
    let graph = model.graph.graph.as_mut().unwrap();
    edit(graph.node.iter_mut().find(|node| node.op_type() == op).unwrap());
    model.graph.metadata_props.clear();
    recognize::network(&model.graph, &model.input, &model.output)
}

fn attribute(name: &str, value: impl FnOnce(&mut AttributeProto)) -> AttributeProto {
    let mut attribute = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    value(&mut attribute);
    attribute
}

#[test]
fn other_spellings_of_a_layer_are_recognised() {
    let plain = Network { padding: Padding::NONE, ..network(1) };
    assert_eq!(edited("Relu", |_| {}), Ok(plain.clone()));
    let clip = edited("Relu", |node| {
        node.op_type = Some("Clip".into());
        node.attribute.push(attribute("min", |a| a.f = Some(0.0)));
    });
    assert_eq!(clip, Ok(plain.clone()));
    let same = edited("Conv", |node| {
        node.attribute.push(attribute("auto_pad", |a| a.s = Some(b"SAME_UPPER".to_vec())));
    });
    let padding = Padding { left: 1, right: 1, value: 0.0 };
    assert_eq!(same, Ok(Network { padding, ..plain.clone() }));
    let scaled = edited("Gemm", |node| {
        node.attribute.push(attribute("alpha", |a| a.f = Some(2.0)));
        node.attribute.push(attribute("beta", |a| a.f = Some(3.0)));
    });
    let output = Dense { weights: vec![1.0; 4], bias: vec![3.0], ..plain.output.clone() };
    assert_eq!(scaled, Ok(Network { output, ..plain.clone() }));
    let unrectified = edited("Relu", |node| node.op_type = Some("Identity".into()));
    assert_eq!(unrectified, Ok(Network { rectify: false, ..plain }));
}

#[test]
fn what_is_not_of_the_family_is_refused_with_a_reason() {
    let ints = |name: &'static str, values: &'static [i64]| {
        move |node: &mut NodeProto| node.attribute.push(attribute(name, |a| a.ints = values.to_vec()))
    };
    for (reason, found) in [
        ("strides [2]", edited("Conv", ints("strides", &[2]))),
        ("dilations [2]", edited("Conv", ints("dilations", &[2]))),
        ("groups", edited("Conv", |node| node.attribute.push(attribute("group", |a| a.i = Some(2))))),
        ("Tanh", edited("Relu", |node| node.op_type = Some("Tanh".into()))),
        ("another.domain", edited("Relu", |node| node.domain = Some("another.domain".into()))),
        ("no node gives", edited("Relu", |node| node.input[0] = "nothing".into())),
        ("pools over an axis", edited("ReduceMax", |node| node.attribute[0].ints = vec![1])),
    ] {
        let message = found.unwrap_err();
        assert!(message.contains(reason), "{message}");
    }
}
