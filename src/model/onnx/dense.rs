//! The dense graph of a window classifier: any ONNX graph without padding, made to score every window of a stretch.
//!
//! A layer that slides along a window does the same for every window, so the windows of a stretch can share it. In
//! the dense graph every tensor is `[1, channels, 1, P]`, and entry p belongs to the window that starts at base p:
//! what the graph has at place j of that window lies at p + j · step. The step is the product of the strides passed
//! so far, because a layer with stride s does all positions here and leaves it to the next one to look at every s-th.
//! So a convolution or pool keeps its numbers, has stride 1 and is dilated by the step; a pool over all positions is
//! a pool over as many; a dense layer over flattened positions is a convolution that spans them.
//!
//! The nodes are followed in order on descriptions (`Flow`) in place of numbers, with the window's length known.
//! A node that reads past a window's ends (padding), ties all positions together in another way (recurrence, attention) or
//! is not known gives the reason why there is no dense graph.

use std::collections::HashMap;

use super::build::{self, INPUT, OUTPUT};
use super::constant::{self, axes, int, ints};
use super::operator::{ENTANGLING, combines, is_of_each};
use super::proto::NodeProto;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::rows::{Rows, along_channels, followed};
use super::shape::{Over, Shape};
use super::tensor::{Tensor, permute};
use super::value::{self, Inputs, Value, describe};
use super::{ModelProto, opset};
use crate::model::Input;

mod layer;
pub mod program;

/// A dense graph, and what it costs.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// From f32 `[1, 4, 1, L]`, named [`INPUT`], to f32 `[1, outputs, 1, L - window + 1]`, named [`OUTPUT`].
    pub graph: ModelProto,
    /// Multiplications and comparisons for each base of a stretch.
    pub cost: f64,
    /// Those of the graph it was made from, for each window.
    pub window_cost: f64,
    /// Most channels that a tensor has.
    pub widest: usize,
    /// Of the tensors of the graph that was rewritten, by their new names: every so many positions belong to one window.
    pub(crate) steps: HashMap<String, usize>,
}

/// Makes the graph of `model`, from `input` to the output named `output`, dense for windows of `window` bases. Or
/// tells in one line why the windows must be scored one at a time.
///
/// # Errors
/// The first node that pads, that is no operation which windows can share, or that is used in another way than is
/// known here; operators older than version 11.
pub fn rewrite(model: &ModelProto, input: &Input, output: &str, window: usize) -> Result<Rewrite, String> {
    let graph = followed(model, window)?;
    if let Some(node) = graph.node.iter().find(|node| ENTANGLING.contains(&node.op_type())) {
        return Err(describe(node, NOT_SHARED));
    }
    let mut walk = Walk {
        rows: Rows::new("dense"),
        opset: opset(model),
        batch: input.batch,
        cost: 0.0,
        window_cost: 0.0,
        widest: 4,
        steps: HashMap::new(),
    };
    let mut values = value::initial(
        graph,
        &input.name,
        Flow { name: INPUT.into(), shape: Shape::sequence(input.layout, window), step: 1, lost: 0 }.tidy(),
    );
    for node in &graph.node {
        let inputs = Inputs::of(node, &values);
        let value = inputs.and_then(|inputs| walk.run(node, &inputs).map_err(|e| describe(node, &e)));
        value::note(node, value, &mut values);
    }
    let last = value::last(&values, output)?;
    walk.finish(last, window)?;
    let Walk { cost, window_cost, widest, rows, steps, .. } = walk;
    let built = build::finish(rows.builder);
    let graph =
        ModelProto { ir_version: model.ir_version, opset_import: model.opset_import.clone(), ..built };
    Ok(Rewrite { graph, cost, window_cost, widest, steps })
}

/// A tensor of the graph as it is for one window, and where the dense graph has it.
#[derive(Debug, Clone)]
struct Flow {
    /// Name of the dense tensor, `[1, channels, 1, L - lost]` for a stretch of L bases.
    name: String,
    /// The tensor's shape.
    shape: Shape,
    /// Bases from one of its positions to the next; 1 if there is only one.
    step: usize,
    /// Window starts at the end of a stretch that the dense tensor does not have.
    lost: usize,
}

const NOT_SHARED: &str = "is no operation that overlapping windows can share";

impl Flow {
    /// Without what an axis runs over once only.
    fn tidy(mut self) -> Flow {
        self.shape = self.shape.tidy();
        if self.shape.positions == 1 {
            self.step = 1;
        }
        self
    }
}

/// The state of a walk over the nodes.
struct Walk {
    rows: Rows,
    opset: i64,
    batch: Option<usize>,
    cost: f64,
    window_cost: f64,
    widest: usize,
    steps: HashMap<String, usize>,
}

/// Knowledge of a tensor.
type Known = Value<Flow>;

impl Walk {
    fn run(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Known, String> {
        if let Some(tensor) = constant::fold(node, inputs, self.opset)? {
            self.rows.charge(tensor.data.len())?;
            return Ok(Value::Constant(tensor));
        }
        if node.op_type() == "Shape" {
            return Ok(Value::Constant(constant::shape(node, &inputs.flow(0)?.shape.dims(self.batch))));
        }
        let flow = self.apply(node, inputs)?.tidy();
        flow.shape.check()?;
        self.widest = self.widest.max(flow.shape.channels);
        // A slice may leave the tensor as it is, of which windows then have fewer positions.
        self.steps.entry(flow.name.clone()).or_insert(flow.step);
        Ok(Value::Flow(flow))
    }

    fn apply(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        match node.op_type() {
            _ if constant::hands_on(node, inputs)? => Ok(inputs.flow(0)?.clone()),
            "Reshape" => {
                let zero_copies = int(node, "allowzero", 0) == 0;
                let target = constant::list(inputs, 1)?;
                moved(inputs, |shape| shape.reshape(target, zero_copies, self.batch))
            }
            "Flatten" => moved(inputs, |shape| shape.flatten(int(node, "axis", 1))),
            "Squeeze" => moved(inputs, |shape| shape.squeeze(axes(node, inputs, self.opset < 13)?)),
            "Unsqueeze" => moved(inputs, |shape| shape.unsqueeze(axes(node, inputs, self.opset < 13)?)),
            "Transpose" => moved(inputs, |shape| shape.transpose(ints(node, "perm"))),
            "Slice" => self.slice(inputs),
            "Concat" => self.concat(&inputs.flows()?, int(node, "axis", 1)),
            "Pad" => unpadded(node, inputs),
            "Conv" => self.convolution(node, inputs),
            "BatchNormalization" => self.normalize(node, inputs),
            "MaxPool" | "AveragePool" => self.local_pool(node, inputs.flow(0)?),
            "GlobalMaxPool" | "GlobalAveragePool" | "ReduceMax" | "ReduceMean" => {
                let flow = inputs.flow(0)?;
                let (slide, shape) = flow.shape.whole_pool(node, inputs, self.opset)?;
                let average = matches!(node.op_type(), "GlobalAveragePool" | "ReduceMean");
                self.pool(flow, slide, shape, average)
            }
            "Gemm" => self.gemm(node, inputs),
            "MatMul" => {
                let (dims, weights) = inputs.weights(1)?;
                let &[rows, columns] = dims else { return Err("has weights that are no matrix".into()) };
                self.dense(inputs.flow(0)?, columns, permute(weights, &[rows, columns], &[1, 0]), None)
            }
            "Softmax" | "LogSoftmax" => self.softmax(node, inputs.flow(0)?),
            operator if is_of_each(operator) => self.each(node, inputs),
            operator if combines(operator) => self.combine(node, inputs),
            _ => Err(NOT_SHARED.into()),
        }
    }

    /// Dense tensors of flows that are to be combined, all cut to the shortest, and how much that one has lost.
    fn align(&mut self, flows: &[&Flow]) -> Result<(Vec<String>, usize), String> {
        let first = flows[0];
        if flows.iter().any(|flow| (flow.shape.positions, flow.step) != (first.shape.positions, first.step)) {
            return Err("combines tensors that do not have the same positions".into());
        }
        let lost = flows.iter().map(|flow| flow.lost).max().unwrap_or(0);
        let names = flows.iter().map(|flow| self.rows.crop(&flow.name, 0, lost - flow.lost));
        Ok((names.collect::<Result<_, _>>()?, lost))
    }

    /// A cut of the positions of every window.
    fn slice(&mut self, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        let mut flow = inputs.flow(0)?.clone();
        for (start, end, step) in flow.shape.cuts(inputs)? {
            let before = start * flow.step;
            flow.name = self.rows.crop(&flow.name, before, 0)?;
            flow.lost += before;
            flow.shape.positions = (end - start).div_ceil(step);
            flow.step = flow.step.saturating_mul(step);
        }
        Ok(flow)
    }

    /// Channels of several tensors, one after another.
    fn concat(&mut self, flows: &[&Flow], axis: i64) -> Result<Flow, String> {
        let shapes: Vec<&Shape> = flows.iter().map(|flow| &flow.shape).collect();
        let shape = Shape::concat(&shapes, axis)?;
        let (names, lost) = self.align(flows)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.rows.emit("Concat", &names, [build::int("axis", 1)]);
        Ok(Flow { name, shape, step: flows[0].step, lost })
    }

    /// A function of each number; further inputs (the bounds of `Clip`) are constants.
    fn each(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let mut names = vec![flow.name.clone()];
        for i in 1..inputs.len() {
            names.push(match inputs.get(i) {
                None => String::new(),
                Some(Value::Constant(tensor)) => self.rows.constant(tensor)?,
                Some(Value::Flow(_)) => return Err("has a bound that depends on the sequence".into()),
            });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Flow { name: self.rows.emit(node.op_type(), &names, node.attribute.clone()), ..flow.clone() })
    }

    /// A function of several tensors, number by number, of which one at least is a flow.
    fn combine(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        let flows: Vec<&Flow> = (0..inputs.len()).filter_map(|i| inputs.flow(i).ok()).collect();
        let widest = *flows.iter().max_by_key(|flow| flow.shape.channels).ok_or("combines constants only")?;
        if !flows.iter().all(|flow| flow.shape.broadcasts(&widest.shape)) {
            return Err("combines tensors of different shapes".into());
        }
        let (aligned, lost) = self.align(&flows)?;
        let mut aligned = aligned.into_iter();
        let mut names = Vec::with_capacity(inputs.len());
        for i in 0..inputs.len() {
            names.push(match inputs.constant(i) {
                Some(tensor) => self.rows.constant(&along_channels(&widest.shape, tensor)?)?,
                None => aligned.next().ok_or("leaves out an input")?,
            });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.rows.emit(node.op_type(), &names, node.attribute.clone());
        Ok(Flow { name, lost, ..widest.clone() })
    }

    fn normalize(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        if int(node, "training_mode", 0) != 0 || !flow.shape.has_channels_second() {
            return Err("is not of channels, or in training mode".into());
        }
        let mut names = vec![flow.name.clone()];
        for i in 1..5 {
            let (_, values) = inputs.weights(i)?;
            if values.len() != flow.shape.channels {
                return Err("has parameters for another number of channels".into());
            }
            names.push(self.rows.constant(&Tensor::floats([values.len()], values.to_vec()))?);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Flow {
            name: self.rows.emit("BatchNormalization", &names, node.attribute.clone()),
            ..flow.clone()
        })
    }

    /// Over channels: with them on the last axis, where all versions of the operator do the same.
    fn softmax(&mut self, node: &NodeProto, flow: &Flow) -> Result<Flow, String> {
        let axis = flow.shape.axis(int(node, "axis", if self.opset < 13 { 1 } else { -1 }))?;
        let joined = self.opset < 13 && flow.shape.axes[axis + 1..].iter().any(|axis| !axis.is_empty());
        if flow.shape.axes[axis] != [Over::Channels] || joined {
            return Err("is over something else than channels".into());
        }
        let swap = || [build::ints("perm", &[0, 3, 2, 1])];
        let last = self.rows.emit("Transpose", &[&flow.name], swap());
        let shares = self.rows.emit(node.op_type(), &[&last], [build::int("axis", 3)]);
        Ok(Flow { name: self.rows.emit("Transpose", &[&shares], swap()), ..flow.clone() })
    }

    /// Adds the output: the numbers of `flow` for the window starts that a stretch has.
    fn finish(&mut self, flow: &Flow, window: usize) -> Result<(), String> {
        let axes = flow.shape.axes.concat();
        if flow.shape.positions != 1 || !matches!(axes[..], [Over::Windows] | [Over::Windows, Over::Channels])
        {
            return Err("its output is not one row a window".into());
        }
        let name = self.rows.crop(&flow.name, 0, window - 1 - flow.lost)?;
        self.rows.builder.node("Identity", &[&name], OUTPUT, []);
        let (one, bases) = (Dim::DimValue(1), build::symbol("L"));
        let input = [one.clone(), Dim::DimValue(4), one.clone(), bases];
        let output = [one.clone(), Dim::DimValue(flow.shape.channels as i64), one, build::symbol("P")];
        self.rows.builder.graph.input = vec![build::value_info(INPUT, input)];
        self.rows.builder.graph.output = vec![build::value_info(OUTPUT, output)];
        Ok(())
    }
}

/// The same numbers under axes that were moved, split or joined.
fn moved(
    inputs: &Inputs<'_, Flow>,
    by: impl FnOnce(&Shape) -> Result<Shape, String>,
) -> Result<Flow, String> {
    let flow = inputs.flow(0)?;
    Ok(Flow { shape: by(&flow.shape)?, ..flow.clone() })
}

/// A `Pad` that adds nothing.
fn unpadded(node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
    let pads = if inputs.get(1).is_some() { constant::list(inputs, 1)?.to_vec() } else { Vec::new() };
    let none = pads.iter().chain(&ints(node, "pads").unwrap_or_default()).all(|&pad| pad == 0);
    if none { Ok(inputs.flow(0)?.clone()) } else { Err(layer::PADS.into()) }
}
