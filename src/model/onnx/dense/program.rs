//! A dense graph as a list of operations on tensors of positions and channels, for an engine of our own.
//!
//! Crops are no operations: whatever reads a tensor says from which position on. Tensors that are read together may differ in
//! length; as many positions count as all of them have.

use std::collections::HashMap;

use super::{INPUT, OUTPUT, Rewrite};
use crate::model::onnx::constant::{float, int, ints, list, string};
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::value::{self, Inputs, Value, describe};

/// The operations of a dense graph, each reading what those before it made.
#[derive(Debug, Clone)]
pub struct Program {
    /// The operations. Tensor 0 is the sequence; operation i makes tensor i + 1.
    pub operations: Vec<Operation>,
    /// The scores: a channel for each output, a position for each window start.
    pub output: View,
}

/// A tensor, read from a position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Number of the tensor.
    pub tensor: usize,
    /// Positions left out at its start.
    pub before: usize,
}

/// An operation, and the tensor that it makes.
#[derive(Debug, Clone)]
pub struct Operation {
    /// What it does.
    pub kind: Kind,
    /// What it reads.
    pub inputs: Vec<View>,
    /// Channels of what it makes.
    pub channels: usize,
    /// Of what it makes, every so many positions belong to one window.
    pub step: usize,
}

/// Kinds of operations. Taps lie `dilation` positions apart.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The columns of the sequence.
    OneHot,
    /// A convolution with weights `[channel][input of the group][tap]` and a bias for each channel.
    Convolution {
        /// Weights.
        weights: Vec<f32>,
        /// Biases.
        bias: Vec<f32>,
        /// Taps.
        taps: usize,
        /// Distance between taps.
        dilation: usize,
        /// Groups of channels that do not see each other.
        groups: usize,
    },
    /// The highest of some positions.
    Maximum {
        /// Taps.
        taps: usize,
        /// Distance between taps.
        dilation: usize,
    },
    /// The mean of neighbouring positions.
    Mean {
        /// Taps.
        taps: usize,
    },
    /// Each channel times a number, plus another.
    Affine {
        /// Factor of each channel.
        scale: Vec<f32>,
        /// Term of each channel.
        shift: Vec<f32>,
    },
    /// A function of each number.
    Each(Function),
    /// A function of several tensors and constants, from the first to the last.
    Combine(Combining, Vec<Operand>),
    /// The channels of several tensors, one after another.
    Concat,
    /// Shares of the channels, or their logarithms.
    Softmax {
        /// True for logarithms.
        logarithm: bool,
    },
}

/// An operand of [`Kind::Combine`].
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// The next of the inputs; one channel stands for all.
    Input,
    /// A number for each channel.
    Constant(Vec<f32>),
}

/// Functions of two numbers; what is true is 1, what is not is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of ONNX")]
pub enum Combining {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Pow,
    PRelu,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// Of three: the second where the first is not 0, else the third.
    Where,
}

/// Functions of one number, with their parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names are those of ONNX")]
pub enum Function {
    Relu,
    LeakyRelu(f32),
    Elu(f32),
    Selu(f32, f32),
    Celu(f32),
    Gelu,
    GeluByTanh,
    Erf,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Sigmoid,
    HardSigmoid(f32, f32),
    HardSwish,
    Mish,
    Tanh,
    Softplus,
    Softsign,
    ThresholdedRelu(f32),
    Neg,
    Abs,
    Clip(f32, f32),
    Swish(f32),
}

impl Function {
    /// The function of `x`.
    #[inline]
    pub fn of(self, x: f32) -> f32 {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let softplus = |x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
        match self {
            Function::Relu => x.max(0.0),
            Function::LeakyRelu(alpha) => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Function::Elu(alpha) => {
                if x < 0.0 {
                    alpha * x.exp_m1()
                } else {
                    x
                }
            }
            Function::Selu(alpha, gamma) => gamma * if x > 0.0 { x } else { alpha * x.exp_m1() },
            Function::Celu(alpha) => x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0),
            Function::Gelu => 0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
            Function::GeluByTanh => {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Function::Erf => libm::erff(x),
            Function::Exp => x.exp(),
            Function::Log => x.ln(),
            Function::Sqrt => x.sqrt(),
            Function::Reciprocal => x.recip(),
            Function::Sigmoid => sigmoid(x),
            Function::HardSigmoid(alpha, beta) => (alpha * x + beta).clamp(0.0, 1.0),
            Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Function::Mish => x * softplus(x).tanh(),
            Function::Tanh => x.tanh(),
            Function::Softplus => softplus(x),
            Function::Softsign => x / (1.0 + x.abs()),
            Function::ThresholdedRelu(alpha) => {
                if x > alpha {
                    x
                } else {
                    0.0
                }
            }
            Function::Neg => -x,
            Function::Abs => x.abs(),
            Function::Clip(low, high) => x.max(low).min(high),
            Function::Swish(alpha) => x * sigmoid(alpha * x),
        }
    }

    fn read(node: &NodeProto, inputs: &Inputs<'_, Tensor>) -> Result<Function, String> {
        let alpha = |default| float(node, "alpha", default);
        Ok(match node.op_type() {
            "Relu" => Function::Relu,
            "LeakyRelu" => Function::LeakyRelu(alpha(0.01)),
            "Elu" => Function::Elu(alpha(1.0)),
            "Selu" => Function::Selu(alpha(1.673_263_2), float(node, "gamma", 1.050_701)),
            "Celu" => Function::Celu(alpha(1.0)),
            "Gelu" if string(node, "approximate", "none") == "tanh" => Function::GeluByTanh,
            "Gelu" => Function::Gelu,
            "Erf" => Function::Erf,
            "Exp" => Function::Exp,
            "Log" => Function::Log,
            "Sqrt" => Function::Sqrt,
            "Reciprocal" => Function::Reciprocal,
            "Sigmoid" => Function::Sigmoid,
            "HardSigmoid" => Function::HardSigmoid(alpha(0.2), float(node, "beta", 0.5)),
            "HardSwish" => Function::HardSwish,
            "Mish" => Function::Mish,
            "Tanh" => Function::Tanh,
            "Softplus" => Function::Softplus,
            "Softsign" => Function::Softsign,
            "ThresholdedRelu" => Function::ThresholdedRelu(alpha(1.0)),
            "Neg" => Function::Neg,
            "Abs" => Function::Abs,
            "Clip" => {
                let bound = |i, none| match inputs.get(i).map(|_| inputs.weights(i)).transpose()? {
                    None => Ok(none),
                    Some((_, &[bound])) => Ok(bound),
                    Some(_) => Err("has bounds that are no single numbers".to_owned()),
                };
                Function::Clip(bound(1, f32::NEG_INFINITY)?, bound(2, f32::INFINITY)?)
            }
            "Swish" => Function::Swish(alpha(1.0)),
            _ => return Err(UNKNOWN.into()),
        })
    }
}

/// Most groups of a convolution that may be computed with zeros between them.
const GROUPS: usize = 4;

const UNKNOWN: &str = "is only run by ONNX Runtime";

/// Knowledge of a tensor of the dense graph.
#[derive(Debug, Clone, Copy)]
struct Tensor {
    view: View,
    channels: usize,
}

impl Program {
    /// Lists the operations of a dense graph.
    ///
    /// # Errors
    /// The first node that is none of the [`Kind`]s.
    pub fn new(rewrite: &Rewrite) -> Result<Program, String> {
        let graph = rewrite.graph.graph.as_ref().ok_or("there is no graph")?;
        let mut lowering = Lowering { operations: Vec::new(), steps: &rewrite.steps, columns: None };
        let sequence = Tensor { view: View { tensor: 0, before: 0 }, channels: 4 };
        let mut values = value::initial(graph, INPUT, sequence);
        for node in &graph.node {
            let inputs = Inputs::of(node, &values);
            let tensor =
                inputs.and_then(|inputs| lowering.run(node, &inputs).map_err(|e| describe(node, &e)));
            value::note(node, tensor.map(Value::Flow), &mut values);
        }
        let Tensor { view, .. } = *value::last(&values, OUTPUT)?;
        let output = lowering.as_numbers(view);
        Ok(Program { operations: lowering.operations, output })
    }
}

/// The operations so far.
struct Lowering<'a> {
    operations: Vec<Operation>,
    steps: &'a HashMap<String, usize>,
    /// The tensor of the sequence's columns, where something else than a convolution reads it.
    columns: Option<usize>,
}

impl Lowering<'_> {
    fn run(&mut self, node: &NodeProto, inputs: &Inputs<'_, Tensor>) -> Result<Tensor, String> {
        let first = || inputs.flow(0).copied();
        let taps = || {
            let kernel = ints(node, "kernel_shape").and_then(|kernel| kernel.last().copied()).unwrap_or(1);
            let dilation = ints(node, "dilations").and_then(|sizes| sizes.last().copied()).unwrap_or(1);
            (kernel.max(1) as usize, dilation.max(1) as usize)
        };
        match node.op_type() {
            // Softmax is taken with channels on the last axis, where they are here in any case.
            "Identity" | "Transpose" => first(),
            "Slice" => {
                let Tensor { view, channels } = first()?;
                let (&[start], &[axis], &[step]) = (list(inputs, 1)?, list(inputs, 3)?, list(inputs, 4)?)
                else {
                    return Err(UNKNOWN.into());
                };
                if (axis, step) != (3, 1) || start < 0 {
                    return Err(UNKNOWN.into());
                }
                Ok(Tensor { view: View { before: view.before + start as usize, ..view }, channels })
            }
            "Conv" => {
                let Tensor { view, channels } = first()?;
                let (dims, weights) = inputs.weights(1)?;
                let &[outputs, of_group, 1, width] = dims else { return Err(UNKNOWN.into()) };
                let (taps, dilation) = taps();
                let groups = int(node, "group", 1).max(1) as usize;
                let is_depthwise = groups == channels && outputs == channels;
                let is_whole = of_group * groups == channels && outputs.is_multiple_of(groups);
                if width != taps || !is_whole || (groups > GROUPS && !is_depthwise) {
                    return Err(UNKNOWN.into());
                }
                let bias = match inputs.get(2) {
                    Some(_) => inputs.weights(2)?.1.to_vec(),
                    None => vec![0.0; outputs],
                };
                let kind = Kind::Convolution { weights: weights.to_vec(), bias, taps, dilation, groups };
                let view = if groups == 1 { view } else { self.as_numbers(view) };
                Ok(self.push(node, kind, vec![view], outputs))
            }
            "MaxPool" => {
                let (taps, dilation) = taps();
                self.of_first(node, Kind::Maximum { taps, dilation }, first()?)
            }
            "AveragePool" => self.of_first(node, Kind::Mean { taps: taps().0 }, first()?),
            "BatchNormalization" => {
                let parameter = |i| inputs.weights(i).map(|(_, values)| values);
                let [scale, shift, mean, variance] =
                    [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
                let epsilon = f64::from(float(node, "epsilon", 1e-5));
                let factor = |(&scale, &variance): (&f32, &f32)| {
                    f64::from(scale) / (f64::from(variance) + epsilon).sqrt()
                };
                let factors: Vec<f64> = scale.iter().zip(variance).map(factor).collect();
                let terms = factors.iter().zip(shift.iter().zip(mean));
                let terms =
                    terms.map(|(factor, (&shift, &mean))| f64::from(shift) - f64::from(mean) * factor);
                let shift = terms.map(|term| term as f32).collect();
                let scale = factors.iter().map(|&factor| factor as f32).collect();
                self.of_first(node, Kind::Affine { scale, shift }, first()?)
            }
            "Softmax" | "LogSoftmax" => {
                self.of_first(node, Kind::Softmax { logarithm: node.op_type() == "LogSoftmax" }, first()?)
            }
            "Concat" => {
                let tensors: Vec<Tensor> = inputs.flows()?.into_iter().copied().collect();
                let views = tensors.iter().map(|tensor| self.as_numbers(tensor.view)).collect();
                let channels = tensors.iter().map(|tensor| tensor.channels).sum();
                Ok(self.push(node, Kind::Concat, views, channels))
            }
            "Add" | "Sum" => self.combine(node, inputs, Combining::Add),
            "Sub" => self.combine(node, inputs, Combining::Sub),
            "Mul" => self.combine(node, inputs, Combining::Mul),
            "Div" => self.combine(node, inputs, Combining::Div),
            "Max" => self.combine(node, inputs, Combining::Max),
            "Min" => self.combine(node, inputs, Combining::Min),
            "Pow" => self.combine(node, inputs, Combining::Pow),
            "PRelu" => self.combine(node, inputs, Combining::PRelu),
            "Greater" => self.combine(node, inputs, Combining::Greater),
            "GreaterOrEqual" => self.combine(node, inputs, Combining::GreaterOrEqual),
            "Less" => self.combine(node, inputs, Combining::Less),
            "LessOrEqual" => self.combine(node, inputs, Combining::LessOrEqual),
            "Where" => self.combine(node, inputs, Combining::Where),
            _ => self.of_first(node, Kind::Each(Function::read(node, inputs)?), first()?),
        }
    }

    /// An operation on one tensor, with as many channels.
    fn of_first(&mut self, node: &NodeProto, kind: Kind, tensor: Tensor) -> Result<Tensor, String> {
        let view = self.as_numbers(tensor.view);
        Ok(self.push(node, kind, vec![view], tensor.channels))
    }

    fn combine(
        &mut self,
        node: &NodeProto,
        inputs: &Inputs<'_, Tensor>,
        combining: Combining,
    ) -> Result<Tensor, String> {
        let (mut operands, mut views, mut channels) = (Vec::new(), Vec::new(), 1);
        for i in 0..inputs.len() {
            match inputs.flow(i) {
                Ok(tensor) => {
                    views.push(self.as_numbers(tensor.view));
                    channels = channels.max(tensor.channels);
                    operands.push(Operand::Input);
                }
                Err(_) => operands.push(Operand::Constant(inputs.weights(i)?.1.to_vec())),
            }
        }
        Ok(self.push(node, Kind::Combine(combining, operands), views, channels))
    }

    fn push(&mut self, node: &NodeProto, kind: Kind, inputs: Vec<View>, channels: usize) -> Tensor {
        let input = inputs.first().map_or(0, |view| view.tensor);
        let own = node.output.first().and_then(|name| self.steps.get(name));
        // What lies between two tensors of the graph that was rewritten has all positions of the first.
        let step = own.copied().unwrap_or_else(|| self.step(input));
        self.operations.push(Operation { kind, inputs, channels, step });
        Tensor { view: View { tensor: self.operations.len(), before: 0 }, channels }
    }

    fn step(&self, tensor: usize) -> usize {
        tensor.checked_sub(1).map_or(1, |rank| self.operations[rank].step)
    }

    /// The view of a tensor of numbers: of the sequence, that of its columns.
    fn as_numbers(&mut self, view: View) -> View {
        if view.tensor > 0 {
            return view;
        }
        let tensor = *self.columns.get_or_insert_with(|| {
            let inputs = vec![View { tensor: 0, before: 0 }];
            self.operations.push(Operation { kind: Kind::OneHot, inputs, channels: 4, step: 1 });
            self.operations.len()
        });
        View { tensor, ..view }
    }
}
