//! Nodes of an ONNX graph for layers of Keras, which has the channels last where ONNX has them second.

use std::collections::{HashMap, HashSet};

use crate::model::onnx::build::{Builder, ints};
use crate::model::onnx::proto::AttributeProto;
use crate::model::onnx::tensor::Tensor;

/// A tensor of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Its name in the graph.
    pub(super) name: String,
    /// Lengths of its axes as Keras has them, without that of windows; `None` where a length is free.
    pub(super) shape: Vec<Option<usize>>,
    /// True if it is `[N, channels, positions]` in the graph, where Keras has `[N, positions, channels]`.
    pub(super) turned: bool,
}

impl Value {
    /// Channels: the length of the last axis, which must be known.
    pub(super) fn channels(&self) -> Result<usize, String> {
        self.shape
            .last()
            .copied()
            .flatten()
            .ok_or_else(|| "has an input with a free number of channels".into())
    }

    /// True for positions and channels.
    pub(super) fn is_sequence(&self) -> bool {
        self.shape.len() == 2
    }

    /// Positions and channels.
    pub(super) fn sequence(&self) -> Result<(Option<usize>, usize), String> {
        match self.shape[..] {
            [positions, Some(channels)] => Ok((positions, channels)),
            _ => Err(format!(
                "has an input of {} axes; one of positions and one of channels are needed",
                self.shape.len()
            )),
        }
    }

    /// Numbers of a window; `None` if a length is free.
    pub(super) fn elements(&self) -> Result<Option<usize>, String> {
        let Some(lengths) = self.shape.iter().copied().collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        let all = lengths.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
        all.map(Some).ok_or_else(|| format!("has an input of the shape {lengths:?}, which is too large"))
    }

    /// The axis of the graph's tensor that is `axis` of Keras, with that of windows as axis 0.
    pub(super) fn axis(&self, axis: usize) -> usize {
        if self.turned && axis > 0 { 3 - axis } else { axis }
    }
}

/// A graph that grows.
#[derive(Default)]
pub(super) struct Emitter {
    pub(super) builder: Builder,
    taken: HashSet<String>,
    /// How often each name was wanted: a layer may be called many times.
    ranks: HashMap<String, usize>,
    /// Name of the layer in hand, for those of its nodes.
    layer: String,
}

impl Emitter {
    /// Names the layer that further nodes belong to.
    pub(super) fn begin(&mut self, layer: &str) {
        layer.clone_into(&mut self.layer);
    }

    fn free_name(&mut self, what: &str) -> String {
        let base = format!("{}/{what}", self.layer);
        let rank = self.ranks.entry(base.clone()).or_default();
        loop {
            *rank += 1;
            let name = if *rank == 1 { base.clone() } else { format!("{base}_{rank}") };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Adds a node with one result; returns its name.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let name = self.free_name(operator);
        self.builder.node(operator, inputs, &name, attributes)
    }

    /// Adds a node with further results that have no name, before the one that is wanted; returns its name.
    pub(super) fn node_result(
        &mut self,
        operator: &str,
        inputs: &[&str],
        rank: usize,
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.node(operator, inputs, attributes);
        if let Some(node) = self.builder.graph.node.last_mut() {
            let mut results = vec![String::new(); rank];
            results.append(&mut node.output);
            node.output = results;
        }
        name
    }

    pub(super) fn constant(&mut self, what: &str, tensor: &Tensor) -> String {
        let name = self.free_name(what);
        self.builder.constant(&name, tensor)
    }

    pub(super) fn number(&mut self, value: f64) -> String {
        self.constant("number", &Tensor::floats([], vec![value as f32]))
    }

    pub(super) fn list(&mut self, values: Vec<i64>) -> String {
        self.constant("list", &Tensor::ints(values))
    }

    /// A node that changes the numbers of `value`, and neither its shape nor its axes.
    pub(super) fn each(&mut self, operator: &str, value: &Value, attributes: Vec<AttributeProto>) -> Value {
        Value { name: self.node(operator, &[&value.name], attributes), ..value.clone() }
    }

    /// A node between `value` and a number.
    pub(super) fn with_number(&mut self, operator: &str, value: &Value, number: f64) -> Value {
        let number = self.number(number);
        Value { name: self.node(operator, &[&value.name, &number], []), ..value.clone() }
    }

    /// The value as `[N, channels, positions]`.
    pub(super) fn turned(&mut self, value: &Value) -> Value {
        if value.turned || !value.is_sequence() {
            return value.clone();
        }
        self.turn(value)
    }

    /// The value with its axes as Keras has them.
    pub(super) fn straight(&mut self, value: &Value) -> Value {
        if value.turned { self.turn(value) } else { value.clone() }
    }

    fn turn(&mut self, value: &Value) -> Value {
        let name = self.node("Transpose", &[&value.name], [ints("perm", &[0, 2, 1])]);
        Value { name, turned: !value.turned, ..value.clone() }
    }
}
