//! The ONNX form of a network, under the model contract.
//!
//! Normalisations are folded into the layer before them where that has weights, and are a product and a sum elsewhere.
//! Positions are the last axis; in two dimensions there is an axis of 1 before it.

use serde_json::{Map, Value};

use crate::Result;
use crate::model::onnx::build;
use crate::model::onnx::build::{Builder, INPUT, OUTPUT, int, ints, symbol};
use crate::model::onnx::proto::AttributeProto;
use crate::model::onnx::proto::attribute_proto::AttributeType;
use crate::model::onnx::proto::tensor_shape_proto::dimension::Value as Dim;
use crate::model::onnx::tensor::{Tensor, permute};
use crate::model::onnx::{ModelProto, set_metadata};
use crate::model::{Activation, Alphabet, Model, ModelSpec, PadKind, SPEC_KEY, Strands};
use crate::seq::window::Context;
use crate::train::layers::architecture::{Function, InputForm, PoolKind, Shape};
use crate::train::layers::layer::{
    Convolution, Dense, Gru, Lstm, Module, Normalization, Pool, Recurrent, Residual,
};
use crate::train::layers::network::Network;

/// Description of a network in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// Name of the model: no white space.
    pub name: String,
    /// Name of each output.
    pub outputs: Vec<String>,
    /// DNA or RNA.
    pub alphabet: Alphabet,
    /// Strands to score.
    pub strands: Strands,
    /// Its origin.
    pub provenance: Map<String, Value>,
}

/// The network as a model. Its outputs are logits, or numbers on the scale of the targets. Where it has a layer that takes
/// all positions apart, windows have the length that it was fitted to; otherwise any.
///
/// # Errors
/// Labels that do not fit; a parameter that is not finite.
pub fn model(network: &Network, labels: Labels) -> Result<Model> {
    let Labels { name, outputs, alphabet, strands, provenance } = labels;
    let spec = ModelSpec {
        format: 1,
        name: crate::model::name::clean(&name),
        window: network.window,
        filter_length: network.first_kernel(),
        padding: if network.architecture.is_padded() { PadKind::Zero } else { PadKind::None },
        context: Context::Padding,
        alphabet,
        strands,
        outputs,
        activation: Activation::Identity,
        score_range: None,
        provenance,
        channels: None,
        null: None,
        thresholds: Vec::new(),
        bound: None,
        motif: None,
    };
    let mut graph = Exporter::new(network).graph(network);
    set_metadata(&mut graph, SPEC_KEY, serde_json::json!(spec).to_string());
    // Read back as any file is, with all its checks.
    Model::from_bytes(&name, &prost::Message::encode_to_vec(&graph))
}

/// A graph under way.
struct Exporter {
    builder: Builder,
    input: InputForm,
    /// Names given so far.
    names: usize,
    /// Shape of what the last node gives.
    shape: Shape,
}

impl Exporter {
    fn new(network: &Network) -> Exporter {
        let shape = Shape { positions: Some(network.window), channels: 4 };
        Exporter { builder: Builder::default(), input: network.architecture.input, names: 0, shape }
    }

    fn graph(mut self, network: &Network) -> ModelProto {
        let last = self.modules(&network.modules, INPUT.to_owned());
        let output = self.dense(&network.output, None, &last, OUTPUT);
        let length = match network.architecture.takes_any_length() {
            true => symbol("L"),
            false => Dim::DimValue(network.window as i64),
        };
        let one = || Dim::DimValue(1);
        let dims = match self.input {
            InputForm::Sequence => vec![symbol("N"), Dim::DimValue(4), length],
            InputForm::Rows => vec![symbol("N"), one(), Dim::DimValue(4), length],
            InputForm::Channels => vec![symbol("N"), Dim::DimValue(4), one(), length],
        };
        self.builder.graph.input = vec![build::value_info(INPUT, dims)];
        let outputs = vec![symbol("N"), Dim::DimValue(network.outputs() as i64)];
        self.builder.graph.output = vec![build::value_info(&output, outputs)];
        build::finish(self.builder)
    }

    fn modules(&mut self, modules: &[Module], mut x: String) -> String {
        let mut rest = modules.iter().peekable();
        while let Some(module) = rest.next() {
            let folded = match (module, rest.peek()) {
                (Module::Convolution(_) | Module::Dense(_), Some(Module::Normalization(next))) => {
                    rest.next();
                    Some(&**next)
                }
                _ => None,
            };
            x = self.module(module, folded, &x);
        }
        x
    }

    fn module(&mut self, module: &Module, folded: Option<&Normalization>, x: &str) -> String {
        match module {
            Module::Convolution(layer) => self.convolution(layer, folded, x),
            Module::Normalization(layer) => self.normalization(layer, x),
            Module::Activation(layer) => {
                let op = match layer.function {
                    Function::Relu => "Relu",
                    Function::Exponential => "Exp",
                    Function::Sigmoid => "Sigmoid",
                    Function::Tanh => "Tanh",
                };
                self.node(op, &[x], [])
            }
            Module::Pool(layer) => self.pool(layer, x),
            Module::GlobalPool(layer) => {
                let axes = [ints("axes", if self.is_image() { &[2, 3] } else { &[2] }), int("keepdims", 0)];
                self.shape.positions = None;
                self.node(if layer.kind == PoolKind::Max { "ReduceMax" } else { "ReduceMean" }, &[x], axes)
            }
            // Only in training.
            Module::Dropout(_) => x.to_owned(),
            Module::Residual(layer) => self.residual(layer, x),
            Module::Lstm(layer) => self.recurrent("LSTM", layer, lstm, 4, x),
            Module::Gru(layer) => self.recurrent("GRU", layer, gru, 3, x),
            Module::Flatten(_) => {
                // Position by position, as the layers after it were fitted.
                let turned = self.transpose(x, if self.is_image() { &[0, 3, 2, 1] } else { &[0, 2, 1] });
                let positions = self.shape.positions.take().unwrap_or(1);
                self.shape.channels *= positions;
                self.node("Flatten", &[&turned], [int("axis", 1)])
            }
            Module::Dense(layer) => self.dense(layer, folded, x, ""),
        }
    }

    fn is_image(&self) -> bool {
        self.input != InputForm::Sequence
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}_{}", self.names)
    }

    fn node<const A: usize>(&mut self, op: &str, inputs: &[&str], attributes: [AttributeProto; A]) -> String {
        let name = self.name(&op.to_ascii_lowercase());
        self.builder.node(op, inputs, &name, attributes)
    }

    fn constant(&mut self, what: &str, tensor: &Tensor) -> String {
        let name = self.name(what);
        self.builder.constant(&name, tensor)
    }

    /// An attribute with a value for each spatial axis, for each end if there are two.
    fn along(&self, name: &str, other: i64, values: &[i64]) -> AttributeProto {
        let all: Vec<i64> = match self.is_image() {
            true => values.iter().flat_map(|&value| [other, value]).collect(),
            false => values.to_vec(),
        };
        ints(name, &all)
    }

    fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.node("Transpose", &[x], [ints("perm", order)])
    }

    fn reshape(&mut self, x: &str, shape: Vec<i64>) -> String {
        let shape = self.constant("shape", &Tensor::ints(shape));
        self.node("Reshape", &[x, &shape], [])
    }

    fn convolution(&mut self, layer: &Convolution, folded: Option<&Normalization>, x: &str) -> String {
        let sizes = layer.sizes;
        let (kernel, groups) = (sizes.kernel, sizes.groups);
        let own_in = sizes.channels / groups;
        let (slide, places) = layer.slide(self.shape.positions.unwrap_or(1));
        let (weights, bias) = filters(layer, folded);
        let rows = self.input == InputForm::Rows && x == INPUT;
        let dims = match (rows, self.is_image()) {
            (true, _) => vec![sizes.filters, 1, own_in, kernel],
            (false, true) => vec![sizes.filters, own_in, 1, kernel],
            (false, false) => vec![sizes.filters, own_in, kernel],
        };
        let weights = self.constant("filters", &Tensor::floats(dims, weights));
        let bias = self.constant("bias", &Tensor::floats([sizes.filters], bias));
        let attributes = [
            self.along("kernel_shape", if rows { 4 } else { 1 }, &[kernel as i64]),
            self.along("strides", 1, &[sizes.stride as i64]),
            self.along("dilations", 1, &[sizes.dilation as i64]),
            self.along("pads", 0, &[slide.before as i64, slide.after as i64]),
            int("group", groups as i64),
        ];
        self.shape = Shape { positions: Some(places), channels: sizes.filters };
        self.node("Conv", &[x, &weights, &bias], attributes)
    }

    fn normalization(&mut self, layer: &Normalization, x: &str) -> String {
        let (factors, offsets): (Vec<f32>, Vec<f32>) = layer.line().into_iter().unzip();
        let channels = factors.len();
        let dims: Vec<usize> = match (self.shape.positions, self.is_image()) {
            (None, _) => vec![1, channels],
            (Some(_), false) => vec![1, channels, 1],
            (Some(_), true) => vec![1, channels, 1, 1],
        };
        let factors = self.constant("factors", &Tensor::floats(dims.clone(), factors));
        let offsets = self.constant("offsets", &Tensor::floats(dims, offsets));
        let scaled = self.node("Mul", &[x, &factors], []);
        self.node("Add", &[&scaled, &offsets], [])
    }

    fn pool(&mut self, layer: &Pool, x: &str) -> String {
        let (slide, places) = layer.slide(self.shape.positions.unwrap_or(1));
        self.shape.positions = Some(places);
        // A mean is over the positions that exist, unless the file says otherwise.
        let op = if layer.kind == PoolKind::Max { "MaxPool" } else { "AveragePool" };
        let attributes = [
            self.along("kernel_shape", 1, &[slide.kernel as i64]),
            self.along("strides", 1, &[slide.stride as i64]),
            self.along("pads", 0, &[slide.before as i64, slide.after as i64]),
        ];
        self.node(op, &[x], attributes)
    }

    fn residual(&mut self, layer: &Residual, x: &str) -> String {
        let before = self.shape.positions.unwrap_or(1);
        let y = self.modules(&layer.modules, x.to_owned());
        let lost = (before - self.shape.positions.unwrap_or(1)) / 2;
        let skipped = if lost == 0 || self.shape.positions.is_none() {
            x.to_owned()
        } else {
            let start = self.constant("start", &Tensor::ints(vec![lost as i64]));
            let end = self.constant("end", &Tensor::ints(vec![-(lost as i64)]));
            let axis = self.constant("axis", &Tensor::ints(vec![if self.is_image() { 3 } else { 2 }]));
            self.node("Slice", &[x, &start, &end, &axis], [])
        };
        self.node("Add", &[&y, &skipped], [])
    }

    /// A recurrent layer of either kind; `tensors` gives a direction's input weights, recurrent weights (`[gate · unit][…]`
    /// both) and biases.
    fn recurrent<C>(
        &mut self,
        op: &str,
        layer: &Recurrent<C>,
        tensors: impl Fn(&C) -> (usize, [Vec<f32>; 3]),
        gates: usize,
        x: &str,
    ) -> String {
        let channels = self.shape.channels;
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        let (mut units, mut directions) = (0, 0);
        for cell in [&layer.onward].into_iter().chain(&layer.back) {
            let (own, tensors) = tensors(cell);
            all.iter_mut().zip(tensors).for_each(|(all, own)| all.extend(own));
            (units, directions) = (own, directions + 1);
        }
        let [inputs, recurrent, bias] = all;
        let inputs =
            self.constant("input_weights", &Tensor::floats([directions, gates * units, channels], inputs));
        let recurrent =
            self.constant("state_weights", &Tensor::floats([directions, gates * units, units], recurrent));
        let bias = self.constant("bias", &Tensor::floats([directions, 2 * gates * units], bias));
        let flat = if self.is_image() { self.reshape(x, vec![0, channels as i64, -1]) } else { x.to_owned() };
        let by_position = self.transpose(&flat, &[2, 0, 1]);
        let inputs = [by_position.as_str(), &inputs, &recurrent, &bias];
        let hidden = int("hidden_size", units as i64);
        let direction = text("direction", if directions == 2 { "bidirectional" } else { "forward" });
        let states = match op {
            "GRU" => self.node(op, &inputs, [hidden, direction, int("linear_before_reset", 1)]),
            _ => self.node(op, &inputs, [hidden, direction]),
        };
        // [L, directions, N, units] to [N, directions · units, L].
        let turned = self.transpose(&states, &[2, 1, 3, 0]);
        self.shape.channels = directions * units;
        let channels = self.shape.channels as i64;
        let shape = if self.is_image() { vec![0, channels, 1, -1] } else { vec![0, channels, -1] };
        self.reshape(&turned, shape)
    }

    /// A dense layer, whose output is named so unless the name is empty.
    fn dense(&mut self, layer: &Dense, folded: Option<&Normalization>, x: &str, output: &str) -> String {
        let mut weights = permute(&layer.weights.values, &[layer.inputs, layer.units], &[1, 0]);
        let mut bias = layer.bias.values.clone();
        fold(folded, &mut weights, &mut bias);
        self.shape.channels = layer.units;
        let weights = self.constant("weights", &Tensor::floats([layer.units, layer.inputs], weights));
        let bias = self.constant("bias", &Tensor::floats([layer.units], bias));
        let inputs = [x, weights.as_str(), bias.as_str()];
        match output {
            "" => self.node("Gemm", &inputs, [int("transB", 1)]),
            name => self.builder.node("Gemm", &inputs, name, [int("transB", 1)]),
        }
    }
}

/// Weights `[filter][channel of the group][tap]` and biases of a convolution and the normalisation after it.
pub(crate) fn filters(layer: &Convolution, folded: Option<&Normalization>) -> (Vec<f32>, Vec<f32>) {
    let sizes = layer.sizes;
    let (own_in, own_out) = (sizes.channels / sizes.groups, sizes.filters / sizes.groups);
    let dims = [sizes.groups, sizes.kernel, own_in, own_out];
    let mut weights = permute(&layer.weights.values, &dims, &[0, 3, 2, 1]);
    let mut bias = layer.bias.values.clone();
    fold(folded, &mut weights, &mut bias);
    (weights, bias)
}

/// Takes a normalisation into the weights `[channel][…]` and biases before it.
fn fold(folded: Option<&Normalization>, weights: &mut [f32], bias: &mut [f32]) {
    let Some(layer) = folded else { return };
    let seen = weights.len() / bias.len();
    let channels = weights.chunks_exact_mut(seen).zip(bias);
    for ((weights, bias), (factor, offset)) in channels.zip(layer.line()) {
        weights.iter_mut().for_each(|weight| *weight *= factor);
        *bias = *bias * factor + offset;
    }
}

fn lstm(cell: &Lstm) -> (usize, [Vec<f32>; 3]) {
    let gates = 4 * cell.units;
    let mut bias = cell.bias.values.clone();
    bias.resize(2 * gates, 0.0);
    (cell.units, [columns(&cell.inputs.values, gates), columns(&cell.recurrent.values, gates), bias])
}

fn gru(cell: &Gru) -> (usize, [Vec<f32>; 3]) {
    let gates = 3 * cell.units;
    let mut bias = cell.bias.values.clone();
    bias.resize(gates + 2 * cell.units, 0.0);
    bias.extend(&cell.recurrent_bias.values);
    (cell.units, [columns(&cell.inputs.values, gates), columns(&cell.recurrent.values, gates), bias])
}

/// A matrix with so many columns, column by column.
fn columns(values: &[f32], columns: usize) -> Vec<f32> {
    permute(values, &[values.len() / columns, columns], &[1, 0])
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::String as i32),
        s: Some(value.as_bytes().to_vec()),
        ..AttributeProto::default()
    }
}
