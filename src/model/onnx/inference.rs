//! The inference form of a graph: nothing that it computes may depend on chance or on the other windows of a batch.
//!
//! Dropout and batch normalisation have a training mode. Exporters leave it on when a model was not set to evaluation
//! first; both are then given their inference form, which is said. Operators that draw random numbers have none.

use std::collections::HashSet;

use super::constant::{int, ints, string};
use super::proto::tensor_proto::DataType;
use super::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use super::tensor::Tensor;
use super::value::describe;
use super::visit::{Part, parts};
use super::{build, is_default_domain, opset};

/// Operators that draw random numbers, in any domain.
const RANDOM: [&str; 6] =
    ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"];
/// First version of the operators in which `Dropout` and `BatchNormalization` do not ask for `is_test`.
const OPSET_WITHOUT_IS_TEST: i64 = 7;

/// Gives all nodes their inference form. Returns a description of each node that was in training mode.
///
/// # Errors
/// An operator that draws random numbers, or a layer in training mode whose further results are used.
pub(super) fn to_inference(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let (mut used, mut off) = (HashSet::new(), HashSet::new());
    if let Some(graph) = &model.graph {
        used.extend(graph.output.iter().map(|output| output.name().to_owned()));
    }
    let old = opset(model) < OPSET_WITHOUT_IS_TEST;
    parts(model, &mut |part| {
        match part {
            Part::Node(node) => {
                used.extend(node.input.iter().cloned());
                // Results of bodies and functions count as used.
                let bodies =
                    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
                used.extend(bodies.flat_map(|body| &body.output).map(|output| output.name().to_owned()));
                off.extend(constant_output(node).filter(|_| is_false(node)));
            }
            Part::Tensor(tensor) if is_zero(tensor) => off.extend(tensor.name.clone()),
            Part::Tensor(_) | Part::Type(_) => {}
        }
        Ok(())
    })?;
    used.extend(model.functions.iter().flat_map(|function| &function.output).cloned());
    let mode = Mode { used: &used, off: &off, old };
    let mut training = Vec::new();
    parts(model, &mut |part| {
        if let Part::Node(node) = part {
            pad_explicitly(node);
            if mode.leave_training(node)? {
                training.push(describe(node, "was in training mode"));
            }
        }
        Ok(())
    })?;
    Ok(training)
}

/// Gives a dilated convolution that pads "the same" its pads in numbers: ONNX Runtime refuses it otherwise. With a stride, they
/// depend on the input's length, and the node is left as it is.
fn pad_explicitly(node: &mut NodeProto) {
    let at_end = match string(node, "auto_pad", "NOTSET") {
        "SAME_UPPER" => true,
        "SAME_LOWER" => false,
        _ => return,
    };
    let (Some(kernel), Some(dilations)) = (ints(node, "kernel_shape"), ints(node, "dilations")) else {
        return;
    };
    let strides = ints(node, "strides").unwrap_or_default();
    let is_dilated = dilations.iter().any(|&dilation| dilation > 1);
    if node.op_type() != "Conv" || !is_dilated || strides.iter().any(|&stride| stride != 1) {
        return;
    }
    let reach = |(&taps, &dilation): (&i64, &i64)| (taps - 1).saturating_mul(dilation).max(0);
    let reaches: Vec<i64> = kernel.iter().zip(&dilations).map(reach).collect();
    let less = reaches.iter().map(|reach| reach / 2);
    let more = reaches.iter().map(|reach| reach - reach / 2);
    let pads: Vec<i64> = if at_end { less.chain(more).collect() } else { more.chain(less).collect() };
    node.attribute.retain(|attribute| !["auto_pad", "pads"].contains(&attribute.name()));
    node.attribute.push(build::ints("pads", &pads));
}

/// The name of a `Constant` node's result.
fn constant_output(node: &NodeProto) -> Option<String> {
    (node.op_type() == "Constant").then(|| node.output.first().cloned()).flatten()
}

fn is_false(node: &NodeProto) -> bool {
    node.attribute.iter().any(|attribute| attribute.t.as_ref().is_some_and(is_zero))
}

/// True if a tensor is a single false value.
fn is_zero(tensor: &TensorProto) -> bool {
    tensor.data_type() == DataType::Bool as i32
        && Tensor::read(tensor).is_ok_and(|tensor| tensor.as_ints() == Some(&[0]))
}

/// Input or attribute that puts a node in training mode.
struct Mode<'a> {
    /// Names that nodes or outputs read.
    used: &'a HashSet<String>,
    /// Names of constants that are false.
    off: &'a HashSet<String>,
    /// True if layers are in training mode unless `is_test` is set.
    old: bool,
}

impl Mode<'_> {
    /// Gives `node` its inference form; tells whether it was in training mode.
    fn leave_training(&self, node: &mut NodeProto) -> Result<bool, String> {
        let operator = node.op_type();
        if RANDOM.contains(&operator) {
            let reason = "draws random numbers, so that two scans would differ: export the model in inference mode \
                          (model.eval()), or without it";
            return Err(describe(node, reason));
        }
        match (operator, is_default_domain(node.domain())) {
            ("Dropout", true) => Ok(self.leave_dropout(node)),
            ("BatchNormalization", true) => self.leave_normalization(node),
            (other, false) if other.contains("Dropout") => {
                Err(describe(node, "may drop at random: export the model in inference mode (model.eval())"))
            }
            _ => Ok(false),
        }
    }

    fn leave_dropout(&self, node: &mut NodeProto) -> bool {
        if self.old {
            return set_test(node);
        }
        let training = node.input.get(2).is_some_and(|name| !name.is_empty() && !self.off.contains(name));
        // With its first input alone a dropout hands it on.
        node.input.truncate(1);
        training
    }

    fn leave_normalization(&self, node: &mut NodeProto) -> Result<bool, String> {
        if self.old {
            return Ok(set_test(node));
        }
        let further = node.output.get(1..).unwrap_or_default();
        let training = int(node, "training_mode", 0) != 0 || further.iter().any(|name| !name.is_empty());
        if !training {
            return Ok(false);
        }
        if let Some(name) = further.iter().find(|name| self.used.contains(*name)) {
            let reason =
                format!("is in training mode and `{name}` is used: export the model in inference mode");
            return Err(describe(node, &reason));
        }
        node.output.truncate(1);
        node.attribute.retain(|attribute| attribute.name() != "training_mode");
        Ok(true)
    }
}

/// Sets `is_test`; tells whether it was not set.
fn set_test(node: &mut NodeProto) -> bool {
    if int(node, "is_test", 0) != 0 {
        return false;
    }
    node.attribute.retain(|attribute: &AttributeProto| attribute.name() != "is_test");
    node.attribute.push(build::int("is_test", 1));
    true
}
