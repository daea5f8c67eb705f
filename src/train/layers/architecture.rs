//! The description of a network: its layers in order, as a TOML file or a name gives them, and their arithmetic.
//!
//! A network reads windows of one length. Its layers make numbers of shape positions × channels of it, and in the end a
//! row of numbers; a dense layer with one unit a target is added by itself.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::train::layers::named;
use crate::{Error, Result};

/// A network as it is described: without its weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Architecture {
    /// Form of the input in the ONNX file.
    pub input: InputForm,
    /// The layers, but for the output layer.
    pub layers: Vec<Layer>,
}

/// The TOML form, with the place of each layer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(default)]
    input: InputForm,
    layers: Vec<Spanned<toml::Value>>,
}

/// Form of a network's input, N windows of L bases. The arithmetic is the same: in two dimensions the first convolution
/// takes the four channels whole, so that what follows is one row high.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputForm {
    /// `[N, 4, L]`
    #[default]
    #[serde(rename = "1d")]
    Sequence,
    /// `[N, 1, 4, L]`: the channels are the rows of an image.
    #[serde(rename = "2d-rows")]
    Rows,
    /// `[N, 4, 1, L]`: the channels are those of an image one row high.
    #[serde(rename = "2d-channels")]
    Channels,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layer {
    /// A convolution along positions.
    Convolution {
        /// Channels that come out.
        filters: usize,
        /// Positions that a filter looks at.
        kernel: usize,
        /// Positions from one place of the filters to the next.
        #[serde(default = "one")]
        stride: usize,
        /// Distance between the positions that a filter looks at.
        #[serde(default = "one")]
        dilation: usize,
        /// Padding of a filter past the ends.
        #[serde(default)]
        padding: Padding,
        /// Parts into which channels are divided, each with filters of its own.
        #[serde(default = "one")]
        groups: usize,
    },
    /// Batch normalisation (Ioffe & Szegedy 2015): each channel to mean 0 and variance 1 over a batch, then scaled and
    /// shifted.
    BatchNorm {},
    /// A function of each number.
    Activation {
        /// The function.
        function: Function,
    },
    /// The maximum or mean of neighbouring positions.
    Pool {
        /// The kind.
        #[serde(default)]
        kind: PoolKind,
        /// Neighbouring positions.
        size: usize,
        /// Positions from one pool to the next; `size` if it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
        /// With `same` the pools at the ends have fewer positions; with `valid` positions left over are not looked at.
        #[serde(default)]
        padding: Padding,
    },
    /// The maximum or mean of all positions.
    GlobalPool {
        /// The kind.
        #[serde(default)]
        kind: PoolKind,
    },
    /// In training, numbers are left out with this probability, and the others made larger to match.
    Dropout {
        /// The probability.
        rate: f32,
    },
    /// Layers whose result is added to what went into them (He et al. 2015). Where they leave positions out, those of what
    /// went in are cut from both ends.
    Residual {
        /// The layers.
        layers: Vec<Layer>,
    },
    /// A recurrent layer along positions; it gives its state at every position.
    Recurrent {
        /// The kind of unit.
        cell: Cell,
        /// Units in each direction.
        units: usize,
        /// True if there are as many units that read from the end.
        #[serde(default = "yes")]
        bidirectional: bool,
    },
    /// All positions in one row.
    Flatten {},
    /// A layer of units that take everything.
    Dense {
        /// Units.
        units: usize,
    },
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// Padding of a layer past the ends of its positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Nothing: it is only placed where it fits.
    #[default]
    Valid,
    /// Zeros, so many that with stride 1 as many positions come out as go in; of an odd number one more at the end.
    Same,
}

/// A function of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// max(0, x)
    Relu,
    /// e^x (Koo & Ploenzke 2021: first layers learn whole motifs with it, whatever follows them)
    Exponential,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

/// Kind of pooling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// Their maximum.
    #[default]
    Max,
    /// Their mean.
    Avg,
}

/// A recurrent unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Long short-term memory (Hochreiter & Schmidhuber 1997).
    Lstm,
    /// Gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent product.
    Gru,
}

/// Shape of what a layer gives for one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Positions; `None` once there are none any more.
    pub positions: Option<usize>,
    /// Numbers at each position, or of the row.
    pub channels: usize,
}

/// Positions of a sliding layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slide {
    /// Positions looked at from each place.
    pub(crate) kernel: usize,
    /// Distance of the places.
    pub(crate) stride: usize,
    /// Distance of the positions looked at.
    pub(crate) dilation: usize,
    /// Positions that do not exist, before the first.
    pub(crate) before: usize,
    /// And after the last.
    pub(crate) after: usize,
}

impl Slide {
    /// The slide over `positions` positions, and how many places it has there.
    ///
    /// # Errors
    /// A kernel that spans more than there is.
    pub(crate) fn new(
        positions: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
    ) -> Result<(Slide, usize), String> {
        let span = (kernel - 1) * dilation + 1;
        match padding {
            Padding::Valid if span > positions => {
                Err(format!("spans {span} positions where there are {positions}"))
            }
            Padding::Valid => {
                let slide = Slide { kernel, stride, dilation, before: 0, after: 0 };
                Ok((slide, (positions - span) / stride + 1))
            }
            Padding::Same => {
                let places = positions.div_ceil(stride);
                let all = ((places - 1) * stride + span).saturating_sub(positions);
                Ok((Slide { kernel, stride, dilation, before: all / 2, after: all - all / 2 }, places))
            }
        }
    }
}

/// Most filters, units or positions of a layer.
const MOST: usize = 1 << 16;
/// Most numbers that a layer may fit.
const MOST_WEIGHTS: usize = 1 << 28;
/// Residual layers within residual layers, at most.
const DEEPEST: usize = 8;

impl Architecture {
    /// The network with this name, or described by this TOML file.
    ///
    /// # Errors
    /// A name that is none, a file that cannot be read, and one that describes no network.
    pub fn find(name: &str) -> Result<Architecture> {
        if let Some(architecture) = named::find(name) {
            return Ok(architecture);
        }
        let path = Path::new(name);
        if !name.ends_with(".toml") && !path.exists() {
            let names = named::NAMES.join(", ");
            return Err(Error::Request(format!(
                "unknown architecture {name}; known: {names}, or a TOML file"
            )));
        }
        let text = fs::read_to_string(path).map_err(Error::io(path, "cannot read"))?;
        Architecture::parse(&text).map_err(|(line, message)| Error::format(path, line, message))
    }

    /// Reads the TOML form.
    ///
    /// # Errors
    /// The line, where it is known, and what is wrong there; of a residual layer, its first line.
    pub fn parse(text: &str) -> Result<Architecture, (Option<u64>, String)> {
        let wrong = |span: Option<Range<usize>>, message: &str| {
            let before = span.and_then(|span| text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count() as u64 + 1);
            (line, message.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let Description { input, layers } =
            toml::from_str(text).map_err(|error| wrong(error.span(), error.message()))?;
        let layer = |layer: Spanned<toml::Value>| {
            let span = layer.span();
            layer.into_inner().try_into().map_err(|error: toml::de::Error| wrong(Some(span), error.message()))
        };
        Ok(Architecture { input, layers: layers.into_iter().map(layer).collect::<Result<_, _>>()? })
    }

    /// The shape after each layer for windows of `window` bases.
    ///
    /// # Errors
    /// The first layer that does not fit, by its number and kind, and what to do about it.
    pub fn shapes(&self, window: usize) -> Result<Vec<Shape>, String> {
        if self.layers.is_empty() {
            return Err("the network has no layers".into());
        }
        if window == 0 || window > 1 << 24 {
            return Err(format!("windows of {window} bases cannot be read"));
        }
        if self.input == InputForm::Rows && !matches!(self.layers[0], Layer::Convolution { groups: 1, .. }) {
            return Err("layer 1: input 2d-rows needs a convolution first, with one group".into());
        }
        let mut shape = Shape { positions: Some(window), channels: 4 };
        let mut shapes = Vec::with_capacity(self.layers.len());
        for (rank, layer) in self.layers.iter().enumerate() {
            let number = rank + 1;
            shape = layer.shape(shape, 0).map_err(|e| format!("layer {number} ({}): {e}", layer.name()))?;
            shapes.push(shape);
        }
        if shape.positions.is_some() {
            return Err("the network ends with positions; put global-pool or flatten at its end".into());
        }
        Ok(shapes)
    }

    /// True if a layer sees zeros past the ends of a window.
    pub fn is_padded(&self) -> bool {
        fn padded(layer: &Layer) -> bool {
            match layer {
                Layer::Convolution { padding, kernel, .. } => *padding == Padding::Same && *kernel > 1,
                Layer::Pool { padding, .. } => *padding == Padding::Same,
                Layer::Residual { layers } => layers.iter().any(padded),
                _ => false,
            }
        }
        self.layers.iter().any(padded)
    }

    /// True if the network can be asked about windows of other lengths than the one it was fitted to.
    pub fn takes_any_length(&self) -> bool {
        !self.layers.iter().any(|layer| matches!(layer, Layer::Flatten {}))
    }

    /// The network with another function after its first convolution, if there is one.
    pub fn with_first_function(mut self, wanted: Function) -> Architecture {
        let function = self.layers.iter_mut().find_map(|layer| match layer {
            Layer::Activation { function } => Some(function),
            _ => None,
        });
        function.into_iter().for_each(|function| *function = wanted);
        self
    }
}

impl Layer {
    /// Its kind, as in the TOML form.
    pub fn name(&self) -> &'static str {
        match self {
            Layer::Convolution { .. } => "convolution",
            Layer::BatchNorm {} => "batch-norm",
            Layer::Activation { .. } => "activation",
            Layer::Pool { .. } => "pool",
            Layer::GlobalPool { .. } => "global-pool",
            Layer::Dropout { .. } => "dropout",
            Layer::Residual { .. } => "residual",
            Layer::Recurrent { .. } => "recurrent",
            Layer::Flatten {} => "flatten",
            Layer::Dense { .. } => "dense",
        }
    }

    /// The shape after it, where `shape` goes in, `depth` residual layers deep.
    pub(crate) fn shape(&self, shape: Shape, depth: usize) -> Result<Shape, String> {
        let positions = || {
            shape.positions.ok_or_else(|| {
                "the layer needs positions, but it follows a global pool or flatten; move it before that"
                    .to_owned()
            })
        };
        let Shape { channels, .. } = shape;
        let with = |positions: usize, channels: usize| Shape { positions: Some(positions), channels };
        match *self {
            Layer::Convolution { filters, kernel, stride, dilation, padding, groups } => {
                within(&[("filters", filters), ("kernel", kernel), ("stride", stride)])?;
                within(&[("dilation", dilation), ("groups", groups)])?;
                if channels % groups != 0 || filters % groups != 0 {
                    return Err(format!(
                        "{groups} groups do not divide {channels} channels and {filters} filters"
                    ));
                }
                affordable(kernel.saturating_mul(channels / groups).saturating_mul(filters))?;
                let (_, places) = Slide::new(positions()?, kernel, stride, dilation, padding)?;
                Ok(with(places, filters))
            }
            Layer::BatchNorm {} | Layer::Activation { .. } => Ok(shape),
            Layer::Pool { size, stride, padding, .. } => {
                let stride = stride.unwrap_or(size);
                within(&[("size", size), ("stride", stride)])?;
                let (_, places) = Slide::new(positions()?, size, stride, 1, padding)?;
                Ok(with(places, channels))
            }
            Layer::GlobalPool { .. } => {
                positions()?;
                Ok(Shape { positions: None, channels })
            }
            Layer::Dropout { rate } if (0.0..1.0).contains(&rate) => Ok(shape),
            Layer::Dropout { rate } => Err(format!("rate {rate} is not within 0 to 1")),
            Layer::Residual { ref layers } => residual(layers, shape, depth),
            Layer::Recurrent { units, bidirectional, .. } => {
                within(&[("units", units)])?;
                affordable((units + channels).saturating_mul(4 * units))?;
                Ok(with(positions()?, if bidirectional { 2 * units } else { units }))
            }
            Layer::Flatten {} => {
                Ok(Shape { positions: None, channels: positions()?.saturating_mul(channels) })
            }
            Layer::Dense { units } => {
                within(&[("units", units)])?;
                affordable(units.saturating_mul(channels))?;
                match shape.positions {
                    Some(_) => Err("there are positions; put global-pool or flatten before it".into()),
                    None => Ok(Shape { positions: None, channels: units }),
                }
            }
        }
    }
}

fn residual(layers: &[Layer], shape: Shape, depth: usize) -> Result<Shape, String> {
    if layers.is_empty() || depth == DEEPEST {
        return Err("has no layers, or too many within each other".into());
    }
    let mut inner = shape;
    for (rank, layer) in layers.iter().enumerate() {
        let strided = match *layer {
            Layer::Convolution { stride, .. } => stride > 1,
            Layer::Pool { size, stride, .. } => stride.unwrap_or(size) > 1,
            _ => false,
        };
        let fail = |e: &str| format!("its layer {} ({}): {e}", rank + 1, layer.name());
        if strided {
            return Err(fail("layers in a residual block must have stride 1"));
        }
        inner = layer.shape(inner, depth + 1).map_err(|e| fail(&e))?;
    }
    if inner.channels != shape.channels {
        return Err(format!(
            "{} channels come out where {} go in; end it with a convolution of {} filters",
            inner.channels, shape.channels, shape.channels
        ));
    }
    match (shape.positions, inner.positions) {
        (Some(before), Some(after)) if (before - after) % 2 == 1 => {
            Err(format!("{before} positions become {after}, which cannot be centred; use odd kernels"))
        }
        (Some(_), None) => Err("no positions come out".into()),
        _ => Ok(inner),
    }
}

fn within(values: &[(&str, usize)]) -> Result<(), String> {
    match values.iter().find(|(_, value)| !(1..=MOST).contains(value)) {
        Some((what, value)) => Err(format!("{what} {value} is not within 1 to {MOST}")),
        None => Ok(()),
    }
}

fn affordable(weights: usize) -> Result<(), String> {
    if weights > MOST_WEIGHTS {
        return Err(format!("has {weights} weights; {MOST_WEIGHTS} are the most"));
    }
    Ok(())
}
