//! Finds a [`Network`] of the DeepBind family in an ONNX graph, whoever exported it.
//!
//! The nodes are run in order on descriptions in place of numbers: a tensor is either a constant or a flow, the
//! sequence somewhere on its way through the network. An operation that fits the family turns one description into
//! the next; anything else gives the reason why the graph is not of the family. So it does not matter which nodes
//! an exporter spells a layer with, only what they compute.

use crate::model::onnx;
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::tensor::Tensor;
use crate::model::onnx::value;
use crate::model::onnx::value::describe;
use crate::model::onnx::{ModelProto, constant};
use crate::model::{Dense, Input, Layout, Network, Padding, Pooling};

mod first_conv;
mod layer;
mod symbolic;

pub use self::first_conv::{FirstLayer, first_layers};
use crate::model::onnx::recognize::layer::Convolution;
use crate::model::onnx::recognize::symbolic::{Axis, Feature, Flow, Stage};

/// Numbers that descriptions of tensors may take in all: bounds the work on a graph made to explode.
const BUDGET: usize = 1 << 24;

/// Most features that a network without a dense layer may give.
const LARGEST_IDENTITY: usize = 1 << 11;

/// The network in `model` between `input` and the output named `output`, or in one line why it is none of the
/// DeepBind family.
pub fn network(model: &ModelProto, input: &Input, output: &str) -> Result<Network, String> {
    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    let mut walk = Walk::new(model, input);
    let mut values = value::initial(graph, &input.name, sequence(input));
    for node in &graph.node {
        let value = walk.run(node, &values);
        value::note(node, value, &mut values);
    }
    walk.finish(value::last(&values, output)?)
}

type Value = value::Value<Flow>;
type Values<'a> = value::Values<'a, Flow>;
type Inputs<'a> = value::Inputs<'a, Flow>;

/// The state of a walk over the nodes.
struct Walk {
    opset: i64,
    batch: Option<usize>,
    window: Option<usize>,
    /// The input's channel of each base.
    channels: [usize; 4],
    convolutions: Vec<Convolution>,
    /// True if convolutions may have strides, because only their weights are asked for.
    strided: bool,
    budget: usize,
}

/// The input as a flow.
fn sequence(input: &Input) -> Flow {
    let (one, bases) = (Axis::Fixed(1), Axis::Fixed(4));
    let axes = match input.layout {
        Layout::ChannelsFirst => vec![Axis::Batch, bases, Axis::Positions],
        Layout::ChannelsLast => vec![Axis::Batch, Axis::Positions, bases],
        Layout::ImageRows => vec![Axis::Batch, one, bases, Axis::Positions],
        Layout::ImageChannels => vec![Axis::Batch, bases, one, Axis::Positions],
        Layout::ImageColumns => vec![Axis::Batch, bases, Axis::Positions, one],
        Layout::LastRows => vec![Axis::Batch, one, Axis::Positions, bases],
        Layout::LastColumns => vec![Axis::Batch, Axis::Positions, one, bases],
        Layout::LastImage => vec![Axis::Batch, Axis::Positions, bases, one],
    };
    Flow { axes, stage: Stage::Sequence(Padding::NONE) }
}

impl Walk {
    fn new(model: &ModelProto, input: &Input) -> Walk {
        Walk {
            opset: onnx::opset(model),
            batch: input.batch,
            window: input.length,
            channels: input.channels,
            convolutions: Vec::new(),
            strided: false,
            budget: BUDGET,
        }
    }

    fn run(&mut self, node: &NodeProto, values: &Values<'_>) -> Result<Value, String> {
        let inputs = Inputs::of(node, values)?;
        let value = self.apply(node, &inputs).map_err(|reason| describe(node, &reason))?;
        let size = match &value {
            Value::Constant(tensor) => tensor.data.len(),
            Value::Flow(flow) => flow.size(),
        };
        self.budget = self.budget.checked_sub(size).ok_or("the graph is too large to be recognised")?;
        Ok(value)
    }

    fn apply(&mut self, node: &NodeProto, inputs: &Inputs<'_>) -> Result<Value, String> {
        let op = node.op_type();
        if let Some(tensor) = constant::fold(node, inputs, self.opset)? {
            return Ok(Value::Constant(tensor));
        }
        if op == "Shape" {
            return Ok(Value::Constant(self.shape(node, inputs.flow(0)?)));
        }
        let flow = match op {
            _ if constant::hands_on(node, inputs)? => inputs.flow(0)?.clone(),
            "Reshape" => self.reshape(node, inputs)?,
            "Flatten" => inputs.flow(0)?.flatten(constant::int(node, "axis", 1))?,
            "Squeeze" => inputs.flow(0)?.squeeze(constant::axes(node, inputs, self.opset < 13)?)?,
            "Unsqueeze" => inputs.flow(0)?.unsqueeze(constant::axes(node, inputs, self.opset < 13)?)?,
            "Transpose" => inputs.flow(0)?.transpose(constant::ints(node, "perm"))?,
            "Concat" => symbolic::concat(&inputs.flows()?, constant::int(node, "axis", 1))?,
            "Pad" => layer::pad(node, inputs)?,
            "Conv" => self.convolution(node, inputs)?,
            "Add" => self.add(inputs)?,
            "Sub" => self.subtract(inputs)?,
            "Mul" => self.scale(inputs)?,
            "BatchNormalization" => self.normalize(node, inputs)?,
            "Relu" => layer::rectify(inputs.flow(0)?)?,
            "Clip" => layer::clip(node, inputs)?,
            "Max" => layer::maximum(inputs)?,
            "GlobalMaxPool" | "GlobalAveragePool" => {
                let flow = inputs.flow(0)?;
                let axes: Vec<usize> = (2..flow.axes.len()).collect();
                self.pool(flow, &axes, true, op == "GlobalAveragePool")?
            }
            "ReduceMax" | "ReduceMean" => self.reduce(node, inputs, op == "ReduceMean")?,
            "MaxPool" | "AveragePool" => self.local_pool(node, inputs, op == "AveragePool")?,
            "Gemm" => layer::gemm(node, inputs)?,
            "MatMul" => layer::multiply(inputs)?,
            "Sigmoid" => layer::sigmoid(inputs.flow(0)?)?,
            _ => return Err("is not a part of the DeepBind family".into()),
        };
        Ok(Value::Flow(flow))
    }

    /// The dimensions of a flow, as integers; those that no file fixes are marked.
    fn shape(&self, node: &NodeProto, flow: &Flow) -> Tensor {
        let positions = flow.positions(self.window, &self.convolutions);
        let length = |axis: &Axis| match axis {
            Axis::Batch => constant::BATCH,
            Axis::Positions => positions.map_or(constant::POSITIONS, |n| n as i64),
            Axis::Fixed(n) => *n as i64,
        };
        let dims: Vec<i64> = flow.axes.iter().map(length).collect();
        constant::shape(node, &dims)
    }

    fn reshape(&self, node: &NodeProto, inputs: &Inputs<'_>) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let target = match inputs.constant(1) {
            Some(shape) => shape.as_ints().ok_or("has a shape that is not of integers")?.to_vec(),
            None => constant::ints(node, "shape").ok_or("has a shape that is not constant")?,
        };
        let positions = flow.positions(self.window, &self.convolutions);
        let zero_copies = constant::int(node, "allowzero", 0) == 0;
        flow.reshape(&target, zero_copies, self.batch, positions)
    }

    /// The network that ends in `flow`.
    fn finish(&self, flow: &Flow) -> Result<Network, String> {
        let (features, layers, sigmoid) = match &flow.stage {
            Stage::Sequence(_) => return Err("it has no convolution".into()),
            Stage::Activations { .. } => return Err("it has no global pool".into()),
            Stage::Features(features) => (features, Vec::new(), false),
            Stage::Units { features, layers, sigmoid } => (features, layers.clone(), *sigmoid),
        };
        let long = flow.axes.iter().filter(|axis| matches!(axis, Axis::Fixed(n) if *n > 1)).count();
        if flow.axes.first() != Some(&Axis::Batch)
            || flow.axes[1..].iter().any(|axis| !matches!(axis, Axis::Fixed(_)))
            || long > 1
        {
            return Err("its output has not the shape [windows, outputs]".into());
        }
        let first = features.first().ok_or("it has no features")?;
        if features.iter().any(|f| (f.convolution, f.rectified) != (first.convolution, first.rectified)) {
            return Err("it has more than one convolution, or pools before and after the rectifier".into());
        }
        if layers.last().is_some_and(|layer| layer.rectified) {
            return Err("its output is rectified".into());
        }
        let mut layers: Vec<Dense> = layers.into_iter().map(|layer| layer.dense).collect();
        if layers.is_empty() {
            if features.len() > LARGEST_IDENTITY {
                return Err(format!("it has {} outputs", features.len()));
            }
            layers.push(identity(features.len()));
        }
        let pooling = match (features.iter().any(|f| !f.average), features.iter().any(|f| f.average)) {
            (true, true) => Pooling::MaxAndAverage,
            (false, _) => Pooling::Average,
            (true, false) => Pooling::Max,
        };
        let convolution = &self.convolutions[first.convolution];
        layers[0] = by_feature(&layers[0], features, convolution.filters, pooling);
        let count = layers.len();
        let (Some(output), hidden, None) = (layers.pop(), layers.pop(), layers.pop()) else {
            return Err(format!("it has {} hidden layers", count - 1));
        };
        let network = Network {
            filters: convolution.filters,
            filter_length: convolution.length,
            weights: convolution.weights.clone(),
            biases: convolution.biases.clone(),
            rectify: first.rectified,
            padding: convolution.padding,
            pooling,
            hidden,
            output,
            sigmoid,
        };
        network.check()?;
        Ok(network)
    }
}

/// A dense layer that hands its inputs on.
fn identity(width: usize) -> Dense {
    let weights = (0..width * width).map(|i| if i / width == i % width { 1.0 } else { 0.0 }).collect();
    Dense { inputs: width, outputs: width, weights, bias: vec![0.0; width] }
}

/// `layer`, which reads `features` in the graph's order, as one that reads them in the order of [`Pooling`].
fn by_feature(layer: &Dense, features: &[Feature], filters: usize, pooling: Pooling) -> Dense {
    let inputs = filters * pooling.features_per_filter();
    let mut weights = vec![0.0; inputs * layer.outputs];
    for output in 0..layer.outputs {
        for (i, feature) in features.iter().enumerate() {
            let means = if feature.average && pooling.has_max() { filters } else { 0 };
            weights[output * inputs + means + feature.filter] += layer.weights[output * layer.inputs + i];
        }
    }
    Dense { inputs, weights, ..layer.clone() }
}

/// The function that follows a first convolution, as far as it matters which sums give half of the highest activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// Proportional to the sum where that is positive: nothing, a rectifier or one of its kin.
    Proportional,
    /// The exponential function.
    Exponential,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + e^x).
    Softplus,
}

impl Transfer {
    /// The function of an ONNX operator.
    pub(crate) fn from_operator(operator: &str) -> Transfer {
        match operator {
            "Exp" => Transfer::Exponential,
            "Sigmoid" => Transfer::Sigmoid,
            "Tanh" => Transfer::Tanh,
            "Softplus" => Transfer::Softplus,
            _ => Transfer::Proportional,
        }
    }

    /// The sum that gives half of the activation which `highest` gives; `None` if that is not positive.
    pub(crate) fn half(self, highest: f32) -> Option<f32> {
        let sum = f64::from(highest);
        let half = match self {
            Transfer::Proportional => sum / 2.0,
            Transfer::Exponential => sum - std::f64::consts::LN_2,
            // ln(y / (1 - y)) of half the activation y.
            Transfer::Sigmoid => -(2.0 * (-sum).exp() + 1.0).ln(),
            Transfer::Tanh => (sum.tanh() / 2.0).atanh(),
            Transfer::Softplus => half_softplus(sum),
        };
        (self.is_positive(highest) && half.is_finite()).then_some(half as f32)
    }

    /// True if the activation is positive.
    pub(crate) fn is_positive(self, sum: f32) -> bool {
        match self {
            Transfer::Proportional | Transfer::Tanh => sum > 0.0,
            Transfer::Exponential | Transfer::Sigmoid | Transfer::Softplus => sum.is_finite(),
        }
    }
}

/// The x with ln(1 + e^x) half of ln(1 + e^sum).
pub(crate) fn half_softplus(sum: f64) -> f64 {
    let half = (sum.max(0.0) + (-sum.abs()).exp().ln_1p()) / 2.0;
    half.exp_m1().ln()
}
