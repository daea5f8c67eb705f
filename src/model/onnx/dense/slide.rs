//! Layers that slide along a window, or span it: convolutions, pools, dense layers.

use super::{Flow, Over, TOO_LARGE, Walk};
use crate::model::onnx::build::{self, dense::maximum_levels};
use crate::model::onnx::constant::{axes, float, int, ints, string};
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::tensor::{Tensor, permute};
use crate::model::onnx::value::Inputs;

pub(super) const PADS: &str = "pads: what it sees at a window's ends is not what lies beside the window";

/// How a layer slides along an axis.
#[derive(Debug, Clone, Copy)]
struct Slide {
    kernel: usize,
    stride: usize,
    dilation: usize,
}

impl Slide {
    /// That of `node` along one of its `spatial` axes, with a kernel of this length.
    fn of(node: &NodeProto, axis: usize, spatial: usize, kernel: usize) -> Result<Slide, String> {
        let entry = |name: &str| match ints(node, name) {
            None => Ok(1),
            Some(values) if values.len() == spatial && values[axis] > 0 => Ok(values[axis] as usize),
            Some(values) => Err(format!("has {name} {values:?}")),
        };
        let pads = match string(node, "auto_pad", "NOTSET") {
            "VALID" => false,
            "NOTSET" => match ints(node, "pads") {
                Some(pads) if pads.len() != 2 * spatial => return Err(format!("has pads {pads:?}")),
                Some(pads) => (pads[axis], pads[axis + spatial]) != (0, 0),
                None => false,
            },
            _ => kernel > 1,
        };
        if pads {
            return Err(PADS.into());
        }
        Ok(Slide { kernel, stride: entry("strides")?, dilation: entry("dilations")? })
    }

    /// Positions past its first that the kernel looks at.
    fn reach(self) -> usize {
        (self.kernel - 1).saturating_mul(self.dilation)
    }
}

impl Flow {
    /// What `slide` makes of the positions: where the dense tensor `name` has its results.
    ///
    /// # Errors
    /// A kernel that is longer than the window has positions.
    fn slid(&self, slide: Slide, name: String) -> Result<Flow, String> {
        let reach = slide.reach();
        let starts = self.positions.checked_sub(reach).filter(|&starts| starts > 0);
        let starts = starts.ok_or_else(|| {
            format!("spans {} positions where a window has {}", reach.saturating_add(1), self.positions)
        })?;
        Ok(Flow {
            name,
            positions: starts.div_ceil(slide.stride),
            step: self.step.saturating_mul(slide.stride),
            lost: self.lost + reach * self.step,
            ..self.clone()
        })
    }

    /// The slide over all positions.
    fn all(&self) -> Slide {
        Slide { kernel: self.positions, stride: 1, dilation: 1 }
    }
}

impl Walk {
    /// A convolution along positions. In two dimensions the other axis has length 1, or is that of the channels,
    /// which the kernel must take whole.
    pub(super) fn convolution(
        &mut self,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let (dims, weights) = inputs.weights(1)?;
        let rank = flow.axes.len();
        if dims.len() < 3 || dims.len() != rank || dims.contains(&0) || flow.axes[0] != [Over::Windows] {
            return Err(format!("has weights of dimensions {dims:?} for another input"));
        }
        let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        // Channels that a unit sees, by the axis that has them.
        let mut seen = (flow.axes[1] == [Over::Channels] || flow.channels == 1).then_some(dims[1]);
        let mut slide = Slide { kernel: 1, stride: 1, dilation: 1 };
        let mut out = vec![vec![Over::Windows], vec![Over::Channels]];
        let mut swapped = false;
        for i in 2..rank {
            let along = Slide::of(node, i - 2, rank - 2, dims[i])?;
            match flow.axes[i][..] {
                [] if dims[i] == 1 => {}
                [Over::Positions] => slide = along,
                [Over::Channels] if flow.axes[1].is_empty() && dims[1] == 1 && dims[i] == flow.channels => {
                    seen = Some(dims[i]);
                    swapped = slide.kernel > 1;
                }
                _ => return Err("slides over an axis that is not that of positions".into()),
            }
            let kept = flow.axes[i] == [Over::Positions];
            out.push(if kept { vec![Over::Positions] } else { Vec::new() });
        }
        let seen = seen.filter(|seen| seen.checked_mul(groups) == Some(flow.channels));
        let seen = seen.ok_or_else(|| format!("has weights of dimensions {dims:?} for another input"))?;
        let (outputs, kernel) = (dims[0], slide.kernel);
        let weights =
            if swapped { permute(weights, &[outputs, kernel, seen], &[0, 2, 1]) } else { weights.to_vec() };
        let bias = inputs.get(2).map(|_| inputs.weights(2)).transpose()?.map(|(_, bias)| bias);
        let weights = Tensor::floats([outputs, seen, 1, kernel], weights);
        let flow = self.everywhere(flow, slide, &weights, bias, groups)?;
        Ok(Flow { axes: out, ..flow })
    }

    /// A convolution of the dense tensor with weights `[outputs, channels of a group, 1, kernel]`.
    fn everywhere(
        &mut self,
        flow: &Flow,
        slide: Slide,
        weights: &Tensor,
        bias: Option<&[f32]>,
        groups: usize,
    ) -> Result<Flow, String> {
        let outputs = weights.dims[0];
        let slid = flow.slid(slide, String::new())?;
        let mut names = vec![flow.name.clone(), self.constant(weights)?];
        if let Some(bias) = bias {
            if bias.len() != outputs {
                return Err(format!("has {} biases for {outputs} channels", bias.len()));
            }
            names.push(self.constant(&Tensor::floats([outputs], bias.to_vec()))?);
        }
        let attributes = [
            build::ints("kernel_shape", &[1, slide.kernel as i64]),
            build::ints("dilations", &[1, dilation(flow, slide)]),
            build::int("group", groups as i64),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.emit("Conv", &names, attributes);
        let each = weights.data.len() as f64;
        self.spend(each, each * slid.positions as f64);
        Ok(Flow { name, channels: outputs, ..slid })
    }

    /// Counts operations for each base of a stretch, and for each window of the graph as it was.
    fn spend(&mut self, dense: f64, window: f64) {
        self.cost += dense;
        self.window_cost += window;
    }

    pub(super) fn local_pool(&mut self, node: &NodeProto, flow: &Flow) -> Result<Flow, String> {
        let kernel = ints(node, "kernel_shape").ok_or("has no kernel_shape")?;
        let spatial = kernel.len();
        if spatial + 2 != flow.axes.len() || !flow.has_channels_second() {
            return Err("has a kernel_shape for another input".into());
        }
        let mut slide = Slide { kernel: 1, stride: 1, dilation: 1 };
        for (i, &kernel) in kernel.iter().enumerate() {
            let kernel = usize::try_from(kernel).ok().filter(|&n| n > 0).ok_or("has an empty kernel")?;
            let along = Slide::of(node, i, spatial, kernel)?;
            match flow.axes[i + 2][..] {
                [] if kernel == 1 => {}
                [Over::Positions] => slide = along,
                _ => return Err("pools over an axis that is not that of positions".into()),
            }
        }
        let starts = flow.positions.saturating_sub(slide.reach());
        if int(node, "ceil_mode", 0) != 0 && starts % slide.stride != 1 % slide.stride {
            return Err(PADS.into());
        }
        self.pool(flow, slide, node.op_type() == "AveragePool")
    }

    pub(super) fn reduce(&mut self, node: &NodeProto, inputs: &Inputs<'_, Flow>) -> Result<Flow, String> {
        let flow = inputs.flow(0)?;
        let reduced = axes(node, inputs, self.opset < 18)?.filter(|axes| !axes.is_empty());
        let reduced = reduced.ok_or("pools over all axes")?;
        let reduced = reduced.iter().map(|&axis| flow.axis(axis)).collect::<Result<Vec<_>, _>>()?;
        self.pool_all(flow, &reduced, int(node, "keepdims", 1) != 0, node.op_type() == "ReduceMean")
    }

    /// A pool over `reduced` axes, which must be that of positions and axes of 1.
    pub(super) fn pool_all(
        &mut self,
        flow: &Flow,
        reduced: &[usize],
        keep: bool,
        average: bool,
    ) -> Result<Flow, String> {
        let mut pools = false;
        for &i in reduced {
            match flow.axes[i][..] {
                [] => {}
                [Over::Positions] => pools = true,
                _ => return Err("pools over an axis that is not that of positions".into()),
            }
        }
        let axes = flow.axes.iter().enumerate().filter(|(i, _)| keep || !reduced.contains(i));
        let axes =
            axes.map(|(i, axis)| if reduced.contains(&i) { Vec::new() } else { axis.clone() }).collect();
        let flow = if pools { self.pool(flow, flow.all(), average)? } else { flow.clone() };
        Ok(Flow { axes, ..flow })
    }

    /// A maximum or mean, taken in levels: over neighbours, then over neighbouring groups of them.
    fn pool(&mut self, flow: &Flow, slide: Slide, average: bool) -> Result<Flow, String> {
        let slid = flow.slid(slide, String::new())?;
        let levels = if average { mean_levels(slide.kernel) } else { maximum_levels(slide.kernel).to_vec() };
        let mut name = flow.name.clone();
        for (taps, distance) in levels.into_iter().filter(|&(taps, _)| taps > 1) {
            let distance = distance as i64 * dilation(flow, slide);
            name = self.level(&name, flow.channels, taps, distance, average)?;
            self.spend((flow.channels * taps) as f64, 0.0);
        }
        self.spend(0.0, (flow.channels * slide.kernel) as f64 * slid.positions as f64);
        Ok(Flow { name, ..slid })
    }

    /// A pool over `taps` entries at a distance from each other.
    fn level(
        &mut self,
        name: &str,
        channels: usize,
        taps: usize,
        distance: i64,
        average: bool,
    ) -> Result<String, String> {
        let kernel = build::ints("kernel_shape", &[1, taps as i64]);
        let dilations = build::ints("dilations", &[1, distance]);
        match (average, distance) {
            (false, _) => Ok(self.emit("MaxPool", &[name], [kernel, dilations])),
            (true, 1) => Ok(self.emit("AveragePool", &[name], [kernel])),
            // Means at a distance are an operator of version 19; a convolution of each channel is as old as any.
            (true, _) => {
                // Looked at before the weights are made.
                if channels * taps > self.budget {
                    return Err(TOO_LARGE.into());
                }
                let weights = vec![1.0 / taps as f32; channels * taps];
                let weights = self.constant(&Tensor::floats([channels, 1, 1, taps], weights))?;
                let groups = build::int("group", channels as i64);
                Ok(self.emit("Conv", &[name, &weights], [kernel, dilations, groups]))
            }
        }
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
        let (last, others) = flow.axes.split_last().ok_or("has a scalar for input")?;
        if flow.channels > 1 && !last.contains(&Over::Channels) || last.contains(&Over::Windows) {
            return Err("is not over channels".into());
        }
        let slide = if last.contains(&Over::Positions) {
            flow.all()
        } else {
            Slide { kernel: 1, stride: 1, dilation: 1 }
        };
        let (channels, kernel) = (flow.channels, slide.kernel);
        if outputs == 0 || weights.len() != outputs.saturating_mul(channels * kernel) {
            return Err(format!(
                "has {} weights for {} inputs and {outputs} outputs",
                weights.len(),
                channels * kernel
            ));
        }
        let by_position = last[..] == [Over::Positions, Over::Channels];
        let weights =
            if by_position { permute(&weights, &[outputs, kernel, channels], &[0, 2, 1]) } else { weights };
        let weights = Tensor::floats([outputs, channels, 1, kernel], weights);
        let mut axes = others.to_vec();
        axes.push(vec![Over::Channels]);
        let flow = self.everywhere(flow, slide, &weights, bias, 1)?;
        Ok(Flow { axes, ..flow })
    }
}

/// Distance between the taps of a layer in the dense tensor.
fn dilation(flow: &Flow, slide: Slide) -> i64 {
    // A kernel of one tap fits any window, however far its taps would be.
    if slide.kernel == 1 { 1 } else { (slide.dilation * flow.step) as i64 }
}

/// As [`maximum_levels`], for the mean: the groups must be of one size and must not overlap.
fn mean_levels(width: usize) -> Vec<(usize, usize)> {
    let near = (1..=width.isqrt().max(1)).rev().find(|near| width.is_multiple_of(*near)).unwrap_or(1);
    vec![(near, 1), (width / near, near)]
}
