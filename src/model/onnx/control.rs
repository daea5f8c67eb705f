//! Inputs beside the sequence: control tracks.
//!
//! Profile models are trained with the reads of a control experiment as further inputs, and are mostly used with zeros in
//! their place. The zeros are made of the sequence by a layer whose weights are zero, so that every planner can follow them.

use std::collections::HashSet;

use super::build::{Builder, int, ints};
use super::interface::{self, Dim, show_shape};
use super::opset;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::tensor::Tensor;
use crate::model::Layout;

/// Most values of a control track.
const MOST_VALUES: usize = 1 << 24;
/// First version of the operators that has those that are added here.
const OLDEST_OPSET: i64 = 13;

/// Feeds zeros to every input but that of the sequence; gives these inputs, and tells in one line each what was fed.
///
/// # Errors
/// Several inputs that may be the sequence, or none, and inputs whose shape is free or fits no control track.
pub(super) fn feed_zeros(model: &mut ModelProto) -> Result<Vec<(ValueInfoProto, String)>, String> {
    let version = opset(model);
    let Some(graph) = model.graph.as_mut() else { return Ok(Vec::new()) };
    let fed = inputs(graph);
    if fed.len() < 2 {
        return Ok(Vec::new());
    }
    let names = || fed.iter().map(ValueInfoProto::name).collect::<Vec<_>>().join(", ");
    let may_be: Vec<(&ValueInfoProto, Layout, Option<usize>)> =
        fed.iter().filter_map(|input| sequence(input)).collect();
    let by_name =
        |(input, ..): &&(&ValueInfoProto, Layout, Option<usize>)| input.name().to_lowercase().contains("seq");
    let of_sequence = match &may_be[..] {
        [only] => *only,
        several => match several.iter().filter(by_name).collect::<Vec<_>>()[..] {
            [only] => *only,
            _ => {
                return Err(format!(
                    "it has {} inputs ({}), and which is the sequence does not follow from their shapes and names",
                    fed.len(),
                    names()
                ));
            }
        },
    };
    if version < OLDEST_OPSET {
        return Err(format!(
            "it has several inputs ({}), and operators of version {version}; export it with {OLDEST_OPSET} or more",
            names()
        ));
    }
    let (sequence, layout, window) = (of_sequence.0.name().to_owned(), of_sequence.1, of_sequence.2);
    let mut zeros =
        Zeros { builder: Builder::default(), sequence: &sequence, layout, window, taken: taken(graph) };
    let mut notes = Vec::new();
    for input in fed.iter().filter(|input| input.name() != sequence) {
        let dims = interface::float_shape(input)?.unwrap_or_default();
        zeros.feed(input.name(), &dims)?;
        let note =
            format!("its input `{}` {} is fed zeros: no control track", input.name(), show_shape(&dims));
        notes.push((input.clone(), note));
    }
    let Builder { graph: added } = zeros.builder;
    graph.input.retain(|input| {
        input.name() == sequence || graph.initializer.iter().any(|t| t.name() == input.name())
    });
    graph.initializer.extend(added.initializer);
    let nodes = std::mem::take(&mut graph.node);
    graph.node = added.node.into_iter().chain(nodes).collect();
    Ok(notes)
}

/// The graph that is fed these inputs, which were fed zeros.
pub fn with_inputs(mut model: ModelProto, inputs: &[ValueInfoProto]) -> ModelProto {
    if let Some(graph) = &mut model.graph {
        let is_fed = |name: &str| inputs.iter().any(|input| input.name() == name);
        graph.node.retain(|node| !node.output.iter().any(|output| is_fed(output)));
        graph.input.extend(inputs.iter().cloned());
    }
    model
}

/// Lengths of the axes of an input behind that of windows.
///
/// # Errors
/// Lengths that are free, and an element type other than float.
pub fn lengths(input: &ValueInfoProto) -> Result<Vec<usize>, String> {
    let dims = interface::float_shape(input)?.unwrap_or_default();
    let length = |dim: &Dim| if let Dim::Fixed(length) = dim { Some(*length) } else { None };
    let lengths = dims.iter().skip(1).map(length).collect::<Option<_>>();
    lengths.ok_or_else(|| format!("its input `{}` is {}", input.name(), show_shape(&dims)))
}

/// The inputs that are fed.
fn inputs(graph: &GraphProto) -> Vec<ValueInfoProto> {
    let weights: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    graph.input.iter().filter(|input| !weights.contains(input.name())).cloned().collect()
}

/// An input that may be the sequence: its layout, and the length of the window if it is fixed.
fn sequence(input: &ValueInfoProto) -> Option<(&ValueInfoProto, Layout, Option<usize>)> {
    let dims = interface::float_shape(input).ok().flatten()?;
    let (layout, axis) = interface::layout(&dims).ok()?;
    let window = match dims[axis] {
        Dim::Fixed(length) => Some(length),
        Dim::Free(_) => None,
    };
    Some((input, layout, window))
}

fn taken(graph: &GraphProto) -> HashSet<String> {
    let results = graph.node.iter().flat_map(|node: &NodeProto| node.output.iter().cloned());
    let weights = graph.initializer.iter().map(|tensor| tensor.name().to_owned());
    results.chain(weights).chain(graph.input.iter().map(|input| input.name().to_owned())).collect()
}

struct Zeros<'a> {
    builder: Builder,
    sequence: &'a str,
    layout: Layout,
    window: Option<usize>,
    taken: HashSet<String>,
}

impl Zeros<'_> {
    fn free_name(&mut self, base: String) -> String {
        let mut name = base;
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    fn constant(&mut self, what: String, tensor: &Tensor) -> String {
        let name = self.free_name(what);
        self.builder.constant(&name, tensor)
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.builder.node(operator, inputs, output, attributes)
    }

    /// Gives the tensor `name`, an input with these dimensions, zeros.
    fn feed(&mut self, name: &str, dims: &[Dim]) -> Result<(), String> {
        let wrong = || {
            format!(
                "its input `{name}` is {}; beside the sequence [N, controls] and [N, positions, controls] of fixed lengths can \
                 be fed zeros",
                show_shape(dims)
            )
        };
        let lengths: Option<Vec<usize>> =
            dims.iter().skip(1).map(|dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None }).collect();
        let lengths = lengths.filter(|lengths| lengths.iter().all(|&n| n > 0)).ok_or_else(wrong)?;
        if lengths.iter().copied().fold(1, usize::saturating_mul) > MOST_VALUES {
            return Err(wrong());
        }
        match lengths[..] {
            [values] => {
                let sequence = self.by_channel(name)?;
                let mean = self.free_name(format!("{name}/mean"));
                let flat = self.free_name(format!("{name}/flat"));
                self.node("GlobalAveragePool", &[&sequence], &mean, Vec::new());
                self.node("Flatten", &[&mean], &flat, vec![int("axis", 1)]);
                let weights = self
                    .constant(format!("{name}/zeros"), &Tensor::floats([4, values], vec![0.0; 4 * values]));
                self.node("MatMul", &[&flat, &weights], name, Vec::new());
            }
            [a, b] => {
                let (positions, values) = (a.max(b), a.min(b));
                let window = self.window.unwrap_or(positions);
                let start = window.checked_sub(positions).ok_or_else(wrong)? / 2;
                let sequence = self.by_channel(name)?;
                let start = self.constant(format!("{name}/start"), &Tensor::ints(vec![start as i64]));
                let end = (window - positions) / 2 + positions;
                let end = self.constant(format!("{name}/end"), &Tensor::ints(vec![end as i64]));
                let axis = self.constant(format!("{name}/axis"), &Tensor::ints(vec![2]));
                let part = self.free_name(format!("{name}/part"));
                self.node("Slice", &[&sequence, &start, &end, &axis], &part, Vec::new());
                let weights = self.constant(
                    format!("{name}/zeros"),
                    &Tensor::floats([values, 4, 1], vec![0.0; 4 * values]),
                );
                let kernel = vec![ints("kernel_shape", &[1])];
                if a >= b {
                    let by_channel = self.free_name(format!("{name}/by_channel"));
                    self.node("Conv", &[&part, &weights], &by_channel, kernel);
                    self.node("Transpose", &[&by_channel], name, vec![ints("perm", &[0, 2, 1])]);
                } else {
                    self.node("Conv", &[&part, &weights], name, kernel);
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// The sequence as `[N, 4, L]`.
    fn by_channel(&mut self, name: &str) -> Result<String, String> {
        match self.layout {
            Layout::ChannelsFirst => Ok(self.sequence.to_owned()),
            Layout::ChannelsLast => {
                let turned = self.free_name(format!("{name}/sequence"));
                let sequence = self.sequence.to_owned();
                Ok(self.node("Transpose", &[&sequence], &turned, vec![ints("perm", &[0, 2, 1])]))
            }
            _ => Err(format!(
                "it has further inputs (`{name}`), and its sequence has an axis of 1; export it with [N, L, 4] or [N, 4, L]"
            )),
        }
    }
}
