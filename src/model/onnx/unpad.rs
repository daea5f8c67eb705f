//! A padded graph as if each layer had seen the real bases beside the window.
//!
//! Padding puts zeros where the window's neighbours lie. Without it a layer reads further positions of the tensor before
//! it, which that one computes from further positions of its own, and so on down to the bases: the window's flanks.
//!
//! The number of positions that a tensor has beyond those of the window follows backwards from the output, which has none.
//! With a positions before and b behind them, a layer with kernel k, dilation d, stride s and p positions of padding before
//! reads a · s + p further ones before, and behind them as far as its last result reaches. A layer that spans the window (a
//! global pool, a flattened dense layer) reads the window's own positions.

use std::collections::{HashMap, HashSet};

use super::build::drop_unread;
use super::constant::{self, axes, int, ints};
use super::conv_geometry::Slide;
use super::operator::{ENTANGLING, combines, is_of_each};
use super::opset;
use super::proto::tensor_shape_proto::Dimension;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::type_proto::Value as TypeValue;
use super::proto::{ModelProto, NodeProto, TensorProto};
use super::shape::{Over, Shape};
use super::tensor::Tensor;
use super::value::{self, Inputs, Value, describe};
use crate::model::Input;

/// Longest flank.
const LONGEST_FLANK: usize = 1 << 24;

/// A graph without padding.
#[derive(Debug, Clone)]
pub struct Unpadded {
    /// The graph; its input is a window with its flanks.
    pub graph: ModelProto,
    /// Bases that it sees before a window.
    pub left: usize,
    /// Bases that it sees behind a window.
    pub right: usize,
}

/// Takes the padding out of the graph of `model`, from `input` to the output named `output`, for windows of `window` bases.
///
/// # Errors
/// A node on the way that is not followed, or that cannot be computed for further positions: what reads a window from end
/// to end and gives a result at each position.
pub fn unpad(model: &ModelProto, input: &Input, output: &str, window: usize) -> Result<Unpadded, String> {
    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    if let Some(node) = graph.node.iter().find(|node| ENTANGLING.contains(&node.op_type())) {
        return Err(describe(node, "reads a window from end to end, so that nothing lies beside it"));
    }
    let walk = Walk { opset: opset(model), batch: input.batch };
    let sequence = Shape::sequence(input.layout, window);
    let mut values = value::initial(graph, &input.name, sequence.clone());
    let mut steps = Vec::new();
    for node in &graph.node {
        let inputs = Inputs::of(node, &values);
        let step = inputs.and_then(|inputs| walk.run(node, &inputs).map_err(|e| describe(node, &e)));
        let value = step.map(|known| match known {
            Known::Constant(tensor) => Value::Constant(tensor),
            Known::Step(step) => {
                let shape = step.shape.clone();
                steps.push(step);
                Value::Flow(shape)
            }
        });
        value::note(node, value, &mut values);
    }
    let last = value::last(&values, output)?;
    if last.positions != 1 {
        return Err("its output is not one row a window".into());
    }
    let extents = extents(&steps, output)?;
    let (left, right) = extents.get(&*input.name).copied().unwrap_or_default();
    let weights = graph.initializer.iter().map(TensorProto::name).collect();
    let mut emitter = Emitter {
        extents: &extents,
        weights,
        nodes: Vec::new(),
        made: HashSet::new(),
        constants: Vec::new(),
    };
    for step in &steps {
        if extents.contains_key(step.result()) {
            emitter.emit(step)?;
        }
    }
    let Emitter { nodes, constants, .. } = emitter;
    let mut model = model.clone();
    let graph = model.graph.get_or_insert_default();
    graph.node = nodes;
    graph.initializer.extend(constants);
    drop_unread(graph);
    // Declared shapes hold for the window alone.
    graph.value_info.clear();
    let positions = sequence.axes.iter().position(|axis| axis[..] == [Over::Positions]);
    if let (Some(axis), true) = (positions, input.length.is_some()) {
        set_length(graph, &input.name, axis, window + left + right);
    }
    Ok(Unpadded { graph: model, left, right })
}

/// Sets the length of an axis of an input.
fn set_length(graph: &mut super::proto::GraphProto, input: &str, axis: usize, length: usize) {
    let value = graph.input.iter_mut().find(|value| value.name() == input);
    let r#type = value.and_then(|value| value.r#type.as_mut()).and_then(|t| t.value.as_mut());
    if let Some(TypeValue::TensorType(tensor)) = r#type
        && let Some(dim) = tensor.shape.as_mut().and_then(|shape| shape.dim.get_mut(axis))
    {
        *dim = Dimension { value: Some(Dim::DimValue(length as i64)), denotation: None };
    }
}

/// Manner in which a node reads the positions of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// One position for each of its own.
    Each,
    /// Neighbours.
    Slide(Slide),
    /// From the first on, so many positions from one to the next.
    Cut(usize, usize),
    /// Those of the window, and no others.
    Window,
}

/// A node that depends on the sequence.
#[derive(Debug, Clone)]
struct Step<'a> {
    node: &'a NodeProto,
    /// The inputs that depend on the sequence: their rank, shape, and how they are read.
    reads: Vec<(usize, Shape, Reading)>,
    /// The inputs that do not, where the file computes them.
    constants: Vec<(usize, Tensor)>,
    /// Shape of the result, for the window alone.
    shape: Shape,
}

impl Step<'_> {
    fn result(&self) -> &str {
        self.node.output.first().map_or("", String::as_str)
    }
}

enum Known<'a> {
    Constant(Tensor),
    Step(Step<'a>),
}

struct Walk {
    opset: i64,
    batch: Option<usize>,
}

impl Walk {
    fn run<'a>(&self, node: &'a NodeProto, inputs: &Inputs<'_, Shape>) -> Result<Known<'a>, String> {
        if let Some(tensor) = constant::fold(node, inputs, self.opset)? {
            return Ok(Known::Constant(tensor));
        }
        if node.op_type() == "Shape" {
            return Ok(Known::Constant(constant::shape(node, &inputs.flow(0)?.dims(self.batch))));
        }
        let (shape, reading) = self.apply(node, inputs)?;
        let shape = shape.tidy();
        shape.check()?;
        let mut reads = Vec::new();
        let mut constants = Vec::new();
        for i in 0..inputs.len() {
            match inputs.get(i) {
                None => {}
                Some(Value::Constant(tensor)) => {
                    constants.push((i, tensor.clone()));
                }
                Some(Value::Flow(own)) => {
                    // A tensor of one position goes with all of them.
                    let single = reading == Reading::Each && own.positions == 1 && shape.positions > 1;
                    reads.push((i, own.clone(), if single { Reading::Window } else { reading }));
                }
            }
        }
        Ok(Known::Step(Step { node, reads, constants, shape }))
    }

    fn apply(&self, node: &NodeProto, inputs: &Inputs<'_, Shape>) -> Result<(Shape, Reading), String> {
        let operator = node.op_type();
        if combines(operator) {
            return combine(inputs);
        }
        let shape = inputs.flow(0)?;
        let kept = |new: Shape| {
            let own = |shape: &Shape| {
                shape.positions == 1 || shape.axes.iter().any(|axis| axis[..] == [Over::Positions])
            };
            let reading = if own(shape) && own(&new) { Reading::Each } else { Reading::Window };
            (new, reading)
        };
        Ok(match operator {
            _ if is_of_each(operator) || constant::hands_on(node, inputs)? => (shape.clone(), Reading::Each),
            "BatchNormalization" => (shape.clone(), Reading::Each),
            "Reshape" => {
                let zero_copies = int(node, "allowzero", 0) == 0;
                kept(shape.reshape(constant::list(inputs, 1)?, zero_copies, self.batch)?)
            }
            "Flatten" => kept(shape.flatten(int(node, "axis", 1))?),
            "Squeeze" => kept(shape.squeeze(axes(node, inputs, self.opset < 13)?)?),
            "Unsqueeze" => kept(shape.unsqueeze(axes(node, inputs, self.opset < 13)?)?),
            "Transpose" => kept(shape.transpose(ints(node, "perm"))?),
            "Slice" => {
                let (mut first, mut step) = (0, 1);
                let mut new = shape.clone();
                for (start, end, by) in shape.cuts(inputs)? {
                    first += start * step;
                    step *= by;
                    new.positions = (end - start).div_ceil(by);
                }
                (new, Reading::Cut(first, step))
            }
            "Concat" => {
                let shapes = inputs.flows()?;
                (Shape::concat(&shapes, int(node, "axis", 0))?, Reading::Each)
            }
            "Pad" => {
                let slide = shape.padding(node, inputs)?;
                (shape.slid(slide)?, Reading::Slide(slide))
            }
            "Conv" => {
                let dims = inputs.weight_dims(1)?;
                let layer = shape.convolution(node, dims)?;
                (layer.shape, Reading::Slide(layer.slide))
            }
            "MaxPool" | "AveragePool" => {
                let (slide, new) = shape.local_pool(node)?;
                (new, Reading::Slide(slide))
            }
            "GlobalMaxPool" | "GlobalAveragePool" | "ReduceMax" | "ReduceMean" => {
                (shape.whole_pool(node, inputs, self.opset)?.1, Reading::Window)
            }
            "Gemm" | "MatMul" => {
                if operator == "MatMul" && inputs.constant(0).is_some() {
                    return Err("multiplies from the left".into());
                }
                let dims = inputs.weight_dims(1)?;
                let &[rows, columns] = dims else { return Err("has weights that are no matrix".into()) };
                let turned = int(node, "transB", 0) != 0;
                let (rows, columns) = if turned { (columns, rows) } else { (rows, columns) };
                let spans = shape.axes.last().is_some_and(|last| last.contains(&Over::Positions));
                let (_, new) = shape.dense(rows, columns)?;
                (new, if spans { Reading::Window } else { Reading::Each })
            }
            "Softmax" | "LogSoftmax" | "LayerNormalization" => {
                let from_there = operator == "LayerNormalization" || self.opset < 13;
                let axis = shape.axis(int(node, "axis", if self.opset < 13 { 1 } else { -1 }))?;
                let last = if from_there { shape.axes.len() } else { axis + 1 };
                let over_positions = shape.axes[axis..last].concat().contains(&Over::Positions);
                (shape.clone(), if over_positions { Reading::Window } else { Reading::Each })
            }
            _ => return Err("is not followed".into()),
        })
    }
}

/// A function of several tensors, number by number.
fn combine(inputs: &Inputs<'_, Shape>) -> Result<(Shape, Reading), String> {
    let shapes: Vec<&Shape> = (0..inputs.len()).filter_map(|i| inputs.flow(i).ok()).collect();
    let size = |shape: &&&Shape| shape.channels.saturating_mul(shape.positions);
    let widest = *shapes.iter().max_by_key(size).ok_or("combines constants only")?;
    let fits = |shape: &&Shape| {
        let pairs = shape.axes.iter().zip(&widest.axes);
        shape.axes.len() == widest.axes.len()
            && pairs.into_iter().all(|(own, axis)| own == axis || own.is_empty())
    };
    if !shapes.iter().all(fits) {
        return Err("combines tensors of different shapes".into());
    }
    let by_position = |tensor: &Tensor| {
        let behind = widest.axes.len().saturating_sub(tensor.dims.len());
        let pairs = tensor.dims.iter().zip(&widest.axes[behind..]);
        pairs.into_iter().any(|(&length, axis)| length > 1 && axis.contains(&Over::Positions))
    };
    let fixed = (0..inputs.len()).filter_map(|i| inputs.constant(i)).any(by_position);
    Ok((widest.clone(), if fixed { Reading::Window } else { Reading::Each }))
}

/// Positions that a tensor has before and behind those of the window.
type Extents<'a> = HashMap<&'a str, (usize, usize)>;

/// Positions that a node reads of a tensor with `positions`, before the window's and behind them, for a result with these
/// extents; negative where it reads less than those of the window.
fn wanted(reading: Reading, positions: usize, results: usize, (before, after): (usize, usize)) -> (i64, i64) {
    let (before, after, positions) = (before as i64, after as i64, positions as i64);
    let last = results as i64 + after - 1;
    match reading {
        Reading::Each => (before, after),
        Reading::Window => (0, 0),
        Reading::Slide(slide) => {
            let (stride, pad) = (slide.stride as i64, slide.pads.0 as i64);
            (before * stride + pad, last * stride - pad + slide.reach() as i64 + 1 - positions)
        }
        Reading::Cut(first, step) => {
            let (first, step) = (first as i64, step as i64);
            (before * step - first, first + last * step + 1 - positions)
        }
    }
}

/// The extents of all tensors that the output depends on.
fn extents<'a>(steps: &'a [Step<'a>], output: &'a str) -> Result<Extents<'a>, String> {
    let mut extents = Extents::from([(output, (0, 0))]);
    for step in steps.iter().rev() {
        let Some(&own) = extents.get(step.result()) else { continue };
        for (rank, shape, reading) in &step.reads {
            if *reading == Reading::Window && own != (0, 0) && step.shape.positions > 1 && shape.positions > 1
            {
                return Err(describe(
                    step.node,
                    "reads a window from end to end and gives a result at each position, beyond which a later layer looks",
                ));
            }
            let (before, after) = wanted(*reading, shape.positions, step.shape.positions, own);
            let name = step.node.input.get(*rank).map_or("", String::as_str);
            let extent = extents.entry(name).or_default();
            let (before, after) = (before.max(0) as usize, after.max(0) as usize);
            *extent = (extent.0.max(before), extent.1.max(after));
            if extent.0.max(extent.1) > LONGEST_FLANK {
                return Err(describe(step.node, "sees more bases than a flank may have"));
            }
            let has_axis = shape.axes.iter().any(|axis| axis[..] == [Over::Positions]);
            if *extent != (0, 0) && !has_axis {
                return Err(describe(step.node, "looks beside a single position"));
            }
        }
    }
    Ok(extents)
}

struct Emitter<'a> {
    extents: &'a Extents<'a>,
    /// Names of the constants that the file has.
    weights: HashSet<&'a str>,
    nodes: Vec<NodeProto>,
    /// Names of cuts that there are.
    made: HashSet<String>,
    constants: Vec<TensorProto>,
}

impl Emitter<'_> {
    fn emit(&mut self, step: &Step<'_>) -> Result<(), String> {
        let mut node = step.node.clone();
        let own = self.extents.get(step.result()).copied().unwrap_or_default();
        for (rank, tensor) in &step.constants {
            self.constant(&node.input[*rank].clone(), tensor);
        }
        for (rank, shape, reading) in &step.reads {
            let wanted = wanted(*reading, shape.positions, step.shape.positions, own);
            let by = if let Reading::Cut(_, by) = reading { *by } else { 1 };
            node.input[*rank] = self.cut(&node.input[*rank].clone(), shape, wanted, by);
        }
        match step.node.op_type() {
            "Conv" | "MaxPool" | "AveragePool" => {
                node.attribute
                    .retain(|attribute| !matches!(attribute.name(), "pads" | "auto_pad" | "ceil_mode"));
            }
            // The positions read are those that are left, or were put there.
            "Slice" | "Pad" => {
                node.input.truncate(1);
                node.attribute.clear();
                node.op_type = Some("Identity".into());
            }
            "Reshape" if own != (0, 0) => {
                let shape = Shape { positions: step.shape.positions + own.0 + own.1, ..step.shape.clone() };
                let dims = shape.dims(None);
                let target =
                    dims.into_iter().map(|dim| if dim == constant::BATCH { -1 } else { dim }).collect();
                let name = format!("{}/shape", step.result());
                self.constants.push(Tensor::ints(target).write(&name));
                node.input[1] = name;
            }
            _ => {}
        }
        self.nodes.push(node);
        Ok(())
    }

    fn constant(&mut self, name: &str, tensor: &Tensor) {
        if !self.weights.contains(name) && self.made.insert(format!("constant {name}")) {
            self.constants.push(tensor.write(name));
        }
    }

    /// The tensor `name` with `wanted` positions before the window's and behind them, of those that it has.
    fn cut(&mut self, name: &str, shape: &Shape, wanted: (i64, i64), by: usize) -> String {
        let (before, after) = self.extents.get(name).copied().unwrap_or_default();
        let (skipped, left) = (before as i64 - wanted.0, after as i64 - wanted.1);
        let axis = shape.axes.iter().position(|axis| axis[..] == [Over::Positions]);
        let Some(axis) = axis.filter(|_| (skipped, left, by) != (0, 0, 1)) else { return name.to_owned() };
        let cut = format!("{name}/from_{skipped}_to_{left}_by_{by}");
        if !self.made.insert(cut.clone()) {
            return cut;
        }
        let end = if left == 0 { i64::MAX } else { -left };
        let mut inputs = vec![name.to_owned()];
        for (what, number) in [("start", skipped), ("end", end), ("axis", axis as i64), ("step", by as i64)] {
            let name = format!("{cut}/{what}");
            self.constants.push(Tensor::ints(vec![number]).write(&name));
            inputs.push(name);
        }
        let (op_type, output) = (Some("Slice".to_owned()), vec![cut.clone()]);
        self.nodes.push(NodeProto {
            op_type,
            name: Some(cut.clone()),
            input: inputs,
            output,
            ..NodeProto::default()
        });
        cut
    }
}
