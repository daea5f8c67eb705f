//! The sequence on its way through a graph, and the operations that only move axes.

use crate::model::onnx::constant::{BATCH, POSITIONS};
use crate::model::onnx::recognize::BUDGET;
use crate::model::onnx::recognize::layer::Convolution;
use crate::model::onnx::tensor::{permutation, permute, resolve};
use crate::model::{Dense, Padding};

/// A tensor that comes from the sequence.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) axes: Vec<Axis>,
    pub(crate) stage: Stage,
}

/// An axis of a [`Flow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Windows.
    Batch,
    /// Positions along a window; their number may be open.
    Positions,
    /// Anything else: bases, filters, features, outputs, or an axis of 1.
    Fixed(usize),
}

/// Stage that the sequence has reached.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// One-hot columns within this padding.
    Sequence(Padding),
    /// The sums of a convolution, by its number in the walk; its filters are the only long fixed axis.
    Activations { convolution: usize, rectified: bool },
    /// Pooled activations, row-major over the fixed axes.
    Features(Vec<Feature>),
    /// Dense layers on features; the last one's outputs are the only long axis.
    Units { features: Vec<Feature>, layers: Vec<Layer>, sigmoid: bool },
}

/// One pooled number of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) convolution: usize,
    pub(crate) rectified: bool,
    pub(crate) average: bool,
    pub(crate) filter: usize,
}

/// A dense layer, and whether a rectifier follows it.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) dense: Dense,
    pub(crate) rectified: bool,
}

const MIXED: &str = "mixes positions with other axes";

impl Flow {
    /// Numbers that the description holds.
    pub(crate) fn size(&self) -> usize {
        match &self.stage {
            Stage::Sequence(_) | Stage::Activations { .. } => self.axes.len(),
            Stage::Features(features) => features.len(),
            Stage::Units { features, layers, .. } => {
                features.len() + layers.iter().map(|layer| layer.dense.weights.len()).sum::<usize>()
            }
        }
    }

    /// Length of the axis of positions, where the file fixes the window.
    pub(crate) fn positions(&self, window: Option<usize>, convolutions: &[Convolution]) -> Option<usize> {
        let window = window?;
        match &self.stage {
            Stage::Sequence(padding) => Some(window + padding.left + padding.right),
            Stage::Activations { convolution, .. } => {
                let Convolution { padding, length, .. } = &convolutions[*convolution];
                (window + padding.left + padding.right + 1).checked_sub(*length)
            }
            Stage::Features(_) | Stage::Units { .. } => None,
        }
    }

    /// An axis counted from the front, or from the back if negative.
    pub(crate) fn axis(&self, axis: i64) -> Result<usize, String> {
        resolve(axis, self.axes.len())
    }

    fn has_positions(&self) -> bool {
        self.axes.contains(&Axis::Positions)
    }

    fn fixed(&self) -> usize {
        self.axes.iter().map(|&axis| length(axis)).product()
    }

    pub(crate) fn with_axes(&self, axes: Vec<Axis>) -> Flow {
        Flow { axes, stage: self.stage.clone() }
    }

    pub(crate) fn flatten(&self, axis: i64) -> Result<Flow, String> {
        if self.axes.first() != Some(&Axis::Batch) || self.axis(axis)? != 1 || self.has_positions() {
            return Err(MIXED.into());
        }
        Ok(self.with_axes(vec![Axis::Batch, Axis::Fixed(self.fixed())]))
    }

    /// Drops axes of 1: those given, or all.
    pub(crate) fn squeeze(&self, axes: Option<Vec<i64>>) -> Result<Flow, String> {
        let given = axes.map(|axes| axes.iter().map(|&axis| self.axis(axis)).collect::<Result<Vec<_>, _>>());
        let given = given.transpose()?;
        let mut kept = Vec::new();
        for (i, &axis) in self.axes.iter().enumerate() {
            match (&given, axis == Axis::Fixed(1)) {
                (None, true) => {}
                (Some(given), unit) if given.contains(&i) => {
                    if !unit {
                        return Err("squeezes an axis that is not 1 long".into());
                    }
                }
                _ => kept.push(axis),
            }
        }
        Ok(self.with_axes(kept))
    }

    pub(crate) fn unsqueeze(&self, axes: Option<Vec<i64>>) -> Result<Flow, String> {
        let axes = axes.ok_or("has axes that are not constant")?;
        let rank = self.axes.len() + axes.len();
        let new = axes.iter().map(|&axis| resolve(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        let mut old = self.axes.iter();
        let axes =
            (0..rank).map(|i| if new.contains(&i) { Some(Axis::Fixed(1)) } else { old.next().copied() });
        let axes = axes.collect::<Option<Vec<_>>>().ok_or("repeats an axis")?;
        Ok(self.with_axes(axes))
    }

    pub(crate) fn transpose(&self, order: Option<Vec<i64>>) -> Result<Flow, String> {
        let rank = self.axes.len();
        let order = permutation(order, rank)?;
        let axes = order.iter().map(|&i| self.axes[i]).collect();
        let mut flow = self.with_axes(axes);
        let long = |axis: &&Axis| matches!(axis, Axis::Fixed(n) if *n > 1);
        if matches!(self.stage, Stage::Units { .. }) && self.axes.iter().filter(long).count() > 1 {
            return Err("puts the outputs of a dense layer in another order".into());
        }
        if let Stage::Features(features) = &self.stage {
            let lengths: Vec<usize> = self.axes.iter().map(|&axis| length(axis)).collect();
            flow.stage = Stage::Features(permute(features, &lengths, &order));
        }
        Ok(flow)
    }

    /// Another shape for the same numbers in the same order. A 0 in `target` copies the axis in its place if
    /// `zero_copies`; a -1 takes what is left.
    pub(crate) fn reshape(
        &self,
        target: &[i64],
        zero_copies: bool,
        batch: Option<usize>,
        positions: Option<usize>,
    ) -> Result<Flow, String> {
        if target.iter().filter(|&&dim| dim == -1).count() > 1 {
            return Err("leaves more than one dimension open".into());
        }
        let known = |axis: Axis| match axis {
            Axis::Batch => batch,
            Axis::Positions => positions,
            Axis::Fixed(n) => Some(n),
        };
        // True if the dimension at place `i` of the target can be that axis as it is.
        let stays = |i: usize, axis: Axis| match target[i] {
            -1 => true,
            0 => zero_copies && self.axes.get(i) == Some(&axis),
            BATCH => axis == Axis::Batch,
            POSITIONS => axis == Axis::Positions,
            dim => known(axis).is_some_and(|n| n as i64 == dim),
        };
        if self.has_positions() {
            return self.move_units(target, stays);
        }
        if self.axes.first() != Some(&Axis::Batch) || target.is_empty() || !stays(0, Axis::Batch) {
            return Err(MIXED.into());
        }
        let (mut axes, mut open) = (vec![Axis::Batch], None);
        let mut rest = self.fixed();
        for (i, &dim) in target.iter().enumerate().skip(1) {
            let dim = match (dim, self.axes.get(i)) {
                (0, Some(&Axis::Fixed(n))) if zero_copies => n,
                (-1, _) => {
                    open = Some(i);
                    1
                }
                (dim, _) => usize::try_from(dim).ok().filter(|&n| n > 0).ok_or(MIXED)?,
            };
            if !rest.is_multiple_of(dim) {
                return Err(MIXED.into());
            }
            rest /= dim;
            axes.push(Axis::Fixed(dim));
        }
        match open {
            Some(i) => axes[i] = Axis::Fixed(rest),
            None if rest != 1 => return Err(MIXED.into()),
            None => {}
        }
        Ok(self.with_axes(axes))
    }

    /// A reshape that only adds and drops axes of 1.
    fn move_units(&self, target: &[i64], stays: impl Fn(usize, Axis) -> bool) -> Result<Flow, String> {
        let mut long = self.axes.iter().copied().filter(|&axis| axis != Axis::Fixed(1)).peekable();
        let mut axes = Vec::with_capacity(target.len());
        for (i, &dim) in target.iter().enumerate() {
            let next = long.next_if(|&axis| stays(i, axis));
            let unit = dim == 1 || (dim == 0 && stays(i, Axis::Fixed(1)));
            axes.push(next.or(unit.then_some(Axis::Fixed(1))).ok_or(MIXED)?);
        }
        if long.next().is_some() { Err(MIXED.into()) } else { Ok(self.with_axes(axes)) }
    }
}

/// Features joined along an axis.
pub(crate) fn concat(parts: &[&Flow], axis: i64) -> Result<Flow, String> {
    let first = *parts.first().ok_or("joins nothing")?;
    let axis = first.axis(axis)?;
    if parts.iter().map(|part| part.size()).sum::<usize>() > BUDGET {
        return Err("joins too many features".into());
    }
    let outer: usize = first.axes[..axis].iter().map(|&axis| length(axis)).product();
    let (mut joined, mut total) = (Vec::new(), 0);
    let mut runs = Vec::with_capacity(parts.len());
    for part in parts {
        let (Stage::Features(features), Some(&Axis::Fixed(n))) = (&part.stage, part.axes.get(axis)) else {
            return Err("joins what is not pooled features".into());
        };
        let alike = |(i, (a, b)): (usize, (&Axis, &Axis))| i == axis || a == b;
        let same_rank = part.axes.len() == first.axes.len();
        if !same_rank || !part.axes.iter().zip(&first.axes).enumerate().all(alike) {
            return Err("joins features of different shapes".into());
        }
        runs.push((features, features.len() / outer.max(1)));
        total += n;
    }
    for i in 0..outer {
        for &(features, run) in &runs {
            joined.extend_from_slice(&features[i * run..(i + 1) * run]);
        }
    }
    let mut axes = first.axes.clone();
    axes[axis] = Axis::Fixed(total);
    Ok(Flow { axes, stage: Stage::Features(joined) })
}

fn length(axis: Axis) -> usize {
    if let Axis::Fixed(n) = axis { n } else { 1 }
}
