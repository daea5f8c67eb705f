//! Layers on tensors in parts.

use super::{COLUMNS, End, Flow, Parts, Walk, build, int, string};
use crate::model::onnx::conv_geometry::{Convolution, Slide};
use crate::model::onnx::proto::{AttributeProto, NodeProto};
use crate::model::onnx::rows::along_channels;
use crate::model::onnx::shape::Shape;
use crate::model::onnx::tensor::Tensor;
use crate::model::onnx::value::{Inputs, Value};

/// Share of the positions of a layer's result that may have to be computed for a window, where the others come from the
/// stretch, which has as many as there are bases from one window to the next.
const WORTH_SHARING: f64 = 0.8;

/// Place of the parts of a layer's result.
struct Placed {
    /// Positions at the left end, and at the right end.
    left: usize,
    right: usize,
    /// Positions of the layer's input that the left end is computed from.
    left_reads: usize,
    /// First of those that the right end is computed from.
    right_reads: usize,
}

impl Parts {
    /// Finds the parts of what `slide` gives at `results` positions. `None` if it leaves no interior.
    fn place(&self, slide: Slide, results: usize) -> Option<Placed> {
        let (stride, pad, reach) = (slide.stride as i64, slide.pads.0 as i64, slide.reach() as i64);
        let left = (self.left.positions as i64 + pad + stride - 1) / stride;
        let room = self.inner_end() as i64 - 1 - reach + pad;
        if room < 0 {
            return None;
        }
        let last = (room / stride).min(results as i64 - 1);
        let right = results as i64 - 1 - last;
        let left_reads = ((left - 1) * stride + reach + 1 - pad).max(0);
        let right_reads = (results as i64 - right) * stride - pad;
        let fits = left <= last && (left == 0 || left_reads > 0) && right_reads >= 0;
        let fits = fits && (right == 0 || right_reads < self.shape.positions as i64);
        let [left, right, left_reads, right_reads] =
            [left, right, left_reads, right_reads].map(|n| n as usize);
        fits.then_some(Placed { left, right, left_reads, right_reads })
    }

    /// The results of `slide`, of this shape, in these parts.
    fn slid(&self, slide: Slide, shape: Shape, (stretch, left, right): (String, End, End)) -> Parts {
        let origin = self.origin - (self.step * slide.pads.0) as i64;
        let lost = self.lost + slide.reach() * self.step;
        Parts {
            shape: shape.tidy(),
            stretch,
            step: self.step.saturating_mul(slide.stride),
            origin,
            lost,
            left,
            right,
        }
    }
}

impl Walk<'_> {
    /// Applies a node to each of the three parts, which it leaves as long as they are.
    fn on_each(
        &mut self,
        parts: &Parts,
        mut node: impl FnMut(&mut Self, &str) -> Result<String, String>,
    ) -> Result<Option<Parts>, String> {
        let stretch = node(self, &parts.stretch)?;
        let mut end = |walk: &mut Self, end: &End| {
            let name = if end.positions == 0 { String::new() } else { node(walk, &end.name)? };
            Ok::<_, String>(End { name, ..*end })
        };
        let (left, right) = (end(self, &parts.left)?, end(self, &parts.right)?);
        Ok(Some(Parts { stretch, left, right, ..parts.clone() }))
    }

    /// A function of each number; further inputs (the bounds of `Clip`) are constants.
    pub(super) fn each(
        &mut self,
        parts: &Parts,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Parts>, String> {
        let mut others = Vec::new();
        for i in 1..inputs.len() {
            others.push(match inputs.get(i) {
                None => String::new(),
                Some(Value::Constant(tensor)) => self.rows.constant(tensor)?,
                Some(Value::Flow(_)) => return Ok(None),
            });
        }
        self.with(parts, node, &others)
    }

    /// Applies `node` with these further inputs to each part.
    fn with(&mut self, parts: &Parts, node: &NodeProto, others: &[String]) -> Result<Option<Parts>, String> {
        self.on_each(parts, |walk, name| {
            let names: Vec<&str> = std::iter::once(name).chain(others.iter().map(String::as_str)).collect();
            Ok(walk.rows.emit(node.op_type(), &names, node.attribute.clone()))
        })
    }

    pub(super) fn normalize(
        &mut self,
        parts: &Parts,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Parts>, String> {
        if int(node, "training_mode", 0) != 0 || !parts.shape.has_channels_second() {
            return Ok(None);
        }
        let mut others = Vec::new();
        for i in 1..5 {
            let (_, values) = inputs.weights(i)?;
            others.push(self.rows.constant(&Tensor::floats([values.len()], values.to_vec()))?);
        }
        self.with(parts, node, &others)
    }

    pub(super) fn convolution(
        &mut self,
        parts: &Parts,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Parts>, String> {
        let (Convolution { slide, shape, groups, .. }, weights) =
            parts.shape.convolution_by_rows(node, inputs)?;
        let Some(placed) = parts.place(slide, shape.positions) else { return Ok(None) };
        let computed = self.stride + placed.left + placed.right;
        if computed as f64 > WORTH_SHARING * shape.positions as f64 {
            return Ok(None);
        }
        let each = weights.data.len() as f64;
        let mut others = vec![self.rows.constant(&weights)?];
        if inputs.get(2).is_some() {
            let (_, bias) = inputs.weights(2)?;
            others.push(self.rows.constant(&Tensor::floats([bias.len()], bias.to_vec()))?);
        }
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let group = build::int("group", groups as i64);
        let dilation = if slide.kernel == 1 { 1 } else { slide.dilation * parts.step };
        let attributes = [
            build::ints("kernel_shape", &[1, slide.kernel as i64]),
            build::ints("dilations", &[1, dilation as i64]),
            group.clone(),
        ];
        let stretch = self.rows.emit("Conv", &[&[&*parts.stretch], &others[..]].concat(), attributes);
        let ends = self.ends(parts, slide, &placed, |walk, name, pads| {
            let attributes = along(slide, pads).into_iter().chain([group.clone()]);
            walk.rows.emit("Conv", &[&[name], &others[..]].concat(), attributes)
        })?;
        let shortest = [placed.left, placed.right].into_iter().filter(|&positions| positions > 0).min();
        self.fewest = self.fewest.max(shortest.map_or(1, |positions| COLUMNS.div_ceil(positions)));
        let at_ends = placed.left + placed.right;
        self.spend(each, each * at_ends as f64, each * shape.positions as f64);
        self.note_ends(&placed, shape.channels.max(parts.shape.channels));
        self.shares = true;
        Ok(Some(parts.slid(slide, shape, (stretch, ends.0, ends.1))))
    }

    pub(super) fn local_pool(&mut self, parts: &Parts, node: &NodeProto) -> Result<Option<Parts>, String> {
        let average = node.op_type() == "AveragePool";
        let (slide, shape) = parts.shape.local_pool(node)?;
        // Padding as long as a pool itself is not defined; that of a rounded up length counts in no mean.
        let odd = slide.pads.0.max(slide.pads.1) >= slide.kernel && slide.pads();
        let odd = odd || average && (slide.dilation > 1 || int(node, "ceil_mode", 0) != 0);
        let Some(placed) = parts.place(slide, shape.positions).filter(|_| !odd) else { return Ok(None) };
        let channels = parts.shape.channels;
        let distance = if slide.kernel == 1 { 1 } else { slide.dilation * parts.step };
        let (stretch, operations) =
            self.rows.pool(&parts.stretch, channels, slide.kernel, distance, average)?;
        let counted = average.then(|| build::int("count_include_pad", int(node, "count_include_pad", 0)));
        let ends = self.ends(parts, slide, &placed, |walk, name, pads| {
            let attributes = along(slide, pads).into_iter().filter(|a| !average || a.name() != "dilations");
            walk.rows.emit(node.op_type(), &[name], attributes.chain(counted.clone()))
        })?;
        let each = (channels * slide.kernel) as f64;
        let at_ends = placed.left + placed.right;
        self.spend(operations as f64, each * at_ends as f64, each * shape.positions as f64);
        self.note_ends(&placed, channels);
        Ok(Some(parts.slid(slide, shape, (stretch, ends.0, ends.1))))
    }

    /// A pool over all positions of a tensor in parts, which is given as the graph itself has it; returns its shape. `None` for
    /// another node.
    pub(super) fn whole_pool(
        &mut self,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Shape>, String> {
        let average = match node.op_type() {
            "GlobalMaxPool" | "ReduceMax" => false,
            "GlobalAveragePool" | "ReduceMean" => true,
            _ => return Ok(None),
        };
        let Flow::Parts(parts) = inputs.flow(0)? else { return Ok(None) };
        let (slide, shape) = parts.shape.whole_pool(node, inputs, self.opset)?;
        let (positions, channels, inner) =
            (parts.shape.positions, parts.shape.channels, parts.left.positions);
        let name = node.output.first().ok_or("has no output")?;
        // Groups of one size: what is left over belongs to the right end.
        let most = parts.inner_end().checked_sub(inner).filter(|&most| most > 1);
        let Some(most) = most.filter(|_| slide.kernel == positions) else { return Ok(None) };
        let near = most.isqrt();
        let spans =
            [(0, inner), (inner, inner + most / near * near), (inner + most / near * near, positions)];
        let mut pools = Vec::new();
        for (rank, (from, to)) in spans.into_iter().enumerate().filter(|(_, (from, to))| from < to) {
            let pooled = if rank == 1 {
                let (stretch, operations) =
                    self.rows.pool(&parts.stretch, channels, to - from, parts.step, average)?;
                self.spend(operations as f64, 0.0, 0.0);
                let pooled = Parts { stretch, ..parts.clone() };
                self.take(&pooled, from, from + 1)?
            } else {
                let read = self.positions(parts, from, to)?;
                let kernel = build::ints("kernel_shape", &[1, (to - from) as i64]);
                self.spend(0.0, (channels * (to - from)) as f64, 0.0);
                self.rows.emit(if average { "AveragePool" } else { "MaxPool" }, &[&read], [kernel])
            };
            pools.push(if average {
                let part = (to - from) as f32 / positions as f32;
                let part = self.rows.constant(&Tensor::floats([1, 1, 1, 1], vec![part]))?;
                self.rows.emit("Mul", &[&pooled, &part], [])
            } else {
                pooled
            });
        }
        self.spend(0.0, 0.0, (channels * positions) as f64);
        let pools: Vec<&str> = pools.iter().map(String::as_str).collect();
        let pooled = match pools[..] {
            [one] => one.to_owned(),
            _ => self.rows.emit(if average { "Sum" } else { "Max" }, &pools, []),
        };
        self.give(name, &pooled, &shape.clone().tidy())?;
        Ok(Some(shape.tidy()))
    }

    /// The ends of what a layer gives. `layer` adds it for a tensor of rows, with so many positions of padding before and after.
    fn ends(
        &mut self,
        parts: &Parts,
        slide: Slide,
        placed: &Placed,
        mut layer: impl FnMut(&mut Self, &str, (usize, usize)) -> String,
    ) -> Result<(End, End), String> {
        let (mut left, mut right) = (End::default(), End::default());
        if placed.left > 0 {
            let read = self.positions(parts, 0, placed.left_reads)?;
            left = End { name: layer(self, &read, (slide.pads.0, 0)), positions: placed.left };
        }
        if placed.right > 0 {
            let read = self.positions(parts, placed.right_reads, parts.shape.positions)?;
            right = End { name: layer(self, &read, (0, slide.pads.1)), positions: placed.right };
        }
        Ok((left, right))
    }

    /// Notes how many values the ends of a window have.
    fn note_ends(&mut self, placed: &Placed, channels: usize) {
        let longest = placed.left.max(placed.right).max(placed.left_reads);
        self.values = self.values.max(channels.saturating_mul(longest));
    }

    /// Padding in a node of its own, with a constant.
    pub(super) fn pad(
        &mut self,
        parts: &Parts,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Parts>, String> {
        if string(node, "mode", "constant") != "constant" {
            return Ok(None);
        }
        let slide = parts.shape.padding(node, inputs)?;
        let shape = parts.shape.slid(slide)?;
        // A padded end has one position at least of its own.
        let own = |end: &End, pad: usize| if pad > 0 { end.positions.max(1) } else { end.positions };
        let reads = (own(&parts.left, slide.pads.0), own(&parts.right, slide.pads.1));
        if reads.0 + reads.1 >= parts.shape.positions {
            return Ok(None);
        }
        let value = match inputs.get(2) {
            None => Tensor { dims: Vec::new(), ..Tensor::floats([1], vec![0.0]) },
            Some(Value::Constant(tensor)) => tensor.clone(),
            Some(Value::Flow(_)) => return Ok(None),
        };
        let value = self.rows.constant(&value)?;
        let padded = |walk: &mut Self, name: &str, (before, after): (usize, usize)| {
            let pads = [0, 0, 0, before as i64, 0, 0, 0, after as i64];
            let pads = walk.rows.constant(&Tensor::ints(pads.to_vec()))?;
            Ok::<_, String>(walk.rows.emit("Pad", &[name, &pads, &value], []))
        };
        let (mut left, mut right) = (parts.left.clone(), parts.right.clone());
        if slide.pads.0 > 0 {
            let own = self.positions(parts, 0, reads.0)?;
            let name = padded(self, &own, (slide.pads.0, 0))?;
            left = End { name, positions: reads.0 + slide.pads.0 };
        }
        if slide.pads.1 > 0 {
            let positions = parts.shape.positions;
            let own = self.positions(parts, positions - reads.1, positions)?;
            let name = padded(self, &own, (0, slide.pads.1))?;
            right = End { name, positions: reads.1 + slide.pads.1 };
        }
        Ok(Some(parts.slid(slide, shape, (parts.stretch.clone(), left, right))))
    }

    /// A cut of the positions of every window.
    pub(super) fn slice(
        &mut self,
        parts: &Parts,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Parts>, String> {
        let mut parts = parts.clone();
        for (start, end, step) in parts.shape.cuts(inputs)? {
            let positions = (end - start).div_ceil(step);
            // Results before the interior, and before its end.
            let before = |place: usize| place.saturating_sub(start).div_ceil(step).min(positions);
            let (left, inner) = (before(parts.left.positions), before(parts.inner_end()));
            if left >= inner {
                return Ok(None);
            }
            let cut = |walk: &mut Self, end: &End, from: usize, count: usize| match count {
                0 => Ok(End::default()),
                _ => {
                    let name =
                        walk.rows.slice(&end.name, from, (from + (count - 1) * step + 1) as i64, step)?;
                    Ok::<_, String>(End { name, positions: count })
                }
            };
            let first_right = start + inner * step;
            parts = Parts {
                left: cut(self, &parts.left, start, left)?,
                right: cut(
                    self,
                    &parts.right,
                    first_right.saturating_sub(parts.inner_end()),
                    positions - inner,
                )?,
                shape: Shape { positions, ..parts.shape.clone() },
                origin: parts.origin + (start * parts.step) as i64,
                step: parts.step.saturating_mul(step),
                ..parts
            };
        }
        Ok(Some(Parts { shape: parts.shape.clone().tidy(), ..parts }))
    }

    /// Channels of several tensors, one after another.
    pub(super) fn concat(&mut self, flows: &[&Flow], axis: i64) -> Result<Option<Parts>, String> {
        let Some(all) = in_parts(flows) else { return Ok(None) };
        let shapes: Vec<&Shape> = all.iter().map(|parts| &parts.shape).collect();
        let shape = Shape::concat(&shapes, axis)?;
        let Some(aligned) = self.align(&all)? else { return Ok(None) };
        let joined =
            self.together(&aligned, |walk, names| walk.rows.emit("Concat", names, [build::int("axis", 1)]));
        Ok(Some(Parts { shape: shape.tidy(), ..joined }))
    }

    /// A function of several tensors, number by number, of which one at least depends on the sequence.
    pub(super) fn combine(
        &mut self,
        node: &NodeProto,
        inputs: &Inputs<'_, Flow>,
    ) -> Result<Option<Parts>, String> {
        let flows: Vec<&Flow> = (0..inputs.len()).filter_map(|i| inputs.flow(i).ok()).collect();
        let Some(all) = in_parts(&flows) else { return Ok(None) };
        let Some(widest) = all.iter().max_by_key(|parts| parts.shape.channels) else { return Ok(None) };
        let shape = widest.shape.clone();
        if !all.iter().all(|parts| parts.shape.broadcasts(&shape)) {
            return Ok(None);
        }
        let mut constants = Vec::new();
        for i in 0..inputs.len() {
            let tensor = inputs.constant(i).map(|tensor| along_channels(&shape, tensor)).transpose()?;
            constants.push(tensor.map(|tensor| self.rows.constant(&tensor)).transpose()?);
        }
        let Some(aligned) = self.align(&all)? else { return Ok(None) };
        let combined = self.together(&aligned, |walk, names| {
            let mut names = names.iter().copied();
            let all = constants.iter().filter_map(|constant| constant.as_deref().or_else(|| names.next()));
            let all: Vec<&str> = all.collect();
            walk.rows.emit(node.op_type(), &all, node.attribute.clone())
        });
        Ok(Some(Parts { shape, ..combined }))
    }

    /// The tensors with ends of the same lengths, and the same entries of the stretch.
    fn align(&mut self, all: &[&Parts]) -> Result<Option<Vec<Parts>>, String> {
        let first = all[0];
        let (positions, step) = (first.shape.positions, first.step);
        if all.iter().any(|parts| (parts.shape.positions, parts.step) != (positions, step)) {
            return Ok(None);
        }
        let most =
            |length: &dyn Fn(&Parts) -> usize| all.iter().map(|parts| length(parts)).max().unwrap_or(0);
        let (left, right) = (most(&|parts| parts.left.positions), most(&|parts| parts.right.positions));
        if left + right >= positions {
            return Ok(None);
        }
        let origin = all.iter().map(|parts| parts.origin).min().unwrap_or(0);
        let skipped = |parts: &Parts| (parts.origin - origin) as usize;
        let lost = most(&|parts| parts.lost + skipped(parts));
        let mut aligned = Vec::with_capacity(all.len());
        for parts in all {
            let mut same = Parts { origin, lost, ..(*parts).clone() };
            if parts.left.positions < left {
                same.left = End { name: self.positions(parts, 0, left)?, positions: left };
            }
            if parts.right.positions < right {
                same.right =
                    End { name: self.positions(parts, positions - right, positions)?, positions: right };
            }
            let before = skipped(parts);
            same.stretch = self.rows.crop(&parts.stretch, before, lost - parts.lost - before)?;
            aligned.push(same);
        }
        Ok(Some(aligned))
    }

    /// Applies a node to aligned tensors, each part with its like.
    fn together(&mut self, aligned: &[Parts], mut node: impl FnMut(&mut Self, &[&str]) -> String) -> Parts {
        let mut part = |walk: &mut Self, name: fn(&Parts) -> &str| {
            let names: Vec<&str> = aligned.iter().map(name).collect();
            if names.contains(&"") { String::new() } else { node(walk, &names) }
        };
        let stretch = part(self, |parts| &parts.stretch);
        let left = End { name: part(self, |parts| &parts.left.name), ..aligned[0].left };
        let right = End { name: part(self, |parts| &parts.right.name), ..aligned[0].right };
        Parts { stretch, left, right, ..aligned[0].clone() }
    }
}

/// The tensors, if all of them are in parts.
fn in_parts<'a>(flows: &[&'a Flow]) -> Option<Vec<&'a Parts>> {
    let parts = |flow: &&'a Flow| match flow {
        Flow::Parts(parts) => Some(parts),
        Flow::Whole(_) => None,
    };
    flows.iter().map(parts).collect()
}

/// Attributes of a layer that slides along rows.
fn along(slide: Slide, (before, after): (usize, usize)) -> Vec<AttributeProto> {
    vec![
        build::ints("kernel_shape", &[1, slide.kernel as i64]),
        build::ints("dilations", &[1, slide.dilation as i64]),
        build::ints("strides", &[1, slide.stride as i64]),
        build::ints("pads", &[0, before as i64, 0, after as i64]),
    ]
}
