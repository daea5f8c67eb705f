//! A graph that scores overlapping windows together, for networks that pad, or that cannot be made dense to their end.
//!
//! A layer that pads gives other numbers at the ends of a window than it would give with the real neighbours, and the
//! same numbers further in. So the positions of a tensor that belongs to a window are of three kinds:
//!
//! ```text
//! left end | interior ........................ | right end
//! ```
//!
//! The interior is what the same layers give without padding, and neighbouring windows have it in common. It is taken from a
//! tensor of the whole stretch of bases, made as that of the [dense](super::dense) graph: with a stride of 1, and dilated by
//! the strides passed so far. Position j of the window that starts at base b is its entry `b + j · step + origin`. The ends are
//! computed for each window by itself, from the end of the tensor before and some positions of its interior; each layer that
//! pads makes them longer. Tensors of a stretch and of ends are `[1, channels, rows, positions]`, with one row for the stretch
//! or a row for each window, so that a layer is the same node in all three.
//!
//! A pool over all positions is one over the interior, taken from the stretch, joined with those of the ends. At any other node
//! that ties all positions of a window together (a dense layer after flattening, a recurrent layer), or where the ends have
//! become so long that nothing is saved, the three parts are joined to the tensor that the graph itself has there. Its own
//! nodes follow, for a batch of windows.

use std::collections::{HashMap, HashSet};

use super::build;
use super::constant::{self, BATCH, axes, int, ints, string};
use super::operator::{combines, is_of_each};
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::{NodeProto, TensorProto};
use super::rows::{Rows, followed};
use super::shape::{Over, Shape};
use super::tensor::Tensor;
use super::value::{self, Inputs, Value, Values, describe};
use super::{ModelProto, opset};
use crate::model::Input;

mod layer;

/// Name of the input: f32 `[1, 4, 1, (windows - 1) · stride + window]`.
pub const INPUT: &str = "shared_sequence";

/// Columns of a matrix product, with fewer of which (65, to be exact) ONNX Runtime adds up in another order.
const COLUMNS: usize = 128;
/// Cost of a value that a window takes from a stretch, in multiplications: 5 to 7 ns where those of a layer take 0.03.
const TAKEN: f64 = 200.0;
/// Operators that run graphs of their own, which may read any tensor.
const WITH_GRAPHS: [&str; 3] = ["Scan", "Loop", "If"];

/// A graph for the windows of a stretch, and what it costs.
#[derive(Debug, Clone)]
pub struct Shared {
    /// From [`INPUT`] to the model's own output, a row for each window.
    pub graph: ModelProto,
    /// Multiplications and comparisons for each base of a stretch.
    pub base_cost: f64,
    /// Those for each window besides, as far as they are known.
    pub cost: f64,
    /// Those of the graph it was made from.
    pub window_cost: f64,
    /// Most channels of a tensor of the stretch.
    pub widest: usize,
    /// Most values that a tensor has for each window.
    pub values: usize,
    /// Windows that have enough columns in every matrix product of their ends for sums to keep one order.
    pub fewest: usize,
}

/// Makes the graph of `model`, from `input` to the output named `output`, score the windows of `window` bases of a stretch, of
/// which one begins each `stride` bases. Or says in one line why they share nothing.
///
/// # Errors
/// A graph whose first layers are not followed, with another input than batches of any size, or with operators older than
/// version 11.
pub fn share(
    model: &ModelProto,
    input: &Input,
    output: &str,
    window: usize,
    stride: usize,
) -> Result<Shared, String> {
    let graph = followed(model, window)?;
    if let Some(batch) = input.batch {
        return Err(format!("its graph takes batches of {batch} windows only"));
    }
    if let Some(node) = graph.node.iter().find(|node| WITH_GRAPHS.contains(&node.op_type())) {
        return Err(describe(node, "runs a graph of its own"));
    }
    let shape = Shape::sequence(input.layout, window);
    let none = End::default();
    let first =
        Parts { shape, stretch: INPUT.into(), step: 1, origin: 0, lost: 0, left: none.clone(), right: none };
    let mut walk = Walk {
        rows: Rows::new("shared"),
        opset: opset(model),
        window,
        stride,
        starts: None,
        taken: HashMap::new(),
        joined: HashSet::new(),
        given: graph.initializer.iter().map(TensorProto::name).collect(),
        base_cost: 0.0,
        cost: 0.0,
        window_cost: 0.0,
        widest: 4,
        values: 4,
        fewest: 1,
        shares: false,
    };
    let mut values = value::initial(graph, &input.name, Flow::Parts(first));
    for node in &graph.node {
        walk.node(node, &mut values);
    }
    if let Flow::Parts(parts) = value::last(&values, output)? {
        walk.join(output, parts)?;
    }
    if !walk.shares {
        return Err("padding reaches too far into its windows, or they overlap too little".into());
    }
    let Walk { rows, base_cost, cost, window_cost, widest, values, fewest, .. } = walk;
    let mut model = model.clone();
    let graph = model.graph.get_or_insert_default();
    graph.node = needed(rows.builder.graph.node, output);
    graph.initializer.extend(rows.builder.graph.initializer);
    build::drop_unread(graph);
    let one = || Dim::DimValue(1);
    graph.input = vec![build::value_info(INPUT, [one(), Dim::DimValue(4), one(), build::symbol("L")])];
    graph.output.retain(|value| value.name() == output);
    // Declared shapes are those of the graph as it was.
    graph.value_info.clear();
    Ok(Shared { graph: model, base_cost, cost, window_cost, widest, values, fewest })
}

/// The nodes that `output` depends on.
fn needed(nodes: Vec<NodeProto>, output: &str) -> Vec<NodeProto> {
    let mut wanted = HashSet::from([output.to_owned()]);
    let mut needed: Vec<NodeProto> = Vec::new();
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|name| wanted.contains(name)) {
            wanted.extend(node.input.iter().cloned());
            needed.push(node);
        }
    }
    needed.reverse();
    needed
}

/// A tensor that depends on the sequence.
#[derive(Debug, Clone)]
enum Flow {
    Parts(Parts),
    /// One that the new graph has by the same name, a row for each window; its shape, if that is known.
    Whole(Option<Shape>),
}

/// A tensor in three parts.
#[derive(Debug, Clone)]
struct Parts {
    /// The tensor's shape for one window.
    shape: Shape,
    /// Name of the tensor `[1, channels, 1, L - lost]` of a stretch of L bases.
    stretch: String,
    /// Bases from one position to the next.
    step: usize,
    /// Entry of position 0 for a window that starts at base 0; it is below 0 if there are such positions at the left end only.
    origin: i64,
    lost: usize,
    left: End,
    right: End,
}

/// The positions at one end of all windows: `[1, channels, windows, positions]`; there is no such tensor without positions.
#[derive(Debug, Clone, Default)]
struct End {
    name: String,
    positions: usize,
}

impl Parts {
    /// First position behind the interior.
    fn inner_end(&self) -> usize {
        self.shape.positions - self.right.positions
    }

    /// The same numbers under other axes.
    fn moved(&self, shape: Shape) -> Parts {
        Parts { shape: shape.tidy(), ..self.clone() }
    }
}

/// The state of a walk over the nodes.
struct Walk<'a> {
    rows: Rows,
    opset: i64,
    window: usize,
    stride: usize,
    /// Name of the tensor `[windows, 1]` of the bases at which windows start.
    starts: Option<String>,
    /// Positions that were taken from tensors of the stretch so far.
    taken: HashMap<(String, i64, usize, usize), String>,
    /// Names of tensors in parts that were joined.
    joined: HashSet<String>,
    /// Names of constants that the graph has.
    given: HashSet<&'a str>,
    base_cost: f64,
    cost: f64,
    window_cost: f64,
    widest: usize,
    values: usize,
    fewest: usize,
    /// True once a convolution is shared.
    shares: bool,
}

impl<'a> Walk<'a> {
    /// Follows a node: in parts if it can be, else for all windows as it is.
    fn node(&mut self, node: &'a NodeProto, values: &mut Values<'a, Flow>) {
        let inputs = Inputs::of(node, values);
        let in_parts = inputs.and_then(|inputs| {
            if let Ok(Some(tensor)) = constant::fold(node, &inputs, self.opset) {
                self.rows.charge(tensor.data.len())?;
                return Ok(Some(Value::Constant(tensor)));
            }
            if let ("Shape", Ok(Flow::Parts(parts))) = (node.op_type(), inputs.flow(0)) {
                return Ok(Some(Value::Constant(constant::shape(node, &parts.shape.dims(None)))));
            }
            if let Some(shape) = self.whole_pool(node, &inputs).ok().flatten() {
                return Ok(Some(Value::Flow(Flow::Whole(Some(shape)))));
            }
            let parts = self.apply(node, &inputs).ok().flatten();
            Ok(parts.map(|parts| {
                self.widest = self.widest.max(parts.shape.channels);
                Value::Flow(Flow::Parts(parts))
            }))
        });
        match in_parts {
            Ok(Some(value)) => value::note(node, Ok(value), values),
            Err(reason) => value::note(node, Err(reason), values),
            Ok(None) => {
                let whole = self.as_it_is(node, values);
                for name in node.output.iter().filter(|name| !name.is_empty()) {
                    values.insert(name, whole.clone().map(|shape| Value::Flow(Flow::Whole(shape))));
                }
            }
        }
    }

    /// The result of a node in parts, if its inputs are and it leaves an interior.
    fn apply(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Option<Parts>, String> {
        if combines(node.op_type()) {
            return self.combine(node, inputs);
        }
        let Ok(Flow::Parts(parts)) = inputs.flow(0) else { return Ok(None) };
        if constant::hands_on(node, inputs)? {
            return Ok(Some(parts.clone()));
        }
        let shape = &parts.shape;
        match node.op_type() {
            "Reshape" => {
                let zero_copies = int(node, "allowzero", 0) == 0;
                let new = shape.reshape(constant::list(inputs, 1)?, zero_copies, None)?;
                Ok(Some(parts.moved(new)))
            }
            "Flatten" => Ok(Some(parts.moved(shape.flatten(int(node, "axis", 1))?))),
            "Squeeze" => Ok(Some(parts.moved(shape.squeeze(axes(node, inputs, self.opset < 13)?)?))),
            "Unsqueeze" => Ok(Some(parts.moved(shape.unsqueeze(axes(node, inputs, self.opset < 13)?)?))),
            "Transpose" => Ok(Some(parts.moved(shape.transpose(ints(node, "perm"))?))),
            "Slice" => self.slice(parts, inputs),
            "Concat" => self.concat(&inputs.flows()?, int(node, "axis", 1)),
            "Pad" => self.pad(parts, node, inputs),
            "Conv" => self.convolution(parts, node, inputs),
            "BatchNormalization" => self.normalize(parts, node, inputs),
            "MaxPool" | "AveragePool" => self.local_pool(parts, node),
            operator if is_of_each(operator) => self.each(parts, node, inputs),
            _ => Ok(None),
        }
    }

    /// Adds the node as it is, after the tensors that it reads. Returns the shape of its result, if that is known.
    fn as_it_is(&mut self, node: &NodeProto, values: &Values<'_, Flow>) -> Result<Option<Shape>, String> {
        let mut own = node.clone();
        for (i, name) in node.input.iter().enumerate() {
            match values.get(name.as_str()) {
                Some(Ok(Value::Flow(Flow::Parts(parts)))) => self.join(name, parts)?,
                Some(Ok(Value::Constant(tensor))) if !self.given.contains(name.as_str()) => {
                    let is_shape = node.op_type() == "Reshape" && i == 1;
                    let of_batch = tensor.as_ints().is_some_and(|numbers| numbers.contains(&BATCH));
                    if of_batch && !is_shape {
                        return Err(describe(node, "reads the number of windows"));
                    }
                    let tensor = if is_shape { &batched(tensor)? } else { tensor };
                    own.input[i] = self.rows.constant(tensor)?;
                }
                _ => {}
            }
        }
        let shape = Inputs::of(node, values).ok().and_then(|inputs| self.known_cost(node, &inputs));
        self.rows.builder.graph.node.push(own);
        Ok(shape)
    }

    /// Counts the operations of a node that is used as it is, if they are known; returns the shape of its result.
    fn known_cost(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Option<Shape> {
        let shape = match inputs.flow(0).ok()? {
            Flow::Parts(parts) => parts.shape.clone(),
            Flow::Whole(shape) => shape.clone()?,
        };
        let weights = || inputs.weight_dims(1).ok();
        let product = |dims: &[usize]| dims.iter().fold(1.0, |product, &n| product * n as f64);
        let (shape, operations) = match node.op_type() {
            operator if is_of_each(operator) || operator == "BatchNormalization" => (shape, 0.0),
            "Conv" => {
                let layer = shape.convolution(node, weights()?).ok()?;
                let operations = product(weights()?) * layer.shape.positions as f64;
                (layer.shape, operations)
            }
            "MaxPool" | "AveragePool" => {
                let (slide, new) = shape.local_pool(node).ok()?;
                let operations = (new.channels * slide.kernel) as f64 * new.positions as f64;
                (new, operations)
            }
            "GlobalMaxPool" | "GlobalAveragePool" | "ReduceMax" | "ReduceMean" => {
                let operations = (shape.channels * shape.positions) as f64;
                (shape.whole_pool(node, inputs, self.opset).ok()?.1, operations)
            }
            "Flatten" => (shape.flatten(int(node, "axis", 1)).ok()?, 0.0),
            "Squeeze" => (shape.squeeze(axes(node, inputs, self.opset < 13).ok()?).ok()?, 0.0),
            "Reshape" => (
                shape.reshape(constant::list(inputs, 1).ok()?, int(node, "allowzero", 0) == 0, None).ok()?,
                0.0,
            ),
            "Transpose" => (shape.transpose(ints(node, "perm")).ok()?, 0.0),
            "Gemm" | "MatMul" => {
                let &[rows, columns] = weights()? else { return None };
                let turned = int(node, "transB", 0) != 0;
                let (rows, columns) = if turned { (columns, rows) } else { (rows, columns) };
                let (_, new) = shape.dense(rows, columns).ok()?;
                let operations = (rows * columns) as f64 * new.positions as f64;
                (new, operations)
            }
            "RNN" | "GRU" | "LSTM" => {
                let recurrent = inputs.weight_dims(2).ok()?;
                let operations = (product(weights()?) + product(recurrent)) * shape.positions as f64;
                self.spend(0.0, operations, operations);
                return None;
            }
            _ if combines(node.op_type()) => (shape, 0.0),
            _ => return None,
        };
        self.spend(0.0, operations, operations);
        Some(shape.tidy())
    }

    /// Counts operations of a layer in parts: for each base of the stretch, for the ends of a window, and for a window of the
    /// graph as it was.
    fn spend(&mut self, base: f64, ends: f64, window: f64) {
        self.base_cost += base;
        self.cost += ends;
        self.window_cost += window;
    }

    /// Adds the tensor in parts as the graph itself has it, by its name.
    fn join(&mut self, name: &str, parts: &Parts) -> Result<(), String> {
        if !self.joined.insert(name.to_owned()) {
            return Ok(());
        }
        let all = self.positions(parts, 0, parts.shape.positions)?;
        self.values = self.values.max(parts.shape.channels.saturating_mul(parts.shape.positions));
        self.give(name, &all, &parts.shape)
    }

    /// Adds the tensor `all`, `[1, channels, windows, positions]`, as the graph itself has it, with this name and shape.
    fn give(&mut self, name: &str, all: &str, shape: &Shape) -> Result<(), String> {
        // From one, channels, windows, positions.
        let axis = |over: &Over| match over {
            Over::Windows => Ok(2),
            Over::Channels => Ok(1),
            Over::Positions => Ok(3),
            Over::Directions => Err("has two directions"),
        };
        let mut order = shape.axes.iter().flatten().map(axis).collect::<Result<Vec<i64>, _>>()?;
        order.extend((0..4).filter(|axis| !order.contains(axis)).collect::<Vec<_>>());
        let turned = self.rows.emit("Transpose", &[all], [build::ints("perm", &order)]);
        let dims = batched(&Tensor::ints(shape.dims(None)))?;
        let dims = self.rows.constant(&dims)?;
        self.rows.builder.node("Reshape", &[&turned, &dims], name, []);
        Ok(())
    }

    /// Positions `from..to` of all windows, `[1, channels, windows, positions]`.
    fn positions(&mut self, parts: &Parts, from: usize, to: usize) -> Result<String, String> {
        let (inner, behind) = (parts.left.positions, parts.inner_end());
        let mut pieces = Vec::new();
        let cut = |walk: &mut Self, end: &End, from: usize, to: usize| {
            if (from, to) == (0, end.positions) {
                return Ok(end.name.clone());
            }
            walk.rows.slice(&end.name, from, to as i64, 1)
        };
        if from < inner.min(to) {
            pieces.push(cut(self, &parts.left, from, to.min(inner))?);
        }
        let (first, last) = (from.max(inner), to.min(behind));
        if first < last {
            pieces.push(self.take(parts, first, last)?);
        }
        if to > behind.max(from) {
            pieces.push(cut(self, &parts.right, from.max(behind) - behind, to - behind)?);
        }
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        match pieces[..] {
            [] => Err("reads no positions".into()),
            [piece] => Ok(piece.to_owned()),
            _ => Ok(self.rows.emit("Concat", &pieces, [build::int("axis", 3)])),
        }
    }

    /// Positions `from..to` of the interior of all windows.
    fn take(&mut self, parts: &Parts, from: usize, to: usize) -> Result<String, String> {
        let first = parts.origin + (from * parts.step) as i64;
        let key = (parts.stretch.clone(), first, parts.step, to - from);
        if let Some(name) = self.taken.get(&key) {
            return Ok(name.clone());
        }
        let starts = self.starts()?;
        let places: Vec<i64> = (0..to - from).map(|j| first + (j * parts.step) as i64).collect();
        self.cost += TAKEN * (parts.shape.channels * (to - from)) as f64;
        let places = self.rows.constant(&Tensor::ints(places))?;
        let entries = self.rows.emit("Add", &[&starts, &places], []);
        let found = self.rows.emit("Gather", &[&parts.stretch, &entries], [build::int("axis", 3)]);
        let dims = vec![1, parts.shape.channels as i64, -1, (to - from) as i64];
        let dims = self.rows.constant(&Tensor::ints(dims))?;
        let name = self.rows.emit("Reshape", &[&found, &dims], []);
        self.taken.insert(key, name.clone());
        Ok(name)
    }

    /// Name of the tensor of window starts.
    fn starts(&mut self) -> Result<String, String> {
        if let Some(name) = &self.starts {
            return Ok(name.clone());
        }
        let scalar = |walk: &mut Self, number: i64| {
            walk.rows.constant(&Tensor { dims: Vec::new(), data: Tensor::ints(vec![number]).data })
        };
        let (axis, zero) = (scalar(self, 3)?, scalar(self, 0)?);
        let (short, stride) = (scalar(self, self.window as i64 - 1)?, scalar(self, self.stride as i64)?);
        let dims = self.rows.emit("Shape", &[INPUT], []);
        let bases = self.rows.emit("Gather", &[&dims, &axis], [build::int("axis", 0)]);
        let limit = self.rows.emit("Sub", &[&bases, &short], []);
        let starts = self.rows.emit("Range", &[&zero, &limit, &stride], []);
        let column = self.rows.constant(&Tensor::ints(vec![-1, 1]))?;
        let name = self.rows.emit("Reshape", &[&starts, &column], []);
        self.starts = Some(name.clone());
        Ok(name)
    }
}

/// The dimensions of a tensor for batches of any size.
fn batched(dims: &Tensor) -> Result<Tensor, String> {
    let numbers = dims.as_ints().ok_or("has a shape that is not of integers")?;
    let has_rest = numbers.contains(&-1);
    let dim = |(i, &number): (usize, &i64)| match number {
        // A 0 in the first place copies the number of windows.
        BATCH if i == 0 && has_rest => Ok(0),
        BATCH if !has_rest => Ok(-1),
        BATCH => Err("has a shape with two free lengths"),
        number => Ok(number),
    };
    Ok(Tensor::ints(numbers.iter().enumerate().map(dim).collect::<Result<_, _>>()?))
}
