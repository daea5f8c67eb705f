//! Receptive fields that are told of a graph's layers, against sets of bases followed through the layers one by one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::onnx::{int, ints};
use bindscan::model::onnx::interface::{Dim, float_shape};
use bindscan::model::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use bindscan::model::onnx::receptive_field::{Node, Seen, receptive_fields};
use bindscan::model::onnx::tensor::Tensor;
use bindscan::model::{ACGT, Input, Layout, Model};
use proptest::prelude::*;

/// A convolution or pool along positions.
#[derive(Debug, Clone, Copy)]
struct Layer {
    pools: bool,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: (usize, usize),
}

fn input() -> Input {
    let (name, layout) = ("sequence".into(), Layout::ChannelsFirst);
    Input { name, layout, length: None, batch: None, channels: ACGT }
}

fn graph(layers: &[Layer]) -> ModelProto {
    let mut graph = GraphProto::default();
    let mut last = "sequence".to_owned();
    for (place, layer) in layers.iter().enumerate() {
        let output = format!("x{place}");
        let mut input = vec![last];
        let mut attribute = vec![
            ints("strides", &[layer.stride]),
            ints("dilations", &[layer.dilation]),
            ints("pads", &[layer.pads.0, layer.pads.1]),
        ];
        if layer.pools {
            attribute.push(ints("kernel_shape", &[layer.kernel]));
        } else {
            let weights = format!("weights{place}");
            let numbers = vec![1.0; 16 * layer.kernel];
            graph.initializer.push(Tensor::floats([4, 4, layer.kernel], numbers).write(&weights));
            input.push(weights);
        }
        graph.node.push(NodeProto {
            op_type: Some(if layer.pools { "MaxPool" } else { "Conv" }.into()),
            name: Some(output.clone()),
            input,
            output: vec![output.clone()],
            attribute,
            ..NodeProto::default()
        });
        last = output;
    }
    ModelProto {
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// The bases of which the value at `place` after all layers is made; by definition, and as if the padding of each
/// layer were more of what it pads.
fn depends(layers: &[Layer], place: i64) -> BTreeSet<i64> {
    let Some((last, before)) = layers.split_last() else { return BTreeSet::from([place]) };
    let start = place * last.stride as i64 - last.pads.0 as i64;
    let taps = (0..last.kernel).map(|tap| start + (tap * last.dilation) as i64);
    taps.flat_map(|place| depends(before, place)).collect()
}

fn layer() -> impl Strategy<Value = Layer> {
    (any::<bool>(), 1usize..5, 1usize..4, 1usize..4, 0usize..4, 0usize..4).prop_map(
        |(pools, kernel, stride, dilation, left, right)| {
            // Pools pad by less than their kernel.
            let most = if pools { kernel - 1 } else { 3 };
            Layer { pools, kernel, stride, dilation, pads: (left.min(most), right.min(most)) }
        },
    )
}

/// Receptive fields against the definition, layer by layer.
fn compare(layers: &[Layer], window: usize) -> Result<(), TestCaseError> {
    let nodes = receptive_fields(&graph(layers), &input(), window);
    let mut positions = window;
    for (i, (layer, node)) in layers.iter().zip(nodes).enumerate() {
        let padded = positions + layer.pads.0 + layer.pads.1;
        let starts = padded.saturating_sub((layer.kernel - 1) * layer.dilation);
        if starts == 0 {
            prop_assert_eq!(node, Node::Unknown);
            break;
        }
        positions = starts.div_ceil(layer.stride);
        let Node::Layer(Seen { shape, bases, stride, pads }) = node else {
            return Err(TestCaseError::fail("a layer is not followed"));
        };
        prop_assert_eq!(&shape, &vec![None, Some(4), Some(positions)]);
        prop_assert_eq!(pads, layer.pads);
        let (first, second) = (depends(&layers[..=i], 0), depends(&layers[..=i], 1));
        let start = |set: &BTreeSet<i64>| *set.first().unwrap();
        prop_assert_eq!(bases as i64, (first.last().unwrap() - start(&first) + 1).min(window as i64));
        let distance = (start(&second) - start(&first)) as usize;
        prop_assert_eq!(stride, (positions > 1).then_some(distance));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fields_are_those_of_sets_followed_through_the_layers(
        layers in prop::collection::vec(layer(), 1..5),
        window in 1usize..200,
    ) {
        compare(&layers, window)?;
    }
}

#[test]
fn a_stride_at_one_position_counts_where_padding_makes_several() {
    let layer = |stride, pads| Layer { pools: false, kernel: 1, stride, dilation: 1, pads };
    for pools in [false, true] {
        compare(&[Layer { pools, ..layer(2, (0, 0)) }, layer(2, (0, 3))], 1).unwrap();
    }
}

fn pytorch(file: &str) -> Model {
    let path = format!("tests/data/pytorch/{file}.onnx");
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn layers(model: &Model) -> Vec<(String, Seen)> {
    let nodes = receptive_fields(&model.graph, &model.input, model.spec.window);
    let graph = model.graph.graph.as_ref().unwrap();
    let layer = |(node, seen): (&NodeProto, Node)| match seen {
        Node::Layer(seen) => Some((node.op_type().to_owned(), seen)),
        Node::Constant | Node::Unknown => None,
    };
    graph.node.iter().zip(nodes).filter_map(layer).collect()
}

#[test]
fn shapes_are_those_that_pytorch_declares() {
    let mut compared = 0;
    for name in ["deep", "exponential", "flat", "keras", "residual", "rows", "same", "strided", "tasks"] {
        let model = pytorch(&format!("{name}.dynamo"));
        let graph = model.graph.graph.as_ref().unwrap();
        let nodes = receptive_fields(&model.graph, &model.input, model.spec.window);
        for (node, seen) in graph.node.iter().zip(nodes) {
            let Node::Layer(seen) = seen else { continue };
            let declared = graph.value_info.iter().find(|value| value.name() == node.output[0]);
            let Some(Ok(Some(declared))) = declared.map(float_shape) else { continue };
            assert_eq!(declared.len(), seen.shape.len(), "{name}: {}", node.name());
            for (declared, found) in declared.iter().zip(&seen.shape) {
                if let (Dim::Fixed(declared), Some(found)) = (declared, found) {
                    assert_eq!(declared, found, "{name}: {} {seen:?}", node.name());
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 50, "only {compared} dimensions were compared");
}

#[test]
fn every_layer_of_the_networks_of_pytorch_is_followed_to_the_end() {
    for name in
        ["deep", "exponential", "flat", "keras", "recurrent", "residual", "rows", "same", "strided", "tasks"]
    {
        let model = pytorch(&format!("{name}.torchscript"));
        let nodes = receptive_fields(&model.graph, &model.input, model.spec.window);
        let Some(Node::Layer(last)) = nodes.last() else {
            panic!("{name}: {:?}", nodes.iter().position(|node| *node == Node::Unknown));
        };
        assert_eq!(last.stride, None, "{name}");
    }
}

#[test]
fn a_recurrent_layer_sees_the_whole_window() {
    let model = pytorch("recurrent.torchscript");
    let layers = layers(&model);
    let recurrent = layers.iter().position(|(operator, _)| operator == "GRU").unwrap();
    assert!(layers[recurrent - 1].1.bases < model.spec.window);
    assert!(layers[recurrent..].iter().all(|(_, seen)| seen.bases >= model.spec.window - 4), "{layers:?}");
}

#[test]
fn same_padding_is_told_by_layer() {
    let model = pytorch("same.torchscript");
    assert!(layers(&model).iter().any(|(operator, seen)| operator == "Conv" && seen.pads != (0, 0)));
    let text = bindscan::model::inspect::inspect(&model).to_string();
    assert!(text.contains("padding"), "{text}");
    let valid = bindscan::model::inspect::inspect(&pytorch("deep.torchscript")).to_string();
    assert!(valid.contains("every layer is valid"), "{valid}");
}

#[test]
fn graphs_made_to_explode_are_not_followed() {
    let far = Layer { pools: false, kernel: 3, stride: 1, dilation: i64::MAX as usize, pads: (0, 0) };
    assert_eq!(receptive_fields(&graph(&[far]), &input(), 100), [Node::Unknown]);
    for pads in [(i64::MAX as usize, 0), (i64::MAX as usize, i64::MAX as usize)] {
        let padded = Layer { dilation: 1, pads, ..far };
        assert_eq!(receptive_fields(&graph(&[padded]), &input(), 100), [Node::Unknown]);
    }
    for pad in ["SAME_UPPER", "SAME_LOWER"] {
        let mut same = graph(&[far]);
        let node = &mut same.graph.as_mut().unwrap().node[0];
        node.attribute.push(AttributeProto {
            name: Some("auto_pad".into()),
            s: Some(pad.into()),
            ..AttributeProto::default()
        });
        assert_eq!(receptive_fields(&same, &input(), 100), [Node::Unknown]);
    }
    // Twice as many channels with every node.
    let node = |place: usize| NodeProto {
        op_type: Some("Concat".into()),
        input: vec![if place == 0 { "sequence".into() } else { format!("x{}", place - 1) }; 2],
        output: vec![format!("x{place}")],
        attribute: vec![int("axis", 1)],
        ..NodeProto::default()
    };
    let mut doubling = graph(&[]);
    doubling.graph.as_mut().unwrap().node = (0..80).map(node).collect();
    let nodes = receptive_fields(&doubling, &input(), 100);
    assert!(matches!(nodes[0], Node::Layer(_)) && nodes[79] == Node::Unknown);
}
