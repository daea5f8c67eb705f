//! Layers that slide along a window or span it (convolutions, pools, dense layers): what they do to a shape.

use crate::model::onnx::constant;
use crate::model::onnx::constant::{axes, int, ints, string};
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::shape::{Over, Shape};
use crate::model::onnx::tensor::{Tensor, permute};
use crate::model::onnx::value::Inputs;

/// Most positions that padding may make of a window.
const MOST_POSITIONS: usize = 1 << 25;

/// Geometry of a layer that slides along positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slide {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Positions put before the first one and after the last one.
    pub(crate) pads: (usize, usize),
}

impl Slide {
    /// Along nothing.
    const STILL: Slide = Slide { kernel: 1, stride: 1, dilation: 1, pads: (0, 0) };

    /// The geometry of `node` along one of its `spatial` axes, on which there are `positions`, with a kernel of this length.
    fn of(
        node: &NodeProto,
        axis: usize,
        spatial: usize,
        kernel: usize,
        positions: usize,
    ) -> Result<Slide, String> {
        let entry = |name: &str| match ints(node, name) {
            None => Ok(1),
            Some(values) if values.len() == spatial && values[axis] > 0 => Ok(values[axis] as usize),
            Some(values) => Err(format!("has {name} {values:?}")),
        };
        let (stride, dilation) = (entry("strides")?, entry("dilations")?);
        let mut slide = Slide { kernel, stride, dilation, pads: (0, 0) };
        match string(node, "auto_pad", "NOTSET") {
            "VALID" => {}
            "NOTSET" => {
                if let Some(pads) = ints(node, "pads") {
                    let pad = |i: usize| pads.get(i).and_then(|&pad| usize::try_from(pad).ok());
                    let pair = pad(axis).zip(pad(axis + spatial)).filter(|_| pads.len() == 2 * spatial);
                    slide.pads = pair.ok_or_else(|| format!("has pads {pads:?}"))?;
                }
            }
            same => {
                let starts = positions.div_ceil(stride).max(1);
                let reached =
                    (starts - 1).saturating_mul(stride).saturating_add(slide.reach().saturating_add(1));
                let (all, few) = (reached.saturating_sub(positions), reached.saturating_sub(positions) / 2);
                slide.pads = if same == "SAME_LOWER" { (all - few, few) } else { (few, all - few) };
            }
        }
        Ok(slide)
    }

    /// Over all of `positions`.
    pub(crate) fn over(positions: usize) -> Slide {
        Slide { kernel: positions, ..Slide::STILL }
    }

    /// Positions past its first that the kernel looks at.
    pub(crate) fn reach(self) -> usize {
        (self.kernel - 1).saturating_mul(self.dilation)
    }

    /// True if it sees more than the window.
    pub(crate) fn pads(self) -> bool {
        self.pads != (0, 0)
    }

    /// Results that it has for so many positions.
    ///
    /// # Errors
    /// A kernel that is longer than that.
    fn results(self, positions: usize) -> Result<usize, String> {
        let padded = positions.saturating_add(self.pads.0).saturating_add(self.pads.1);
        if padded > MOST_POSITIONS {
            return Err(format!("pads to {padded} positions"));
        }
        let starts = padded.checked_sub(self.reach()).filter(|&starts| starts > 0);
        let starts = starts.ok_or_else(|| {
            format!("spans {} positions where a window has {padded}", self.reach().saturating_add(1))
        })?;
        Ok(starts.div_ceil(self.stride))
    }
}

/// A convolution along positions.
#[derive(Debug)]
pub(crate) struct Convolution {
    pub(crate) slide: Slide,
    /// Of its results.
    pub(crate) shape: Shape,
    /// Channels that one of its units sees.
    pub(crate) seen: usize,
    pub(crate) groups: usize,
    /// True if its weights have positions before channels.
    pub(crate) swapped: bool,
}

impl Shape {
    /// With as many positions as a layer that slides leaves.
    pub(crate) fn slid(&self, slide: Slide) -> Result<Shape, String> {
        Ok(Shape { positions: slide.results(self.positions)?, ..self.clone() })
    }

    /// True if an axis is that of positions: one of length 1 may be, if there is one position and no layer has yet
    /// moved along another axis.
    fn has_positions_on(&self, axis: usize, so_far: Slide) -> bool {
        match self.axes[axis][..] {
            [] => self.positions == 1 && so_far.reach() == 0 && !so_far.pads(),
            [Over::Positions] => true,
            _ => false,
        }
    }

    /// Stride after a kernel of 1 on an axis of length 1. Where that may be the axis of positions, it counts: a later layer
    /// may pad to several.
    fn stride_of_one(&self, along: Slide, so_far: Slide) -> usize {
        if self.positions == 1 { so_far.stride.saturating_mul(along.stride) } else { so_far.stride }
    }

    /// Of a convolution with weights of these dimensions. In two dimensions the other axis has length 1, or is that
    /// of the channels, which the kernel must take whole.
    pub(crate) fn convolution(&self, node: &NodeProto, dims: &[usize]) -> Result<Convolution, String> {
        let rank = self.axes.len();
        let wrong = || format!("has weights of dimensions {dims:?} for another input");
        if dims.len() < 3 || dims.len() != rank || dims.contains(&0) || self.axes[0] != [Over::Windows] {
            return Err(wrong());
        }
        let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        // Channels that a unit sees, by the axis that has them.
        let mut seen = (self.axes[1] == [Over::Channels] || self.channels == 1).then_some(dims[1]);
        let mut slide = Slide::STILL;
        let mut axes = vec![vec![Over::Windows], vec![Over::Channels]];
        let mut swapped = false;
        for i in 2..rank {
            let length = self.length(&self.axes[i]).unwrap_or(1);
            let along = Slide::of(node, i - 2, rank - 2, dims[i], length)?;
            let mut kept = Vec::new();
            match self.axes[i][..] {
                [] if dims[i] == 1 && !along.pads() => slide.stride = self.stride_of_one(along, slide),
                _ if self.has_positions_on(i, slide) => {
                    slide = along;
                    kept.push(Over::Positions);
                }
                [Over::Channels]
                    if self.axes[1].is_empty()
                        && dims[1] == 1
                        && dims[i] == self.channels
                        && !along.pads() =>
                {
                    seen = Some(dims[i]);
                    swapped = slide.kernel > 1;
                }
                _ => return Err("slides over an axis that is not that of positions".into()),
            }
            axes.push(kept);
        }
        let seen = seen.filter(|seen| seen.checked_mul(groups) == Some(self.channels)).ok_or_else(wrong)?;
        let shape = Shape { axes, channels: dims[0], ..self.slid(slide)? };
        Ok(Convolution { slide, shape, seen, groups, swapped })
    }

    /// As [`convolution`](Shape::convolution), with its weights for tensors of rows: `[outputs, channels of a group, 1, kernel]`.
    pub(super) fn convolution_by_rows<F>(
        &self,
        node: &NodeProto,
        inputs: &Inputs<'_, F>,
    ) -> Result<(Convolution, Tensor), String> {
        let (dims, weights) = inputs.weights(1)?;
        let layer = self.convolution(node, dims)?;
        let (outputs, kernel) = (layer.shape.channels, layer.slide.kernel);
        let weights = if layer.swapped {
            permute(weights, &[outputs, kernel, layer.seen], &[0, 2, 1])
        } else {
            weights.to_vec()
        };
        let weights = Tensor::floats([outputs, layer.seen, 1, kernel], weights);
        Ok((layer, weights))
    }

    /// Of padding in a node of its own: a layer that reads one position for each of its results.
    pub(super) fn padding<F>(&self, node: &NodeProto, inputs: &Inputs<'_, F>) -> Result<Slide, String> {
        let given = if inputs.get(1).is_some() { constant::list(inputs, 1)?.to_vec() } else { Vec::new() };
        let pads = if given.is_empty() { ints(node, "pads").unwrap_or_default() } else { given };
        let rank = self.axes.len();
        if pads.len() != 2 * rank || inputs.get(3).is_some() {
            return Err("has pads for other axes".into());
        }
        let mut slide = Slide::over(1);
        for (i, axis) in self.axes.iter().enumerate() {
            match ((usize::try_from(pads[i]), usize::try_from(pads[i + rank])), &axis[..]) {
                ((Ok(0), Ok(0)), _) => {}
                ((Ok(before), Ok(after)), [Over::Positions]) => slide.pads = (before, after),
                _ => return Err("pads an axis that is not that of positions".into()),
            }
        }
        Ok(slide)
    }

    /// Of a pool over neighbours.
    pub(crate) fn local_pool(&self, node: &NodeProto) -> Result<(Slide, Shape), String> {
        let kernel = ints(node, "kernel_shape").ok_or("has no kernel_shape")?;
        let spatial = kernel.len();
        if spatial + 2 != self.axes.len() || !self.has_channels_second() {
            return Err("has a kernel_shape for another input".into());
        }
        let mut slide = Slide::STILL;
        let mut axes = self.axes.clone();
        for (i, &kernel) in kernel.iter().enumerate() {
            let kernel = usize::try_from(kernel).ok().filter(|&n| n > 0).ok_or("has an empty kernel")?;
            let along = Slide::of(node, i, spatial, kernel, self.positions)?;
            match self.axes[i + 2][..] {
                [] if kernel == 1 && !along.pads() => slide.stride = self.stride_of_one(along, slide),
                _ if self.has_positions_on(i + 2, slide) => {
                    slide = along;
                    axes[i + 2] = vec![Over::Positions];
                }
                _ => return Err("pools over an axis that is not that of positions".into()),
            }
        }
        if int(node, "ceil_mode", 0) != 0 {
            let padded = self.positions.saturating_add(slide.pads.0).saturating_add(slide.pads.1);
            let left_over = padded.saturating_sub(slide.reach().saturating_add(1)) % slide.stride;
            if left_over > 0 {
                slide.pads.1 = slide.pads.1.saturating_add(slide.stride - left_over);
            }
        }
        Ok((slide, Shape { axes, ..self.slid(slide)? }))
    }

    /// Of a pool over all of the axes `reduced`, which must be that of positions and axes of 1; they stay with a
    /// length of 1 if they are kept.
    pub(crate) fn pool(&self, reduced: &[usize], keep: bool) -> Result<(Slide, Shape), String> {
        let mut slide = Slide::STILL;
        for &i in reduced {
            match self.axes[i][..] {
                [] => {}
                [Over::Positions] => slide = Slide::over(self.positions),
                _ => return Err("pools over an axis that is not that of positions".into()),
            }
        }
        let axes = self.axes.iter().enumerate().filter(|(i, _)| keep || !reduced.contains(i));
        let axes = axes.map(|(i, axis)| if reduced.contains(&i) { Vec::new() } else { axis.clone() });
        Ok((slide, Shape { axes: axes.collect(), ..self.slid(slide)? }))
    }

    /// Of a pool over whole axes: a `GlobalMaxPool`, `ReduceMean` or the like.
    pub(crate) fn whole_pool<F>(
        &self,
        node: &NodeProto,
        inputs: &Inputs<'_, F>,
        opset: i64,
    ) -> Result<(Slide, Shape), String> {
        if node.op_type().starts_with("Global") {
            return self.pool(&(2..self.axes.len()).collect::<Vec<_>>(), true);
        }
        let reduced = axes(node, inputs, opset < 18)?.filter(|axes| !axes.is_empty());
        let reduced = reduced.ok_or("pools over all axes")?;
        let reduced = reduced.iter().map(|&axis| self.axis(axis)).collect::<Result<Vec<_>, _>>()?;
        self.pool(&reduced, int(node, "keepdims", 1) != 0)
    }

    /// Of a dense layer over the last axis: it spans the positions that this axis runs over.
    pub(crate) fn dense(&self, inputs: usize, outputs: usize) -> Result<(Slide, Shape), String> {
        let (last, others) = self.axes.split_last().ok_or("has a scalar for input")?;
        if self.channels > 1 && !last.contains(&Over::Channels) || last.contains(&Over::Windows) {
            return Err("is not over channels".into());
        }
        let spans = last.contains(&Over::Positions);
        let slide = if spans { Slide::over(self.positions) } else { Slide::STILL };
        let length = self.length(last).unwrap_or(0);
        if outputs == 0 || inputs != length {
            return Err(format!("takes {inputs} inputs to {outputs} outputs where there are {length}"));
        }
        let mut axes = others.to_vec();
        axes.push(vec![Over::Channels]);
        Ok((slide, Shape { axes, channels: outputs, ..self.slid(slide)? }))
    }

    /// Of tensors with these shapes, joined along their channels.
    pub(crate) fn concat(shapes: &[&Shape], axis: i64) -> Result<Shape, String> {
        let first = *shapes.first().ok_or("joins nothing")?;
        let axis = first.axis(axis)?;
        let joinable = |shape: &&Shape| {
            let others = |axes: &[Vec<Over>]| [&axes[..axis], &axes[axis + 1..]].concat();
            shape.axes.len() == first.axes.len()
                && others(&shape.axes) == others(&first.axes)
                && shape.positions == first.positions
                && (shape.axes[axis] == [Over::Channels]
                    || shape.channels == 1 && shape.axes[axis].is_empty())
        };
        if !shapes.iter().all(joinable) {
            return Err("joins something else than channels".into());
        }
        let mut axes = first.axes.clone();
        axes[axis] = vec![Over::Channels];
        Ok(Shape { axes, channels: shapes.iter().map(|shape| shape.channels).sum(), ..*first })
    }

    /// Of a cut of the positions of every window, as (start, end, step) one after another.
    pub(crate) fn cuts<F>(&self, inputs: &Inputs<'_, F>) -> Result<Vec<(usize, usize, usize)>, String> {
        let (starts, ends) = (constant::list(inputs, 1)?, constant::list(inputs, 2)?);
        let all: Vec<i64> = (0..starts.len() as i64).collect();
        let axes = if inputs.get(3).is_some() { constant::list(inputs, 3)? } else { &all };
        let ones = vec![1; starts.len()];
        let steps = if inputs.get(4).is_some() { constant::list(inputs, 4)? } else { &ones };
        let mut positions = self.positions;
        let mut cuts = Vec::new();
        for (i, &axis) in axes.iter().enumerate() {
            let (Some(&start), Some(&end), Some(&step)) = (starts.get(i), ends.get(i), steps.get(i)) else {
                return Err("has starts, ends, axes and steps of different lengths".into());
            };
            let axis = &self.axes[self.axis(axis)?];
            let over_positions = *axis == [Over::Positions];
            let length = if over_positions { Some(positions) } else { self.length(axis) };
            let length = length.map_or(i64::MAX, |n| n as i64);
            let place = |at: i64| if at < 0 { at.saturating_add(length) } else { at }.clamp(0, length);
            let (start, end) = (place(start), place(end));
            if (start, end, step) == (0, length, 1) {
                continue;
            }
            if !over_positions || step < 1 || start >= end {
                return Err("cuts an axis that is not that of positions, backwards or to nothing".into());
            }
            let cut = (start as usize, end as usize, step as usize);
            positions = (cut.1 - cut.0).div_ceil(cut.2);
            cuts.push(cut);
        }
        Ok(cuts)
    }

    /// True if it is that of `widest`, or has one channel that goes with each of its channels.
    pub(crate) fn broadcasts(&self, widest: &Shape) -> bool {
        let fits = |(own, axis): (&Vec<Over>, &Vec<Over>)| {
            own == axis || own.is_empty() && self.channels == 1 && *axis == [Over::Channels]
        };
        self.axes.len() == widest.axes.len() && self.axes.iter().zip(&widest.axes).all(fits)
    }
}
