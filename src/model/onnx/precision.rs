//! Models in float16, bfloat16 or float64, made into the same models in float32.
//!
//! All engines compute in float32. Weights, constants, types and conversions are changed wherever they stand, so that the
//! graph takes and gives float32 and no operator sees another type.

use super::ModelProto;
use super::proto::tensor_proto::DataType;
use super::proto::type_proto::Value;
use super::proto::{AttributeProto, NodeProto, TensorProto, TypeProto};
use super::tensor::{Data, Tensor};
use super::visit::{Part, parts};

/// Attributes of ONNX's operators that name an element type.
const TYPE_ATTRIBUTES: [&str; 5] = ["to", "dtype", "stash_type", "output_dtype", "output_datatype"];

/// Makes the model one of float32. Returns the other types of floating-point numbers that it had.
///
/// # Errors
/// A number that float32 cannot hold, or a tensor that is damaged.
pub(super) fn to_single(model: &mut ModelProto) -> Result<Vec<DataType>, String> {
    let mut found = Vec::new();
    parts(model, &mut |part| {
        let mut note = |element: DataType| {
            if !found.contains(&element) {
                found.push(element);
            }
        };
        match part {
            Part::Tensor(tensor) => {
                return convert_tensor(tensor).map(|element| element.into_iter().for_each(note));
            }
            Part::Type(declared) => convert_type(declared, &mut note),
            Part::Node(node) => convert_attributes(node, &mut note),
        }
        Ok(())
    })?;
    Ok(found)
}

/// The floating-point type with this number, if it is not float32.
fn other_float(element: i32) -> Option<DataType> {
    let element = DataType::try_from(element).ok()?;
    matches!(element, DataType::Float16 | DataType::Bfloat16 | DataType::Double).then_some(element)
}

fn convert_tensor(tensor: &mut TensorProto) -> Result<Option<DataType>, String> {
    let Some(element) = other_float(tensor.data_type()) else { return Ok(None) };
    let fail = |reason: String| format!("tensor `{}`: {reason}", tensor.name());
    let read = Tensor::read(tensor).map_err(fail)?;
    if let Data::Floats(numbers) = &read.data
        && element == DataType::Double
        && numbers.iter().any(|number| number.is_infinite())
    {
        finite_doubles(tensor).map_err(fail)?;
    }
    let (name, written) = (tensor.name.take(), read.write(""));
    *tensor = TensorProto { name, doc_string: tensor.doc_string.take(), ..written };
    Ok(Some(element))
}

/// # Errors
/// A finite number that became infinite. The largest one stands for infinity in masks.
fn finite_doubles(tensor: &TensorProto) -> Result<(), String> {
    let raw = tensor.raw_data.as_deref().unwrap_or_default().as_chunks::<8>().0;
    let numbers =
        raw.iter().map(|&bytes| f64::from_le_bytes(bytes)).chain(tensor.double_data.iter().copied());
    let lost = |x: &f64| x.is_finite() && x.abs() < f64::MAX && (*x as f32).is_infinite();
    match numbers.into_iter().find(lost) {
        Some(number) => Err(format!("holds {number:e}, which is too large for float32")),
        None => Ok(()),
    }
}

fn convert_element(element: &mut Option<i32>, note: &mut impl FnMut(DataType)) {
    if let Some(other) = element.and_then(other_float) {
        *element = Some(DataType::Float as i32);
        note(other);
    }
}

fn convert_type(declared: &mut TypeProto, note: &mut impl FnMut(DataType)) {
    // Types within types are few levels deep: the decoder bounds them.
    let mut next = Some(declared);
    while let Some(declared) = next.take() {
        match &mut declared.value {
            Some(Value::TensorType(tensor)) => convert_element(&mut tensor.elem_type, note),
            Some(Value::SparseTensorType(tensor)) => convert_element(&mut tensor.elem_type, note),
            Some(Value::SequenceType(sequence)) => next = sequence.elem_type.as_deref_mut(),
            Some(Value::OptionalType(optional)) => next = optional.elem_type.as_deref_mut(),
            Some(Value::MapType(map)) => next = map.value_type.as_deref_mut(),
            Some(Value::OpaqueType(_)) | None => {}
        }
    }
}

fn convert_attributes(node: &mut NodeProto, note: &mut impl FnMut(DataType)) {
    if !super::is_default_domain(node.domain()) {
        return;
    }
    let named = |attribute: &&mut AttributeProto| TYPE_ATTRIBUTES.contains(&attribute.name());
    for attribute in node.attribute.iter_mut().filter(named) {
        let Some(other) = attribute.i.and_then(|element| other_float(i32::try_from(element).ok()?)) else {
            continue;
        };
        attribute.i = Some(DataType::Float as i64);
        note(other);
    }
}
