//! The inputs and outputs of a graph.

use std::fmt;

use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension::Value as DimValue;
use super::proto::type_proto::Value as TypeValue;
use super::proto::{GraphProto, ModelProto, ValueInfoProto};
use crate::model::onnx::receptive_field;
use crate::model::onnx::receptive_field::Axes;
use crate::model::{ACGT, Input, LONGEST_WINDOW, Layout};

/// Most outputs of a model. The largest networks on sequence have some 20,000 (Sei).
pub const MOST_OUTPUTS: usize = 1 << 16;
/// Most bases of a batch that a graph fixes (1 GiB as one-hot columns).
const LARGEST_BATCH: usize = 1 << 26;
/// Windows that are tried where a graph takes any: some fit the kernels and crops of most networks.
const TRIED_WINDOWS: [usize; 5] = [101, 1000, 2114, 1 << 14, 1 << 19];

/// A dimension as a file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A fixed length.
    Fixed(usize),
    /// A name, or nothing: any length.
    Free(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(length) => write!(f, "{length}"),
            Dim::Free(name) if name.is_empty() => f.write_str("?"),
            Dim::Free(name) => f.write_str(name),
        }
    }
}

/// `[N, 4, L]` and the like.
pub fn show_shape<T: fmt::Display>(dims: &[T]) -> String {
    let dims: Vec<String> = dims.iter().map(T::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// The graph's only input, with the layout that its shape shows.
///
/// # Errors
/// No input or several, another element type than float32, or a shape that is none of the [`Layout`]s, may be two of them,
/// or is larger than any network's.
pub fn input(graph: &GraphProto) -> Result<Input, String> {
    let initial = |value: &&ValueInfoProto| !graph.initializer.iter().any(|t| t.name() == value.name());
    let inputs: Vec<&ValueInfoProto> = graph.input.iter().filter(initial).collect();
    let [input] = inputs[..] else {
        let names: Vec<&str> = inputs.iter().map(|input| input.name()).collect();
        return Err(format!(
            "a model of one input is needed; this one has {}: {}",
            names.len(),
            names.join(", ")
        ));
    };
    let dims = float_shape(input)?.ok_or_else(|| format!("input `{}` has no shape", input.name()))?;
    let (layout, length) = layout(&dims)?;
    let batch = match dims[0] {
        Dim::Fixed(0) => return Err("the input takes batches of 0 windows".into()),
        Dim::Fixed(batch) => Some(batch),
        Dim::Free(_) => None,
    };
    let length = match dims[length] {
        Dim::Fixed(0) => return Err("the input takes windows of 0 bases".into()),
        Dim::Fixed(length) => Some(length),
        Dim::Free(_) => None,
    };
    let bases = batch.unwrap_or(1).saturating_mul(length.unwrap_or(1));
    if length.is_some_and(|length| length > LONGEST_WINDOW) || bases > LARGEST_BATCH {
        return Err(format!(
            "the input shape is {}; windows of {LONGEST_WINDOW} bases and batches of {LARGEST_BATCH} bases are the most",
            show_shape(&dims)
        ));
    }
    Ok(Input { name: input.name().to_owned(), layout, length, batch, channels: ACGT })
}

/// Layout and index of the dimension of positions.
pub(super) fn layout(dims: &[Dim]) -> Result<(Layout, usize), String> {
    let four = |i: usize| dims[i] == Dim::Fixed(4);
    let one = |i: usize| dims[i] == Dim::Fixed(1);
    let may_be_both = || {
        Err(format!(
            "the input shape {} does not say which axis is that of the 4 bases; export the model with a free or longer \
             window",
            show_shape(dims)
        ))
    };
    match dims.len() {
        3 if four(1) && four(2) => may_be_both(),
        3 if four(1) => Ok((Layout::ChannelsFirst, 2)),
        3 if four(2) => Ok((Layout::ChannelsLast, 1)),
        4 if (1..4).filter(|&i| four(i)).count() > 1 => may_be_both(),
        4 if one(1) && four(2) => Ok((Layout::ImageRows, 3)),
        4 if four(1) && one(2) => Ok((Layout::ImageChannels, 3)),
        4 if four(1) && one(3) => Ok((Layout::ImageColumns, 2)),
        4 if one(1) && four(3) => Ok((Layout::LastRows, 2)),
        4 if one(2) && four(3) => Ok((Layout::LastColumns, 1)),
        4 if four(2) && one(3) => Ok((Layout::LastImage, 1)),
        _ => Err(format!(
            "the input shape is {}; it must be [N, 4, L] or [N, L, 4], or one of these with a further axis of 1",
            show_shape(dims)
        )),
    }
}

/// An output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Values that a window gets (at each position, if there are positions), where that is known.
    pub values: Option<usize>,
    /// The axis of positions, of an output that has several.
    pub positions: Option<usize>,
    /// Number of its axes, where that is known.
    pub rank: Option<usize>,
}

/// Describes the output `name` of a model.
///
/// The meaning of its axes follows from the nodes between it and the input. Where they cannot be followed, the declared
/// shape decides if it can: `[N]`, `[N, outputs]`, or an axis that is free as that of the input's positions is.
///
/// # Errors
/// No such output, another element type than float32, axes that may be either, or more than [`MOST_OUTPUTS`].
pub fn output(
    model: &ModelProto,
    input: &Input,
    name: &str,
    window: Option<usize>,
) -> Result<Output, String> {
    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    let value = graph.output.iter().find(|output| output.name() == name);
    let value = value.ok_or_else(|| format!("the graph has no output `{name}`"))?;
    let declared = float_shape(value)?;
    let found = match input.length.or(window) {
        Some(window) => receptive_field::output_axes(model, input, name, window),
        None => tried(model, input, name),
    };
    let output = match (found, declared.as_deref()) {
        (Ok(Axes { values, positions, rank }), _) => {
            Output { name: name.to_owned(), values: Some(values), positions, rank: Some(rank) }
        }
        (Err(reason), declared) => as_declared(name, declared, input.length.is_none(), &reason)?,
    };
    match output.values {
        Some(0) => Err(format!("its output `{name}` has no values")),
        Some(values) if values > MOST_OUTPUTS => {
            Err(format!("its output `{name}` has {values} values a window; {MOST_OUTPUTS} are the most"))
        }
        _ => Ok(output),
    }
}

fn tried(model: &ModelProto, input: &Input, name: &str) -> Result<Axes, String> {
    let mut found = Err(String::new());
    for window in TRIED_WINDOWS {
        found = receptive_field::output_axes(model, input, name, window);
        if found.is_ok() {
            break;
        }
    }
    found
}

/// An output by its declared shape alone.
fn as_declared(name: &str, dims: Option<&[Dim]>, free: bool, reason: &str) -> Result<Output, String> {
    let output = |values, positions| {
        Ok(Output { name: name.to_owned(), values, positions, rank: dims.map(<[Dim]>::len) })
    };
    let one = |dim: &Dim| *dim == Dim::Fixed(1);
    match dims {
        None | Some([_, Dim::Free(_)]) => output(None, None),
        Some([_]) => output(Some(1), None),
        Some([_, Dim::Fixed(values)]) => output(Some(*values), None),
        Some([_, rest @ ..]) if !rest.is_empty() && rest.iter().all(one) => output(Some(1), None),
        Some([_, Dim::Fixed(values), Dim::Free(_)]) if free => output(Some(*values), Some(2)),
        Some([_, Dim::Free(_), Dim::Fixed(values)]) if free => output(Some(*values), Some(1)),
        Some(dims) => Err(format!(
            "the graph does not show which axis of its output `{name}`, {}, is that of positions ({reason}); export the \
             model with an output [N, outputs]",
            show_shape(dims)
        )),
    }
}

/// The declared shape of a float32 value; `None` if the file gives none.
pub fn float_shape(value: &ValueInfoProto) -> Result<Option<Vec<Dim>>, String> {
    let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(format!("`{}` is not a tensor", value.name()));
    };
    if tensor.elem_type() != DataType::Float as i32 {
        let found = DataType::try_from(tensor.elem_type()).unwrap_or_default();
        let (name, found) = (value.name(), found.as_str_name());
        return Err(format!(
            "`{name}` has elements of type {found}; FLOAT, FLOAT16, BFLOAT16 or DOUBLE is needed"
        ));
    }
    let Some(shape) = &tensor.shape else { return Ok(None) };
    let dims = shape.dim.iter().map(|dim| match &dim.value {
        Some(DimValue::DimValue(length)) => usize::try_from(*length)
            .map(Dim::Fixed)
            .map_err(|_| format!("`{}` has a dimension of {length}", value.name())),
        Some(DimValue::DimParam(name)) => Ok(Dim::Free(name.clone())),
        None => Ok(Dim::Free(String::new())),
    });
    dims.collect::<Result<_, _>>().map(Some)
}
