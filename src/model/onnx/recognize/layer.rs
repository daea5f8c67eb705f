//! The operations that compute: padding, convolution, rectifier, pool, dense layers.

use crate::model::onnx::constant;
use crate::model::onnx::constant::{float, int, ints, list, string};
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::recognize::symbolic::{Axis, Feature, Flow, Layer, Stage};
use crate::model::onnx::recognize::{Inputs, Walk};
use crate::model::onnx::tensor::{Tensor, permute};
use crate::model::{Dense, Padding};

/// Longest padding on one side.
const LARGEST_PADDING: i64 = 1 << 20;

/// A convolution with all that is linear around it: padding before, shift and scale after.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) padding: Padding,
    pub(crate) filters: usize,
    pub(crate) length: usize,
    /// `[filters, 4, length]`
    pub(crate) weights: Vec<f32>,
    pub(crate) biases: Vec<f32>,
}

/// Padding of the sequence. A window padded twice must be padded with the same value.
pub(crate) fn pad(node: &NodeProto, inputs: &Inputs<'_>) -> Result<Flow, String> {
    let flow = inputs.flow(0)?;
    if string(node, "mode", "constant") != "constant" {
        return Err("pads with something else than a constant".into());
    }
    let pads = match inputs.get(1) {
        None => ints(node, "pads").ok_or("has no pads")?,
        Some(_) => list(inputs, 1)?.to_vec(),
    };
    let value = match inputs.get(2) {
        None => float(node, "value", 0.0),
        Some(_) => match inputs.weights(2)?.1 {
            &[value] => value,
            _ => return Err("has a value that is not one number".into()),
        },
    };
    let axes: Vec<i64> = match inputs.get(3) {
        None => (0..flow.axes.len() as i64).collect(),
        Some(_) => list(inputs, 3)?.to_vec(),
    };
    if pads.len() != 2 * axes.len() {
        return Err("has a wrong number of pads".into());
    }
    let mut padding = Padding { value, ..Padding::NONE };
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[i + axes.len()]);
        if flow.axes[flow.axis(axis)?] == Axis::Positions {
            (padding.left, padding.right) = (padding_length(before)?, padding_length(after)?);
        } else if (before, after) != (0, 0) {
            return Err("pads an axis that is not that of positions".into());
        }
    }
    let Stage::Sequence(inner) = &flow.stage else { return Err("pads after the convolution".into()) };
    Ok(Flow { axes: flow.axes.clone(), stage: Stage::Sequence(around(*inner, padding)?) })
}

fn padding_length(pad: i64) -> Result<usize, String> {
    if (0..=LARGEST_PADDING).contains(&pad) {
        Ok(pad as usize)
    } else {
        Err(format!("pads with {pad} columns"))
    }
}

/// `inner` padding within `outer` padding.
fn around(inner: Padding, outer: Padding) -> Result<Padding, String> {
    let empty = |padding: Padding| padding.left + padding.right == 0;
    match (empty(inner), empty(outer)) {
        (true, true) => Ok(Padding::NONE),
        (false, true) => Ok(inner),
        (true, false) => Ok(outer),
        (false, false) if inner.value != outer.value => Err("pads with two different values".into()),
        (false, false) => {
            let (left, right) = (inner.left + outer.left, inner.right + outer.right);
            Ok(Padding { left, right, value: inner.value })
        }
    }
}

/// The zero padding of a convolution on one axis: its own, or such that the length stays the same.
fn own_padding(node: &NodeProto, axis: usize, axes: usize, kernel: usize) -> Result<(usize, usize), String> {
    let (half, rest) = ((kernel - 1) / 2, kernel - 1 - (kernel - 1) / 2);
    match string(node, "auto_pad", "NOTSET") {
        "VALID" => Ok((0, 0)),
        "SAME_UPPER" => Ok((half, rest)),
        "SAME_LOWER" => Ok((rest, half)),
        "NOTSET" => match ints(node, "pads") {
            None => Ok((0, 0)),
            Some(pads) if pads.len() == 2 * axes => {
                Ok((padding_length(pads[axis])?, padding_length(pads[axis + axes])?))
            }
            Some(pads) => Err(format!("has {} pads", pads.len())),
        },
        other => Err(format!("has auto_pad {other}")),
    }
}

/// Weights `[filters, channel, length]` with the channels in the order A, C, G, T.
fn in_order(weights: &[f32], channels: [usize; 4], length: usize) -> Vec<f32> {
    let of = |filter: &[f32], channel: usize| filter[channel * length..(channel + 1) * length].to_vec();
    weights
        .chunks_exact(4 * length)
        .flat_map(|filter| channels.into_iter().flat_map(move |channel| of(filter, channel)))
        .collect()
}

fn all_ones(node: &NodeProto, name: &str) -> Result<(), String> {
    match ints(node, name) {
        Some(values) if values.iter().any(|&value| value != 1) => Err(format!("has {name} {values:?}")),
        _ => Ok(()),
    }
}

impl Walk {
    fn new_activations(&mut self, axes: Vec<Axis>, convolution: Convolution) -> Flow {
        self.convolutions.push(convolution);
        let stage = Stage::Activations { convolution: self.convolutions.len() - 1, rectified: false };
        Flow { axes, stage }
    }

    /// A convolution of the sequence in one dimension, or in two of which the other holds the bases or nothing.
    pub(crate) fn convolution(&mut self, node: &NodeProto, inputs: &Inputs<'_>) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let Stage::Sequence(padding) = flow.stage else { return Err("is a second convolution".into()) };
        if !self.strided {
            all_ones(node, "strides")?;
        }
        all_ones(node, "dilations")?;
        if int(node, "group", 1) != 1 {
            return Err("has groups".into());
        }
        let (dims, weights) = inputs.weights(1)?;
        if dims.len() < 3
            || dims.len() != flow.axes.len()
            || dims.contains(&0)
            || flow.axes[..2] != [Axis::Batch, Axis::Fixed(dims[1])]
        {
            return Err(format!("has weights of dimensions {dims:?} for another input"));
        }
        let spatial = dims.len() - 2;
        let mut axes = vec![Axis::Batch, Axis::Fixed(dims[0])];
        let (mut own, mut length) = (Padding::NONE, 0);
        for (i, (&axis, &kernel)) in flow.axes.iter().zip(dims).enumerate().skip(2) {
            let (left, right) = own_padding(node, i - 2, spatial, kernel)?;
            match axis {
                Axis::Positions => (own.left, own.right, length) = (left, right, kernel),
                // The kernel must take the axis whole: an axis of 1, or the four bases of an image.
                Axis::Fixed(n) if n == kernel && left + right == 0 => {}
                _ => return Err("slides over an axis that is not that of positions".into()),
            }
            axes.push(if axis == Axis::Positions { axis } else { Axis::Fixed(1) });
        }
        if length == 0 || dims.iter().product::<usize>() != dims[0] * 4 * length {
            return Err(format!("has weights of dimensions {dims:?}, not of 4 bases by positions"));
        }
        // Where positions come before the bases of an image, the weights are [filter][position][base].
        let bases_last = flow.axes.last() == Some(&Axis::Fixed(4));
        let weights =
            if bases_last { permute(weights, &[dims[0], length, 4], &[0, 2, 1]) } else { weights.to_vec() };
        let weights = in_order(&weights, self.channels, length);
        let biases = match inputs.get(2) {
            None => vec![0.0; dims[0]],
            Some(_) => inputs.weights(2)?.1.to_vec(),
        };
        if biases.len() != dims[0] {
            return Err(format!("has {} biases for {} filters", biases.len(), dims[0]));
        }
        let padding = around(padding, own)?;
        Ok(self.new_activations(axes, Convolution { padding, filters: dims[0], length, weights, biases }))
    }

    /// Adds a constant to the sums of a convolution or of a dense layer.
    pub(crate) fn add(&mut self, inputs: &Inputs<'_>) -> Result<Flow, String> {
        let (flow, i) =
            if inputs.constant(0).is_some() { (inputs.flow(1)?, 0) } else { (inputs.flow(0)?, 1) };
        let (dims, values) = inputs.weights(i)?;
        self.shift(flow, &along_long_axis(flow, dims, values)?)
    }

    /// As [`add`](Walk::add), for a constant that is taken away.
    pub(crate) fn subtract(&mut self, inputs: &Inputs<'_>) -> Result<Flow, String> {
        let (flow, (dims, values)) = (inputs.flow(0)?, inputs.weights(1)?);
        let shifts: Vec<f32> = along_long_axis(flow, dims, values)?.iter().map(|x| -x).collect();
        self.shift(flow, &shifts)
    }

    /// Multiplies the sums of a convolution with a constant, as exporters spell a normalisation.
    pub(crate) fn scale(&mut self, inputs: &Inputs<'_>) -> Result<Flow, String> {
        let (flow, i) =
            if inputs.constant(0).is_some() { (inputs.flow(1)?, 0) } else { (inputs.flow(0)?, 1) };
        let (dims, values) = inputs.weights(i)?;
        let factors = along_long_axis(flow, dims, values)?;
        let &Stage::Activations { convolution, rectified: false } = &flow.stage else {
            return Err("multiplies what is not a convolution's sum".into());
        };
        let mut convolution = self.convolutions[convolution].clone();
        let each = 4 * convolution.length;
        for (k, factor) in factors.into_iter().enumerate() {
            convolution.weights[k * each..(k + 1) * each].iter_mut().for_each(|w| *w *= factor);
            convolution.biases[k] *= factor;
        }
        Ok(self.new_activations(flow.axes.clone(), convolution))
    }

    fn shift(&mut self, flow: &Flow, shifts: &[f32]) -> Result<Flow, String> {
        let add = |to: &mut Vec<f32>| to.iter_mut().zip(shifts).for_each(|(x, &shift)| *x += shift);
        match &flow.stage {
            Stage::Activations { convolution, rectified: false } => {
                let mut convolution = self.convolutions[*convolution].clone();
                add(&mut convolution.biases);
                Ok(self.new_activations(flow.axes.clone(), convolution))
            }
            Stage::Units { features, layers, sigmoid: false } if !layers.is_empty() => {
                let mut layers = layers.clone();
                match layers.last_mut() {
                    Some(layer) if !layer.rectified => add(&mut layer.dense.bias),
                    _ => return Err("adds to rectified units".into()),
                }
                let stage = Stage::Units { features: features.clone(), layers, sigmoid: false };
                Ok(Flow { axes: flow.axes.clone(), stage })
            }
            _ => Err("adds to what is neither a convolution's nor a dense layer's sum".into()),
        }
    }

    /// Folds a batch normalisation into the convolution before it.
    pub(crate) fn normalize(&mut self, node: &NodeProto, inputs: &Inputs<'_>) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let &Stage::Activations { convolution, rectified: false } = &flow.stage else {
            return Err("does not follow the convolution".into());
        };
        let mut convolution = self.convolutions[convolution].clone();
        if int(node, "training_mode", 0) != 0 || flow.axes.get(1) != Some(&Axis::Fixed(convolution.filters)) {
            return Err("is not of the filters, or in training mode".into());
        }
        let parameters =
            [inputs.weights(1)?.1, inputs.weights(2)?.1, inputs.weights(3)?.1, inputs.weights(4)?.1];
        if parameters.iter().any(|values| values.len() != convolution.filters) {
            return Err("has parameters for another number of filters".into());
        }
        let [scale, shift, mean, variance] = parameters;
        let epsilon = float(node, "epsilon", 1e-5);
        let each = 4 * convolution.length;
        for k in 0..convolution.filters {
            let factor = scale[k] / (variance[k] + epsilon).sqrt();
            convolution.weights[k * each..(k + 1) * each].iter_mut().for_each(|w| *w *= factor);
            convolution.biases[k] = (convolution.biases[k] - mean[k]) * factor + shift[k];
        }
        Ok(self.new_activations(flow.axes.clone(), convolution))
    }

    /// A pool over `reduced` axes, which must be that of positions and axes of 1.
    pub(crate) fn pool(
        &self,
        flow: &Flow,
        reduced: &[usize],
        keep: bool,
        average: bool,
    ) -> Result<Flow, String> {
        if reduced.iter().any(|&i| !matches!(flow.axes[i], Axis::Positions | Axis::Fixed(1))) {
            return Err("pools over an axis that is not that of positions".into());
        }
        let axes = flow.axes.iter().enumerate().filter(|(i, _)| keep || !reduced.contains(i));
        let axes = axes.map(|(i, &axis)| if reduced.contains(&i) { Axis::Fixed(1) } else { axis }).collect();
        let pools_positions = reduced.iter().any(|&i| flow.axes[i] == Axis::Positions);
        let stage = match &flow.stage {
            // Axes of 1 only.
            stage if !pools_positions => stage.clone(),
            &Stage::Activations { convolution, rectified } => {
                let filters = 0..self.convolutions[convolution].filters;
                let feature = |filter| Feature { convolution, rectified, average, filter };
                Stage::Features(filters.map(feature).collect())
            }
            _ => return Err("pools over positions, but not after the convolution".into()),
        };
        Ok(Flow { axes, stage })
    }

    pub(crate) fn reduce(
        &self,
        node: &NodeProto,
        inputs: &Inputs<'_>,
        average: bool,
    ) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let axes = constant::axes(node, inputs, self.opset < 18)?.filter(|axes| !axes.is_empty());
        let axes = axes.ok_or("pools over all axes")?;
        let axes = axes.iter().map(|&axis| flow.axis(axis)).collect::<Result<Vec<_>, _>>()?;
        self.pool(flow, &axes, int(node, "keepdims", 1) != 0, average)
    }

    /// A pool of a fixed size that spans all positions there are.
    pub(crate) fn local_pool(
        &self,
        node: &NodeProto,
        inputs: &Inputs<'_>,
        average: bool,
    ) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let kernel = ints(node, "kernel_shape").ok_or("has no kernel_shape")?;
        if kernel.len() + 2 != flow.axes.len() {
            return Err("has a kernel_shape for another input".into());
        }
        all_ones(node, "dilations")?;
        let padded = ints(node, "pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0));
        if padded || !matches!(string(node, "auto_pad", "NOTSET"), "NOTSET" | "VALID") {
            return Err("pads its input".into());
        }
        let positions = flow.positions(self.window, &self.convolutions);
        for (&axis, &kernel) in flow.axes[2..].iter().zip(&kernel) {
            let length = if axis == Axis::Positions { positions } else { Some(1) };
            if length.map(|n| n as i64) != Some(kernel) {
                return Err(format!("pools over {kernel} positions, not over all"));
            }
        }
        let axes: Vec<usize> = (2..flow.axes.len()).collect();
        self.pool(flow, &axes, true, average)
    }
}

/// A constant that is broadcast over all but the only long fixed axis of `flow`: its values along that axis.
fn along_long_axis(flow: &Flow, dims: &[usize], values: &[f32]) -> Result<Vec<f32>, String> {
    const WRONG: &str = "adds a constant of another shape";
    let width = flow.axes.iter().map(|axis| if let Axis::Fixed(n) = axis { *n } else { 1 }).product();
    if dims.len() > flow.axes.len() {
        return Err(WRONG.into());
    }
    let axes = &flow.axes[flow.axes.len() - dims.len()..];
    if dims.iter().zip(axes).any(|(&n, &axis)| n != 1 && Axis::Fixed(n) != axis) {
        return Err(WRONG.into());
    }
    match values {
        &[value] => Ok(vec![value; width]),
        values if values.len() == width => Ok(values.to_vec()),
        _ => Err(WRONG.into()),
    }
}

pub(crate) fn rectify(flow: &Flow) -> Result<Flow, String> {
    let stage = match flow.stage.clone() {
        Stage::Activations { convolution, .. } => Stage::Activations { convolution, rectified: true },
        // The maximum of the rectified is the rectified maximum.
        Stage::Features(features) if features.iter().all(|feature| !feature.average) => {
            let rectified = features.into_iter().map(|feature| Feature { rectified: true, ..feature });
            Stage::Features(rectified.collect())
        }
        Stage::Units { features, mut layers, sigmoid: false } => {
            layers.last_mut().ok_or("rectifies what is rectified")?.rectified = true;
            Stage::Units { features, layers, sigmoid: false }
        }
        _ => return Err("rectifies what is neither a convolution's nor a dense layer's sum".into()),
    };
    Ok(Flow { axes: flow.axes.clone(), stage })
}

/// A `Clip` from 0 up, which is a rectifier.
pub(crate) fn clip(node: &NodeProto, inputs: &Inputs<'_>) -> Result<Flow, String> {
    let bound = |i: usize, name: &str, none: f32| match inputs.get(i) {
        None => Some(float(node, name, none)),
        Some(_) => inputs.constant(i).and_then(Tensor::as_floats).and_then(|x| x.first().copied()),
    };
    match (bound(1, "min", f32::MIN), bound(2, "max", f32::MAX)) {
        (Some(0.0), Some(f32::MAX..)) => rectify(inputs.flow(0)?),
        _ => Err("clips otherwise than below 0".into()),
    }
}

/// A `Max` with 0, which is a rectifier.
pub(crate) fn maximum(inputs: &Inputs<'_>) -> Result<Flow, String> {
    let zero = |i: usize| inputs.constant(i).and_then(Tensor::as_floats) == Some(&[0.0][..]);
    match inputs.len() {
        2 if zero(0) => rectify(inputs.flow(1)?),
        2 if zero(1) => rectify(inputs.flow(0)?),
        _ => Err("is not the maximum with 0".into()),
    }
}

pub(crate) fn sigmoid(flow: &Flow) -> Result<Flow, String> {
    let stage = match flow.stage.clone() {
        Stage::Features(features) => Stage::Units { features, layers: Vec::new(), sigmoid: true },
        Stage::Units { features, layers, sigmoid: false } => Stage::Units { features, layers, sigmoid: true },
        _ => return Err("is not at the end".into()),
    };
    Ok(Flow { axes: flow.axes.clone(), stage })
}

pub(crate) fn gemm(node: &NodeProto, inputs: &Inputs<'_>) -> Result<Flow, String> {
    let flow = inputs.flow(0)?;
    if int(node, "transA", 0) != 0 || flow.axes.len() != 2 {
        return Err("is not of one row a window".into());
    }
    let (dims, weights) = inputs.weights(1)?;
    let &[rows, columns] = dims else { return Err("has weights that are no matrix".into()) };
    let alpha = float(node, "alpha", 1.0);
    let by_output = if int(node, "transB", 0) != 0 {
        weights.to_vec()
    } else {
        permute(weights, &[rows, columns], &[1, 0])
    };
    let outputs = if int(node, "transB", 0) != 0 { rows } else { columns };
    let flow = dense(flow, outputs, by_output.into_iter().map(|w| alpha * w).collect())?;
    let Some(_) = inputs.get(2) else { return Ok(flow) };
    let (dims, values) = inputs.weights(2)?;
    let (beta, shifts) = (float(node, "beta", 1.0), along_long_axis(&flow, dims, values)?);
    let Stage::Units { features, mut layers, sigmoid } = flow.stage else { return Ok(flow) };
    if let Some(layer) = layers.last_mut() {
        layer.dense.bias = shifts.iter().map(|b| beta * b).collect();
    }
    Ok(Flow { axes: flow.axes, stage: Stage::Units { features, layers, sigmoid } })
}

pub(crate) fn multiply(inputs: &Inputs<'_>) -> Result<Flow, String> {
    let flow = inputs.flow(0)?;
    let (dims, weights) = inputs.weights(1)?;
    let &[rows, columns] = dims else { return Err("has weights that are no matrix".into()) };
    dense(flow, columns, permute(weights, &[rows, columns], &[1, 0]))
}

/// A dense layer without bias over the last axis; `weights` are `[outputs, inputs]`.
fn dense(flow: &Flow, outputs: usize, weights: Vec<f32>) -> Result<Flow, String> {
    let (last, others) = flow.axes.split_last().ok_or("has a scalar for input")?;
    let &Axis::Fixed(inputs) = last else { return Err("does not take features".into()) };
    if others.iter().any(|axis| !matches!(axis, Axis::Batch | Axis::Fixed(1))) {
        return Err("is not of one row a window".into());
    }
    if outputs == 0 || weights.len() != inputs * outputs {
        return Err(format!("has {} weights for {inputs} inputs and {outputs} outputs", weights.len()));
    }
    let (features, mut layers) = match flow.stage.clone() {
        Stage::Features(features) => (features, Vec::new()),
        Stage::Units { features, layers, sigmoid: false } if layers.last().is_some_and(|l| l.rectified) => {
            (features, layers)
        }
        Stage::Units { .. } => return Err("follows a dense layer without a rectifier".into()),
        _ => return Err("comes before the global pool".into()),
    };
    let dense = Dense { inputs, outputs, weights, bias: vec![0.0; outputs] };
    layers.push(Layer { dense, rectified: false });
    let mut axes = others.to_vec();
    axes.push(Axis::Fixed(outputs));
    Ok(Flow { axes, stage: Stage::Units { features, layers, sigmoid: false } })
}
