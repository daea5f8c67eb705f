//! The dense form of layers that slide along a window, or span it: convolutions, pools, dense layers.

use super::{Flow, Walk};
use crate::model::onnx::build;
use crate::model::onnx::constant::{float, int};
use crate::model::onnx::conv_geometry::{Convolution, Slide};
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::shape::{Over, Shape};
use crate::model::onnx::tensor::{Tensor, permute};
use crate::model::onnx::value::Inputs;

pub(super) const PADS: &str = "pads: what it sees at a window's ends is not what lies beside the window";

impl Flow {
    /// The results of `slide`, of this shape, which the dense tensor `name` has.
    fn slid(&self, slide: Slide, shape: Shape, name: String) -> Flow {
        let (step, lost) = (self.step.saturating_mul(slide.stride), self.lost + slide.reach() * self.step);
        Flow { name, shape, step, lost }
    }
}

/// # Errors
/// A slide over padding.
fn refuse_padding(slide: Slide) -> Result<(), String> {
    if slide.pads() { Err(PADS.into()) } else { Ok(()) }
}

impl Walk {
    pub(super) fn convolution(
        &mut self,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let (Convolution { slide, shape, groups, .. }, weights) =
            flow.shape.convolution_by_rows(node, inputs)?;
        let bias = inputs.get(2).map(|_| inputs.weights(2)).transpose()?.map(|(_, bias)| bias);
        self.everywhere(flow, slide, shape, &weights, bias, groups)
    }

    /// A convolution of the dense tensor with weights `[outputs, channels of a group, 1, kernel]`.
    fn everywhere(
        &mut self,
        flow: &Flow,
        slide: Slide,
        shape: Shape,
        weights: &Tensor,
        bias: Option<&[f32]>,
        groups: usize,
    ) -> Result<Flow, String> {
        let outputs = weights.dims[0];
        refuse_padding(slide)?;
        let mut names = vec![flow.name.clone(), self.rows.constant(weights)?];
        if let Some(bias) = bias {
            if bias.len() != outputs {
                return Err(format!("has {} biases for {outputs} channels", bias.len()));
            }
            names.push(self.rows.constant(&Tensor::floats([outputs], bias.to_vec()))?);
        }
        let attributes = [
            build::ints("kernel_shape", &[1, slide.kernel as i64]),
            build::ints("dilations", &[1, dilation(flow, slide) as i64]),
            build::int("group", groups as i64),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.rows.emit("Conv", &names, attributes);
        let each = weights.data.len() as f64;
        self.spend(each, each * shape.positions as f64);
        Ok(flow.slid(slide, shape, name))
    }

    /// Counts operations for each base of a stretch, and for each window of the graph as it was.
    fn spend(&mut self, dense: f64, window: f64) {
        self.cost += dense;
        self.window_cost += window;
    }

    pub(super) fn local_pool(&mut self, node: &NodeProto, flow: &Flow) -> Result<Flow, String> {
        let (slide, shape) = flow.shape.local_pool(node)?;
        self.pool(flow, slide, shape, node.op_type() == "AveragePool")
    }

    /// A maximum or mean, taken in levels: over neighbours, then over neighbouring groups of them.
    pub(super) fn pool(
        &mut self,
        flow: &Flow,
        slide: Slide,
        shape: Shape,
        average: bool,
    ) -> Result<Flow, String> {
        refuse_padding(slide)?;
        let channels = flow.shape.channels;
        let distance = dilation(flow, slide);
        let (name, operations) = self.rows.pool(&flow.name, channels, slide.kernel, distance, average)?;
        self.spend(operations as f64, 0.0);
        self.spend(0.0, (channels * slide.kernel) as f64 * shape.positions as f64);
        Ok(flow.slid(slide, shape, name))
    }

    pub(super) fn gemm(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        let (dims, weights) = inputs.weights(1)?;
        let &[rows, columns] = dims else { return Err("has weights that are no matrix".into()) };
        if int(node, "transA", 0) != 0 {
            return Err("joins windows with other axes".into());
        }
        let (outputs, weights) = if int(node, "transB", 0) != 0 {
            (rows, weights.to_vec())
        } else {
            (columns, permute(weights, &[rows, columns], &[1, 0]))
        };
        let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
        let bias = match inputs.get(2).map(|_| inputs.weights(2)).transpose()? {
            None => None,
            Some((_, &[bias])) => Some(vec![beta * bias; outputs]),
            Some((dims, bias)) if dims.last() == Some(&outputs) => {
                Some(bias.iter().map(|b| beta * b).collect())
            }
            Some((dims, _)) => return Err(format!("has biases of dimensions {dims:?}")),
        };
        let weights = weights.into_iter().map(|w| alpha * w).collect();
        self.dense(inputs.flow(0)?, outputs, weights, bias.as_deref())
    }

    /// A dense layer over the last axis, with weights `[outputs, inputs]`: a convolution as long as there are
    /// positions on that axis.
    pub(super) fn dense(
        &mut self,
        flow: &Flow,
        outputs: usize,
        weights: Vec<f32>,
        bias: Option<&[f32]>,
    ) -> Result<Flow, String> {
        let (slide, shape) = flow.shape.dense(weights.len() / outputs.max(1), outputs)?;
        let (channels, kernel) = (flow.shape.channels, slide.kernel);
        let by_position =
            flow.shape.axes.last().is_some_and(|last| last[..] == [Over::Positions, Over::Channels]);
        let weights =
            if by_position { permute(&weights, &[outputs, kernel, channels], &[0, 2, 1]) } else { weights };
        let weights = Tensor::floats([outputs, channels, 1, kernel], weights);
        self.everywhere(flow, slide, shape, &weights, bias, 1)
    }
}

/// Distance between the taps of a layer in the dense tensor.
fn dilation(flow: &Flow, slide: Slide) -> usize {
    // A kernel of one tap fits any window, however far its taps would be.
    if slide.kernel == 1 { 1 } else { slide.dilation * flow.step }
}
