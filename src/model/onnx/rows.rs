//! Nodes of graphs whose tensors are `[1, channels, rows, positions]`: a stretch of bases in one row, or a window a row.

use super::build::{self, Builder, dense::maximum_levels};
use super::opset;
use super::proto::{AttributeProto, GraphProto, ModelProto};
use super::shape::{Over, Shape};
use super::tensor::Tensor;
use crate::model::LONGEST_WINDOW;

/// Numbers that constants may have in all (512 MiB): bounds the work on a graph made to explode.
const BUDGET: usize = 1 << 27;

/// Oldest version of the operators that is followed.
const OLDEST_OPSET: i64 = 11;

const TOO_LARGE: &str = "makes the graph too large";

/// The graph of a model that can be followed for windows of `window` bases.
///
/// # Errors
/// Operators older than version 11; a window of another length than there can be; no graph.
pub(super) fn followed(model: &ModelProto, window: usize) -> Result<&GraphProto, String> {
    if opset(model) < OLDEST_OPSET {
        return Err(format!("its operators are of version {}, older than {OLDEST_OPSET}", opset(model)));
    }
    if !(1..=LONGEST_WINDOW).contains(&window) {
        return Err(format!("a window of {window} bases is not within 1 to {LONGEST_WINDOW}"));
    }
    Ok(model.graph.as_ref().ok_or("the model has no graph")?)
}

/// Adds nodes and constants to a graph, and names them.
pub(super) struct Rows {
    pub(super) builder: Builder,
    prefix: &'static str,
    /// Numbers that further constants may have.
    budget: usize,
    /// Names given so far.
    names: usize,
}

impl Rows {
    /// An empty graph. All names in it begin with `prefix`.
    pub(super) fn new(prefix: &'static str) -> Rows {
        Rows { builder: Builder::default(), prefix, budget: BUDGET, names: 0 }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("{}_{}", self.prefix, self.names)
    }

    /// Adds a node; returns the name of its output.
    pub(super) fn emit(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let name = self.name();
        self.builder.node(op, inputs, &name, attributes)
    }

    /// Takes numbers of a constant from the budget.
    pub(super) fn charge(&mut self, numbers: usize) -> Result<(), String> {
        self.budget = self.budget.checked_sub(numbers).ok_or(TOO_LARGE)?;
        Ok(())
    }

    /// Adds a constant; returns its name.
    pub(super) fn constant(&mut self, tensor: &Tensor) -> Result<String, String> {
        self.charge(tensor.data.len())?;
        let name = self.name();
        Ok(self.builder.constant(&name, tensor))
    }

    /// The positions of a tensor from `start` to `end`, each `step`-th; an `end` below 0 counts from behind.
    pub(super) fn slice(
        &mut self,
        name: &str,
        start: usize,
        end: i64,
        step: usize,
    ) -> Result<String, String> {
        let mut inputs = vec![name.to_owned()];
        for number in [start as i64, end, 3, step as i64] {
            inputs.push(self.constant(&Tensor::ints(vec![number]))?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.emit("Slice", &inputs, []))
    }

    /// A tensor without `before` positions at its start and `after` at its end.
    pub(super) fn crop(&mut self, name: &str, before: usize, after: usize) -> Result<String, String> {
        if before + after == 0 {
            return Ok(name.to_owned());
        }
        self.slice(name, before, if after == 0 { i64::MAX } else { -(after as i64) }, 1)
    }

    /// A maximum or mean over `kernel` positions at a distance from each other, from each position on. It is taken in levels:
    /// over neighbours, then over neighbouring groups of them. Returns the number of operations for each position, too.
    pub(super) fn pool(
        &mut self,
        name: &str,
        channels: usize,
        kernel: usize,
        distance: usize,
        average: bool,
    ) -> Result<(String, usize), String> {
        let levels = if average { mean_levels(kernel) } else { maximum_levels(kernel).to_vec() };
        let mut name = name.to_owned();
        let mut operations = 0;
        for (taps, apart) in levels.into_iter().filter(|&(taps, _)| taps > 1) {
            name = self.level(&name, channels, taps, (apart * distance) as i64, average)?;
            operations += channels * taps;
        }
        Ok((name, operations))
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
}

/// As [`maximum_levels`], for the mean: the groups must be of one size and must not overlap.
fn mean_levels(width: usize) -> Vec<(usize, usize)> {
    let near = (1..=width.isqrt().max(1)).rev().find(|near| width.is_multiple_of(*near)).unwrap_or(1);
    vec![(near, 1), (width / near, near)]
}

/// A constant that is broadcast over all but the channels of `shape`, as a tensor of rows needs it.
pub(super) fn along_channels(shape: &Shape, tensor: &Tensor) -> Result<Tensor, String> {
    const WRONG: &str = "has a constant that is not one number, or one a channel";
    let values = tensor.as_floats().ok_or("has a constant that is not of floats")?;
    let dims = &tensor.dims;
    if dims.len() > shape.axes.len() {
        return Err(WRONG.into());
    }
    if let &[value] = values {
        return Ok(Tensor::floats([1, 1, 1, 1], vec![value]));
    }
    let axes = &shape.axes[shape.axes.len() - dims.len()..];
    let along =
        |(&n, axis): (&usize, &Vec<Over>)| n == 1 || (*axis == [Over::Channels] && n == shape.channels);
    if values.len() != shape.channels || !dims.iter().zip(axes).all(along) {
        return Err(WRONG.into());
    }
    Ok(Tensor::floats([1, values.len(), 1, 1], values.to_vec()))
}
