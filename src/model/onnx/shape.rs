//! The shape of a tensor that comes from the sequence: what each of its axes runs over.

use super::constant::BATCH;
use super::tensor::{permutation, resolve};
use crate::model::Layout;

/// Most channels of a tensor.
const MOST_CHANNELS: usize = 1 << 20;

const MIXED: &str = "mixes positions with other axes";
const JOINS_WINDOWS: &str = "joins windows with other axes";

/// Quantity that an axis of a tensor runs over. An axis may run over several, the last one fastest; an axis of 1 runs over
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Windows,
    Channels,
    Positions,
    /// The two ways in which a recurrent layer reads.
    Directions,
}

/// A tensor as it is for windows of a known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) axes: Vec<Vec<Over>>,
    pub(super) channels: usize,
    /// Positions within a window.
    pub(super) positions: usize,
    /// 2 between a recurrent layer that reads both ways and the layer that joins them; 1 elsewhere.
    pub(super) directions: usize,
}

impl Shape {
    /// The shape of the input.
    pub(super) fn sequence(layout: Layout, window: usize) -> Shape {
        use Over::{Channels, Positions, Windows};
        let axes = match layout {
            Layout::ChannelsFirst => vec![vec![Windows], vec![Channels], vec![Positions]],
            Layout::ChannelsLast => vec![vec![Windows], vec![Positions], vec![Channels]],
            Layout::ImageRows => vec![vec![Windows], vec![], vec![Channels], vec![Positions]],
            Layout::ImageChannels => vec![vec![Windows], vec![Channels], vec![], vec![Positions]],
            Layout::ImageColumns => vec![vec![Windows], vec![Channels], vec![Positions], vec![]],
            Layout::LastRows => vec![vec![Windows], vec![], vec![Positions], vec![Channels]],
            Layout::LastColumns => vec![vec![Windows], vec![Positions], vec![], vec![Channels]],
            Layout::LastImage => vec![vec![Windows], vec![Positions], vec![Channels], vec![]],
        };
        Shape { axes, channels: 4, positions: window, directions: 1 }.tidy()
    }

    /// Without what an axis runs over once only, and with the directions among the channels where they share an axis.
    pub(super) fn tidy(mut self) -> Shape {
        let joined = [Over::Directions, Over::Channels];
        if self.axes.iter().any(|axis| *axis == joined) {
            self.channels = self.channels.saturating_mul(self.directions);
            self.directions = 1;
        }
        let lengths = self.clone();
        for axis in &mut self.axes {
            axis.retain(|over| lengths.run(*over) != Some(1));
        }
        self
    }

    /// Refuses more channels than a network has: bounds the work on a graph made to explode.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.channels > MOST_CHANNELS { Err(format!("gives {} channels", self.channels)) } else { Ok(()) }
    }

    /// The same numbers under other axes.
    pub(super) fn with_axes(&self, axes: Vec<Vec<Over>>) -> Shape {
        Shape { axes, ..*self }
    }

    pub(super) fn axis(&self, axis: i64) -> Result<usize, String> {
        resolve(axis, self.axes.len())
    }

    /// Length, if it is not that of the windows.
    fn run(&self, over: Over) -> Option<usize> {
        match over {
            Over::Windows => None,
            Over::Channels => Some(self.channels),
            Over::Positions => Some(self.positions),
            Over::Directions => Some(self.directions),
        }
    }

    /// Length of an axis that does not run over windows.
    pub(super) fn length(&self, axis: &[Over]) -> Option<usize> {
        axis.iter().map(|&over| self.run(over)).product()
    }

    /// Lengths of the axes; that of windows is marked unless the file fixes it.
    pub(super) fn dims(&self, batch: Option<usize>) -> Vec<i64> {
        let windows = batch.map_or(BATCH, |n| n as i64);
        self.axes.iter().map(|axis| self.length(axis).map_or(windows, |n| n as i64)).collect()
    }

    /// True if the axes are windows, channels and then others.
    pub(super) fn has_channels_second(&self) -> bool {
        self.axes.first().is_some_and(|axis| *axis == [Over::Windows])
            && self.axes.get(1).is_some_and(|axis| *axis == [Over::Channels] || self.channels == 1)
    }

    pub(super) fn flatten(&self, axis: i64) -> Result<Shape, String> {
        if self.axes.first().is_none_or(|axis| *axis != [Over::Windows]) || self.axis(axis)? != 1 {
            return Err(JOINS_WINDOWS.into());
        }
        Ok(self.with_axes(vec![vec![Over::Windows], self.axes[1..].concat()]))
    }

    pub(super) fn squeeze(&self, given: Option<Vec<i64>>) -> Result<Shape, String> {
        let given = given.map(|axes| axes.iter().map(|&axis| self.axis(axis)).collect::<Result<Vec<_>, _>>());
        let given = given.transpose()?;
        if given.iter().flatten().any(|&i| !self.axes[i].is_empty()) {
            return Err("squeezes an axis that is not 1 long".into());
        }
        let dropped = |i: usize| given.as_ref().map_or(self.axes[i].is_empty(), |given| given.contains(&i));
        let kept = self.axes.iter().enumerate().filter(|&(i, _)| !dropped(i)).map(|(_, axis)| axis.clone());
        Ok(self.with_axes(kept.collect()))
    }

    pub(super) fn unsqueeze(&self, axes: Option<Vec<i64>>) -> Result<Shape, String> {
        let axes = axes.ok_or("names no axes")?;
        let rank = self.axes.len() + axes.len();
        let new = axes.iter().map(|&axis| resolve(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        let mut old = self.axes.iter().cloned();
        let axes = (0..rank).map(|i| if new.contains(&i) { Some(Vec::new()) } else { old.next() });
        Ok(self.with_axes(axes.collect::<Option<_>>().ok_or("repeats an axis")?))
    }

    pub(super) fn transpose(&self, order: Option<Vec<i64>>) -> Result<Shape, String> {
        let order = permutation(order, self.axes.len())?;
        Ok(self.with_axes(order.iter().map(|&i| self.axes[i].clone()).collect()))
    }

    /// Another shape for the same numbers in the same order: axes are split and joined as wholes, and windows stay by
    /// themselves. A 0 in `target` copies the axis in its place if `zero_copies`; a -1 takes what is left.
    pub(super) fn reshape(
        &self,
        target: &[i64],
        zero_copies: bool,
        batch: Option<usize>,
    ) -> Result<Shape, String> {
        let dims = self.dims(batch);
        let copied = |(i, &dim): (usize, &i64)| match dim {
            0 if zero_copies => dims.get(i).copied().ok_or(MIXED),
            dim => Ok(dim),
        };
        let target = target.iter().enumerate().map(copied).collect::<Result<Vec<_>, _>>()?;
        let windows = batch.map_or(BATCH, |n| n as i64);
        let product = |dims: &[i64]| {
            let counted = dims.iter().filter(|&&dim| dim != -1 && dim != BATCH);
            counted.fold(1, |product: i64, &dim| product.saturating_mul(dim))
        };
        let left = product(&dims).checked_div(product(&target)).ok_or(MIXED)?;
        let mut overs = self.axes.iter().flatten().copied().peekable();
        let mut axes = Vec::with_capacity(target.len());
        for dim in target {
            if overs.peek() == Some(&Over::Windows) && (dim == -1 || dim == windows) {
                axes.extend(overs.next().map(|over| vec![over]));
                continue;
            }
            let dim = if dim == -1 { left } else { dim };
            let (mut axis, mut length) = (Vec::new(), 1);
            while length < dim {
                let over = overs.next().ok_or(MIXED)?;
                length *= self.run(over).ok_or(JOINS_WINDOWS)? as i64;
                axis.push(over);
            }
            if length != dim {
                return Err(MIXED.into());
            }
            axes.push(axis);
        }
        if overs.next().is_some() { Err(MIXED.into()) } else { Ok(self.with_axes(axes)) }
    }
}
