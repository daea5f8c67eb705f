//! The ONNX graph of a [`Network`]: `Pad → Conv → Relu → ReduceMax and/or ReduceMean → Gemm → Relu → Gemm →
//! Sigmoid`, each node only where the network has it.

use std::collections::HashSet;

use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::Dimension;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::type_proto::{Tensor as TensorType, Value as TypeValue};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType,
};
use super::tensor::Tensor;
use crate::model::{Dense, Network};

pub mod dense;

/// Name of the input: f32 `[N, 4, L]`.
pub const INPUT: &str = "sequence";
/// Name of the output: f32 `[N, outputs]`.
pub const OUTPUT: &str = "score";
/// File format version; ONNX Runtime reads it since 1.10.
const IR_VERSION: i64 = 8;
/// Operator set version.
const OPSET: i64 = 13;

/// The graph of `network`, which must have been checked ([`Network::check`]). The same network gives the same
/// bytes.
pub fn model(network: &Network) -> ModelProto {
    let mut builder = Builder::default();
    let last = builder.network(network);
    builder.graph.input = vec![value_info(INPUT, [symbol("N"), Dim::DimValue(4), symbol("L")])];
    let outputs = Dim::DimValue(network.output.outputs as i64);
    builder.graph.output = vec![value_info(&last, [symbol("N"), outputs])];
    finish(builder)
}

pub(crate) fn finish(mut builder: Builder) -> ModelProto {
    builder.graph.name = Some("bindscan".into());
    ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        producer_name: Some("bindscan".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(builder.graph),
        ..ModelProto::default()
    }
}

/// Drops the weights that no node reads.
pub(super) fn drop_unread(graph: &mut GraphProto) {
    let read: HashSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    graph.initializer.retain(|tensor| read.contains(tensor.name()));
}

/// A graph to which nodes are added.
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) graph: GraphProto,
}

impl Builder {
    /// Adds all nodes; returns the name of the last one's output.
    fn network(&mut self, network: &Network) -> String {
        let mut x = INPUT.to_owned();
        let padding = network.padding;
        if padding.left + padding.right > 0 {
            let (left, right) = (padding.left as i64, padding.right as i64);
            let pads = self.constant("pads", &Tensor::ints(vec![0, 0, left, 0, 0, right]));
            let value = self.constant("pad_value", &Tensor::floats([], vec![padding.value]));
            x = self.node("Pad", &[&x, &pads, &value], "padded", []);
        }
        let (count, length) = (network.filters, network.filter_length);
        let filters = self.constant("filters", &Tensor::floats([count, 4, length], network.weights.clone()));
        let biases = self.constant("biases", &Tensor::floats([count], network.biases.clone()));
        let kernel = [ints("kernel_shape", &[length as i64])];
        x = self.node("Conv", &[&x, &filters, &biases], "activations", kernel);
        if network.rectify {
            x = self.node("Relu", &[&x], "rectified", []);
        }
        x = self.pool(network, &x);
        if let Some(hidden) = &network.hidden {
            x = self.dense(hidden, "hidden", &x, "hidden_sums");
            x = self.node("Relu", &[&x], "hidden_units", []);
        }
        let last = if network.sigmoid { "logit" } else { OUTPUT };
        x = self.dense(&network.output, "output", &x, last);
        if network.sigmoid { self.node("Sigmoid", &[&x], OUTPUT, []) } else { x }
    }

    fn pool(&mut self, network: &Network, x: &str) -> String {
        let over_positions = || [ints("axes", &[2]), int("keepdims", 0)];
        let mut features = Vec::new();
        if network.pooling.has_max() {
            features.push(self.node("ReduceMax", &[x], "maxima", over_positions()));
        }
        if network.pooling.has_average() {
            features.push(self.node("ReduceMean", &[x], "means", over_positions()));
        }
        match &features[..] {
            [maxima, means] => self.node("Concat", &[maxima, means], "features", [int("axis", 1)]),
            _ => features.swap_remove(0),
        }
    }

    fn dense(&mut self, layer: &Dense, name: &str, x: &str, output: &str) -> String {
        let weights = Tensor::floats([layer.outputs, layer.inputs], layer.weights.clone());
        let weights = self.constant(&format!("{name}_weights"), &weights);
        let bias = Tensor::floats([layer.outputs], layer.bias.clone());
        let bias = self.constant(&format!("{name}_bias"), &bias);
        self.node("Gemm", &[x, &weights, &bias], output, [int("transB", 1)])
    }

    pub(crate) fn constant(&mut self, name: &str, tensor: &Tensor) -> String {
        self.graph.initializer.push(tensor.write(name));
        name.to_owned()
    }

    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        self.graph.node.push(NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(output.to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes.into_iter().collect(),
            ..NodeProto::default()
        });
        output.to_owned()
    }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
    }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Ints as i32),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

#[cfg(feature = "keras")]
pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Float as i32),
        f: Some(value),
        ..AttributeProto::default()
    }
}

#[cfg(feature = "keras")]
pub(crate) fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Floats as i32),
        floats: values.to_vec(),
        ..AttributeProto::default()
    }
}

#[cfg(feature = "keras")]
pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::String as i32),
        s: Some(value.as_bytes().to_vec()),
        ..AttributeProto::default()
    }
}

#[cfg(feature = "keras")]
pub(crate) fn strings(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Strings as i32),
        strings: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        ..AttributeProto::default()
    }
}

pub(crate) fn symbol(name: &str) -> Dim {
    Dim::DimParam(name.to_owned())
}

pub(crate) fn value_info(name: &str, dims: impl IntoIterator<Item = Dim>) -> ValueInfoProto {
    let dim = dims.into_iter().map(|value| Dimension { value: Some(value), denotation: None });
    let tensor = TensorType {
        elem_type: Some(DataType::Float as i32),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type), ..ValueInfoProto::default() }
}
