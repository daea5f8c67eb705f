//! Receptive fields: which bases of a window each layer of a graph sees.
//!
//! Position j of a tensor sees `bases` bases, from base `first + j · stride` of the window on. A layer with kernel k,
//! dilation d, stride s and p positions of padding before the first one, on a tensor with stride t, moves `first` by
//! -p · t, adds (k - 1) · d · t to `bases` and makes the stride s · t (Araujo, Norris and Sim 2019, "Computing receptive
//! fields of convolutional neural networks").

use std::collections::HashSet;

use crate::model::Input;
use crate::model::onnx::constant;
use crate::model::onnx::constant::{axes, int, ints, string};
use crate::model::onnx::conv_geometry::Slide;
use crate::model::onnx::operator::{combines, is_of_each};
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::shape::{Over, Shape};
use crate::model::onnx::value;
use crate::model::onnx::value::{Inputs, Value, Values, describe};
use crate::model::onnx::{ModelProto, opset};

/// Result of a graph's node for one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Lengths of the axes of its first output; `None` for that of windows.
    pub shape: Vec<Option<usize>>,
    /// Bases of the window that a position of it depends on, at most.
    pub bases: usize,
    /// Bases from a position to the next, where there are several.
    pub stride: Option<usize>,
    /// Positions that it pads before the first and after the last.
    pub pads: (usize, usize),
}

/// Knowledge of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// It depends on the sequence, in this way.
    Layer(Seen),
    /// It does not depend on the sequence: constants, and shapes that exporters compute in the graph.
    Constant,
    /// It is not followed: no operation that is known here, or after such a one.
    Unknown,
}

/// The axes of an output, for windows of a known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axes {
    /// Values that a window gets, at each position if there are several.
    pub(crate) values: usize,
    /// The axis of positions, if there are several.
    pub(crate) positions: Option<usize>,
    /// Number of axes.
    pub(crate) rank: usize,
}

/// Receptive field of each node, in their order, with windows of `window` bases.
pub fn receptive_fields(model: &ModelProto, input: &Input, window: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    follow(model, input, window, |node| nodes.push(node));
    nodes
}

/// The axes of the output named `name`, with windows of `window` bases.
///
/// # Errors
/// A node on the way to it that is not followed, or axes that run over something else than windows, values and positions.
pub(crate) fn output_axes(
    model: &ModelProto,
    input: &Input,
    name: &str,
    window: usize,
) -> Result<Axes, String> {
    let values = follow(model, input, window, |_| {});
    let shape = &value::last(&values, name)?.shape;
    let Some((first, others)) = shape.axes.split_first() else { return Err("it is one number".into()) };
    if first[..] != [Over::Windows]
        || others.iter().flatten().any(|over| !matches!(over, Over::Channels | Over::Positions))
    {
        return Err("its first axis is not that of windows alone".into());
    }
    let positions = others.iter().position(|axis| axis[..] == [Over::Positions]);
    let of_values = others.iter().enumerate().filter(|&(i, _)| Some(i) != positions);
    let lengths = of_values.map(|(_, axis)| shape.length(axis).unwrap_or(1));
    let values = lengths.fold(1, usize::saturating_mul);
    Ok(Axes { values, positions: positions.map(|i| i + 1), rank: shape.axes.len() })
}

/// Follows the nodes of the graph, and reports each; returns what is known of the tensors.
fn follow<'a>(
    model: &'a ModelProto,
    input: &'a Input,
    window: usize,
    mut report: impl FnMut(Node),
) -> Values<'a, Field> {
    let Some(graph) = &model.graph else { return Values::new() };
    let walk = Walk { opset: opset(model), batch: input.batch };
    let sequence = Field {
        shape: Shape::sequence(input.layout, window),
        first: 0,
        bases: 1,
        stride: 1,
        whole: false,
        pads: (0, 0),
    };
    let mut values = value::initial(graph, &input.name, sequence);
    let mut of_sequence = HashSet::from([input.name.as_str()]);
    for node in &graph.node {
        let depends =
            node.op_type() != "Shape" && node.input.iter().any(|name| of_sequence.contains(name.as_str()));
        if depends {
            of_sequence.extend(node.output.iter().map(String::as_str));
        }
        let inputs =
            if is_recurrent(node) { Inputs::first_of(node, &values) } else { Inputs::of(node, &values) };
        let value =
            inputs.and_then(|inputs| walk.run(node, &inputs).map_err(|reason| describe(node, &reason)));
        report(match &value {
            Ok(Value::Flow(field)) => Node::Layer(field.seen(window)),
            Err(_) if depends => Node::Unknown,
            _ => Node::Constant,
        });
        let last_state = match &value {
            Ok(Value::Flow(field)) if is_recurrent(node) => Some(field.last_state()),
            _ => None,
        };
        value::note(node, value, &mut values);
        // A recurrent layer's second and third outputs are its states after the last position.
        if let Some(state) = last_state {
            for name in node.output.iter().skip(1) {
                values.insert(name, Ok(Value::Flow(state.clone())));
            }
        }
    }
    values
}

/// A tensor that comes from the sequence.
#[derive(Debug, Clone)]
struct Field {
    shape: Shape,
    /// First base that position 0 sees; before the window (negative) where there is padding.
    first: i64,
    /// Bases that a position sees.
    bases: usize,
    /// Bases from one position to the next.
    stride: usize,
    /// True if each position sees what all of them see.
    whole: bool,
    /// Padding by the node that made it.
    pads: (usize, usize),
}

impl Field {
    /// Bases that all positions together see: the first, and how many.
    fn extent(&self) -> (i64, usize) {
        let others = if self.whole { 0 } else { (self.shape.positions - 1).saturating_mul(self.stride) };
        (self.first, self.bases.saturating_add(others))
    }

    /// A tensor of which each position sees what all of them see.
    fn widened(self) -> Field {
        let (first, bases) = self.extent();
        Field { first, bases, whole: true, ..self }
    }

    /// After a layer that slides.
    fn slid(&self, slide: Slide, shape: Shape) -> Field {
        let before = slide.pads.0.saturating_mul(self.stride) as i64;
        let (first, bases) = if self.whole {
            (self.first, self.bases)
        } else {
            let reach = slide.reach().saturating_mul(self.stride);
            (self.first.saturating_sub(before), self.bases.saturating_add(reach))
        };
        let stride = self.stride.saturating_mul(slide.stride);
        Field { shape, first, bases, stride, whole: self.whole, pads: slide.pads }
    }

    fn with_shape(&self, shape: Shape) -> Field {
        Field { shape, ..self.clone() }
    }

    /// Numbers that depend on those of several tensors at the same position.
    fn joined(fields: &[&Field], shape: Shape) -> Result<Field, String> {
        let longest = *fields.iter().max_by_key(|field| field.shape.positions).ok_or("joins nothing")?;
        let alike = |field: &&Field| {
            (field.shape.positions, field.stride) == (longest.shape.positions, longest.stride) && !field.whole
        };
        let whole = !fields.iter().all(alike);
        let part = |field: &Field| if whole { field.extent() } else { (field.first, field.bases) };
        let first = fields.iter().map(|field| part(field).0).min().unwrap_or(0);
        let end = |(first, bases): (i64, usize)| first.saturating_add(bases as i64);
        let end = fields.iter().map(|field| end(part(field))).max().unwrap_or(0);
        let bases = usize::try_from(end.saturating_sub(first)).unwrap_or(0);
        Ok(Field { shape, first, bases, stride: longest.stride, whole, pads: (0, 0) })
    }

    /// The state of a recurrent layer after the last position.
    fn last_state(&self) -> Field {
        let axes = vec![vec![Over::Directions], vec![Over::Windows], vec![Over::Channels]];
        self.with_shape(Shape { axes, positions: 1, ..self.shape.clone() }.tidy())
    }

    fn seen(&self, window: usize) -> Seen {
        let dims = self.shape.dims(None);
        Seen {
            shape: dims.iter().map(|&dim| usize::try_from(dim).ok()).collect(),
            bases: self.bases.min(window),
            stride: (self.shape.positions > 1).then_some(self.stride),
            pads: self.pads,
        }
    }
}

fn is_recurrent(node: &NodeProto) -> bool {
    matches!(node.op_type(), "RNN" | "GRU" | "LSTM")
}

struct Walk {
    opset: i64,
    batch: Option<usize>,
}

impl Walk {
    fn run(&self, node: &NodeProto, inputs: &Inputs<'_, Field>) -> Result<Value<Field>, String> {
        if let Some(tensor) = constant::fold(node, inputs, self.opset)? {
            return Ok(Value::Constant(tensor));
        }
        if node.op_type() == "Shape" {
            let dims = inputs.flow(0)?.shape.dims(self.batch);
            return Ok(Value::Constant(constant::shape(node, &dims)));
        }
        let field = self.apply(node, inputs)?;
        let shape = field.shape.tidy();
        shape.check()?;
        Ok(Value::Flow(Field { shape, ..field }))
    }

    fn apply(&self, node: &NodeProto, inputs: &Inputs<'_, Field>) -> Result<Field, String> {
        let operator = node.op_type();
        if operator == "MatMul" && inputs.constant(0).is_some() {
            return Err("multiplies from the left".into());
        }
        if combines(operator) {
            return combine(inputs);
        }
        let field = &Field { pads: (0, 0), ..inputs.flow(0)?.clone() };
        let shape = &field.shape;
        Ok(match operator {
            _ if is_of_each(operator) || constant::hands_on(node, inputs)? => field.clone(),
            "Reshape" => {
                let zero_copies = int(node, "allowzero", 0) == 0;
                field.with_shape(shape.reshape(constant::list(inputs, 1)?, zero_copies, self.batch)?)
            }
            "Flatten" => field.with_shape(shape.flatten(int(node, "axis", 1))?),
            "Squeeze" => field.with_shape(shape.squeeze(axes(node, inputs, self.opset < 13)?)?),
            "Unsqueeze" => field.with_shape(shape.unsqueeze(axes(node, inputs, self.opset < 13)?)?),
            "Transpose" => field.with_shape(shape.transpose(ints(node, "perm"))?),
            "Slice" => {
                let mut field = field.clone();
                for (start, end, step) in shape.cuts(inputs)? {
                    field.take(start, (end - start).div_ceil(step), step);
                }
                field
            }
            "Gather" => gather(field, inputs, int(node, "axis", 0))?,
            "Concat" => {
                let fields = inputs.flows()?;
                let shapes: Vec<&Shape> = fields.iter().map(|field| &field.shape).collect();
                Field::joined(&fields, Shape::concat(&shapes, int(node, "axis", 0))?)?
            }
            "Pad" => pad(field, node, inputs)?,
            "Conv" => {
                let dims = inputs.weight_dims(1)?;
                let layer = shape.convolution(node, dims)?;
                field.slid(layer.slide, layer.shape)
            }
            "MaxPool" | "AveragePool" => {
                let (slide, shape) = shape.local_pool(node)?;
                field.slid(slide, shape)
            }
            "GlobalMaxPool" | "GlobalAveragePool" | "ReduceMax" | "ReduceMean" => {
                let (slide, shape) = shape.whole_pool(node, inputs, self.opset)?;
                field.slid(slide, shape)
            }
            "Gemm" | "MatMul" => {
                let dims = inputs.weight_dims(1)?;
                let &[rows, columns] = dims else { return Err("has weights that are no matrix".into()) };
                let turned = int(node, "transB", 0) != 0;
                let (rows, columns) = if turned { (columns, rows) } else { (rows, columns) };
                let (slide, shape) = shape.dense(rows, columns)?;
                field.slid(slide, shape)
            }
            "BatchNormalization" => field.clone(),
            "LayerNormalization" | "Softmax" | "LogSoftmax" => {
                let axis = shape.axis(int(node, "axis", -1))?;
                let from_there = operator == "LayerNormalization" || self.opset < 13;
                let last = if from_there { shape.axes.len() } else { axis + 1 };
                let over_positions = shape.axes[axis..last].concat().contains(&Over::Positions);
                if over_positions { field.clone().widened() } else { field.clone() }
            }
            "InstanceNormalization" => field.clone().widened(),
            "RNN" | "GRU" | "LSTM" => recurrent(field, node)?,
            _ => return Err("is not followed".into()),
        })
    }
}

impl Field {
    /// Leaves `positions` positions from `start` on, `step` from one to the next.
    fn take(&mut self, start: usize, positions: usize, step: usize) {
        if !self.whole {
            self.first = self.first.saturating_add(start.saturating_mul(self.stride) as i64);
        }
        self.shape.positions = positions;
        self.stride = self.stride.saturating_mul(step);
    }
}

/// A function of several tensors, number by number.
fn combine(inputs: &Inputs<'_, Field>) -> Result<Field, String> {
    let fields: Vec<&Field> = (0..inputs.len()).filter_map(|i| inputs.flow(i).ok()).collect();
    let size = |field: &&&Field| field.shape.channels.saturating_mul(field.shape.positions);
    let widest = *fields.iter().max_by_key(size).ok_or("combines constants only")?;
    // A gate has one number where the tensor that it gates has several.
    let fits = |field: &&Field| {
        field.shape.axes.len() == widest.shape.axes.len()
            && field
                .shape
                .axes
                .iter()
                .zip(&widest.shape.axes)
                .all(|(own, axis)| own == axis || own.is_empty())
    };
    if !fields.iter().all(fits) {
        return Err("combines tensors of different shapes".into());
    }
    Field::joined(&fields, widest.shape.clone())
}

/// One position, as a network has it that goes on with the last one.
fn gather(field: &Field, inputs: &Inputs<'_, Field>, axis: i64) -> Result<Field, String> {
    let axis = field.shape.axis(axis)?;
    let &[place] = constant::list(inputs, 1)? else { return Err("takes several positions".into()) };
    if field.shape.axes[axis] != [Over::Positions] {
        return Err("takes from an axis that is not that of positions".into());
    }
    let place = crate::model::onnx::tensor::resolve(place, field.shape.positions)?;
    let mut field = field.clone();
    field.take(place, 1, 1);
    if inputs.constant(1).is_some_and(|index| index.dims.is_empty()) {
        field.shape.axes.remove(axis);
    }
    Ok(field)
}

/// Padding in a node of its own.
fn pad(field: &Field, node: &NodeProto, inputs: &Inputs<'_, Field>) -> Result<Field, String> {
    let given = if inputs.get(1).is_some() { constant::list(inputs, 1)?.to_vec() } else { Vec::new() };
    let pads = if given.is_empty() { ints(node, "pads").unwrap_or_default() } else { given };
    let rank = field.shape.axes.len();
    if pads.len() != 2 * rank || inputs.get(3).is_some() {
        return Err("has pads for other axes".into());
    }
    let mut slide = Slide::over(1);
    for (i, axis) in field.shape.axes.iter().enumerate() {
        let pair = (usize::try_from(pads[i]), usize::try_from(pads[i + rank]));
        match (pair, &axis[..]) {
            ((Ok(0), Ok(0)), _) => {}
            ((Ok(before), Ok(after)), [Over::Positions]) => slide.pads = (before, after),
            _ => return Err("pads an axis that is not that of positions".into()),
        }
    }
    let shape = field.shape.slid(slide)?;
    Ok(field.slid(slide, shape))
}

/// A recurrent layer: a position depends on all before it, and read both ways on all.
fn recurrent(field: &Field, node: &NodeProto) -> Result<Field, String> {
    use Over::{Channels, Directions, Positions, Windows};
    let by_window = int(node, "layout", 0) != 0;
    let (input, output) = if by_window {
        ([vec![Windows], vec![Positions], vec![Channels]], [Windows, Positions, Directions, Channels])
    } else {
        ([vec![Positions], vec![Windows], vec![Channels]], [Positions, Directions, Windows, Channels])
    };
    let shape = &field.shape;
    let axes_fit = shape.axes.len() == 3
        && shape.axes.iter().zip(&input).all(|(own, axis)| own.is_empty() || own == axis);
    if !axes_fit || shape.axes[usize::from(!by_window)] != [Windows] {
        return Err("reads something else than positions".into());
    }
    let directions = if string(node, "direction", "forward") == "bidirectional" { 2 } else { 1 };
    let channels = usize::try_from(int(node, "hidden_size", 0)).unwrap_or(0);
    if channels == 0 {
        return Err("has no hidden_size".into());
    }
    let axes = output.map(|over| vec![over]).to_vec();
    let shape = Shape { axes, channels, positions: shape.positions, directions };
    Ok(field.with_shape(shape).widened())
}
