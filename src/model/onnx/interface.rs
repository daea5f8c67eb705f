//! What goes into a graph and what comes out.

use std::fmt;

use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension::Value as DimValue;
use super::proto::type_proto::Value as TypeValue;
use super::proto::{GraphProto, ValueInfoProto};
use crate::model::{ACGT, Input, Layout};

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
/// No input or several, another element type than float32, or a shape that is none of the four layouts or may be
/// two of them.
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
    Ok(Input { name: input.name().to_owned(), layout, length, batch, channels: ACGT })
}

/// Layout and index of the dimension of positions.
fn layout(dims: &[Dim]) -> Result<(Layout, usize), String> {
    let four = |i: usize| dims[i] == Dim::Fixed(4);
    let one = |i: usize| dims[i] == Dim::Fixed(1);
    match dims.len() {
        3 if four(1) && four(2) => Err(format!(
            "the input shape {} may be [N, 4, L] or [N, L, 4]; export the model with a free or longer window",
            show_shape(dims)
        )),
        3 if four(1) => Ok((Layout::ChannelsFirst, 2)),
        3 if four(2) => Ok((Layout::ChannelsLast, 1)),
        4 if one(1) && four(2) => Ok((Layout::ImageRows, 3)),
        4 if four(1) && one(2) => Ok((Layout::ImageChannels, 3)),
        _ => Err(format!(
            "the input shape is {}; it must be [N, 4, L], [N, L, 4], [N, 1, 4, L] or [N, 4, 1, L]",
            show_shape(dims)
        )),
    }
}

/// A graph's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Values that a window gets (at each position, if there are positions), where the file declares it.
    pub values: Option<usize>,
    /// The axis of positions, of an output at base resolution: `[N, values, positions]` or `[N, positions, values]`.
    pub positions: Option<usize>,
}

/// The graph's output: the one named `score`, or the first.
///
/// Of two axes that of positions is the one that is not fixed, or the longer one.
///
/// # Errors
/// No output, another element type than float32, or axes that may be either.
pub fn output(graph: &GraphProto) -> Result<Output, String> {
    let named = graph.output.iter().find(|output| output.name() == super::build::OUTPUT);
    let output = named.or(graph.output.first()).ok_or("the graph has no output")?;
    let (values, positions) = match float_shape(output)?.as_deref() {
        None | Some([_, Dim::Free(_)]) => (None, None),
        Some([_]) => (Some(1), None),
        Some([_, Dim::Fixed(values)]) if *values > 0 => (Some(*values), None),
        Some([_, Dim::Fixed(values), Dim::Free(_)]) if *values > 0 => (Some(*values), Some(2)),
        Some([_, Dim::Free(_), Dim::Fixed(values)]) if *values > 0 => (Some(*values), Some(1)),
        Some([_, Dim::Fixed(a), Dim::Fixed(b)]) if *a > 0 && a < b => (Some(*a), Some(2)),
        Some([_, Dim::Fixed(a), Dim::Fixed(b)]) if *b > 0 && b < a => (Some(*b), Some(1)),
        Some(dims) => {
            let shape = show_shape(dims);
            let allowed =
                "[N], [N, outputs], or at base resolution [N, outputs, positions] or [N, positions, outputs]";
            return Err(format!("the output shape is {shape}; it must be {allowed}"));
        }
    };
    Ok(Output { name: output.name().to_owned(), values, positions })
}

/// The declared shape of a float32 value; `None` if the file gives none.
pub fn float_shape(value: &ValueInfoProto) -> Result<Option<Vec<Dim>>, String> {
    let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(format!("`{}` is not a tensor", value.name()));
    };
    if tensor.elem_type() != DataType::Float as i32 {
        let found = DataType::try_from(tensor.elem_type()).unwrap_or_default();
        let (name, found) = (value.name(), found.as_str_name());
        return Err(format!("`{name}` has elements of type {found}; FLOAT is needed"));
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
