//! Knowledge of each tensor in a walk over a graph's nodes, as far as it is the same for every walk.

use std::collections::HashMap;

use super::proto::{GraphProto, NodeProto};
use super::tensor::{Data, Tensor};

/// Knowledge of one tensor of the graph.
#[derive(Debug, Clone)]
pub(in crate::model) enum Value<F> {
    /// Its numbers.
    Constant(Tensor),
    /// Its derivation from the sequence.
    Flow(F),
}

/// Knowledge of each tensor by its name, or the reason why it cannot be used.
pub(in crate::model) type Values<'a, F> = HashMap<&'a str, Result<Value<F>, String>>;

/// Knowledge before the first node: the weights and the input.
pub(in crate::model) fn initial<'a, F>(graph: &'a GraphProto, input: &'a str, flow: F) -> Values<'a, F> {
    let mut values = Values::new();
    for tensor in &graph.initializer {
        let value = Tensor::read(tensor).map(Value::Constant);
        values.insert(tensor.name(), value.map_err(|e| format!("tensor `{}`: {e}", tensor.name())));
    }
    values.insert(input, Ok(Value::Flow(flow)));
    values
}

/// Notes what the outputs of `node` are; only the first is of use.
pub(in crate::model) fn note<'a, F>(
    node: &'a NodeProto,
    value: Result<Value<F>, String>,
    values: &mut Values<'a, F>,
) {
    let Some((first, others)) = node.output.split_first() else { return };
    values.insert(first, value);
    for name in others.iter().filter(|name| !name.is_empty()) {
        values.insert(name, Err(describe(node, "has a second output in use")));
    }
}

/// The output named `output`, which must come from the sequence.
///
/// # Errors
/// The first cause why it is not known.
pub(in crate::model) fn last<'a, F>(values: &'a Values<'_, F>, output: &str) -> Result<&'a F, String> {
    match values.get(output) {
        Some(Ok(Value::Flow(flow))) => Ok(flow),
        Some(Ok(Value::Constant(_))) => Err("its output does not depend on the sequence".into()),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err(format!("no node gives its output `{output}`")),
    }
}

/// A reason with the node it concerns.
pub(in crate::model) fn describe(node: &NodeProto, reason: &str) -> String {
    // Not all exporters name nodes.
    let name =
        if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    format!("{} `{name}` {reason}", node.op_type())
}

/// The inputs of a node; `None` where an optional one is left out.
pub(in crate::model) struct Inputs<'a, F>(Vec<Option<&'a Value<F>>>);

impl<'a, F> Inputs<'a, F> {
    /// The inputs of `node`, one of ONNX's own operators. An error of an input is passed on as it is: it is the
    /// first cause.
    pub(in crate::model) fn of(node: &NodeProto, values: &'a Values<'_, F>) -> Result<Self, String> {
        if !super::is_default_domain(node.domain()) {
            return Err(describe(node, &format!("is an operator of {}", node.domain())));
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(match values.get(name.as_str()) {
                Some(Ok(value)) => Some(value),
                Some(Err(reason)) => return Err(reason.clone()),
                None if name.is_empty() => None,
                None => return Err(describe(node, &format!("reads `{name}`, which no node gives"))),
            });
        }
        Ok(Inputs(inputs))
    }

    /// The first input of `node` alone.
    pub(in crate::model) fn first_of(node: &NodeProto, values: &'a Values<'_, F>) -> Result<Self, String> {
        let first = NodeProto { input: node.input.iter().take(1).cloned().collect(), ..NodeProto::default() };
        Inputs::of(&first, values)
    }
}

impl<F> Inputs<'_, F> {
    /// Number of items, including those left out.
    pub(in crate::model) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::model) fn get(&self, i: usize) -> Option<&Value<F>> {
        self.0.get(i).copied().flatten()
    }

    /// An input that must come from the sequence.
    pub(in crate::model) fn flow(&self, i: usize) -> Result<&F, String> {
        match self.get(i) {
            Some(Value::Flow(flow)) => Ok(flow),
            Some(Value::Constant(_)) => Err("has constants where the sequence is looked for".into()),
            None => Err("has too few inputs".into()),
        }
    }

    pub(in crate::model) fn flows(&self) -> Result<Vec<&F>, String> {
        (0..self.len()).map(|i| self.flow(i)).collect()
    }

    /// An input, if it is constant.
    pub(in crate::model) fn constant(&self, i: usize) -> Option<&Tensor> {
        match self.get(i) {
            Some(Value::Constant(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// The inputs, if all that are given are constant.
    pub(in crate::model) fn constants(&self) -> Option<Vec<&Tensor>> {
        let given = (0..self.len()).filter(|&i| self.get(i).is_some());
        given.map(|i| self.constant(i)).collect()
    }

    /// The lengths of an input that must be constant floats, which are not looked at.
    pub(in crate::model) fn weight_dims(&self, i: usize) -> Result<&[usize], String> {
        let tensor = self.constant(i).ok_or("has weights that are not constant")?;
        match tensor.data {
            Data::Floats(_) => Ok(&tensor.dims),
            Data::Ints(_) => Err("has weights that are not floats".into()),
        }
    }

    /// An input that must be constant floats.
    pub(in crate::model) fn weights(&self, i: usize) -> Result<(&[usize], &[f32]), String> {
        let tensor = self.constant(i).ok_or("has weights that are not constant")?;
        Ok((&tensor.dims, tensor.as_floats().ok_or("has weights that are not floats")?))
    }
}
