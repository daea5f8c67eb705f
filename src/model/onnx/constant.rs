//! Attributes of nodes, and operations on constants: exporters compute shapes and paddings in the graph.

use super::attribute;
use super::proto::NodeProto;
use super::proto::tensor_proto::DataType;
use super::tensor::{Data, Tensor, permutation, permute, resolve};
use super::value::Inputs;

/// Stands for the number of windows among the dimensions that a `Shape` node gives.
pub(in crate::model) const BATCH: i64 = i64::MIN;
/// Stands there for a number of positions that no file fixes.
pub(in crate::model) const POSITIONS: i64 = i64::MIN + 1;

/// Longest result of folding; weights proper are initialisers and need none.
const LARGEST_FOLDED: usize = 1 << 20;
/// Longest list of axes or dimensions.
const LARGEST_RANK: usize = 8;

pub(in crate::model) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).and_then(|a| a.i).unwrap_or(default)
}

pub(in crate::model) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).and_then(|a| a.f).unwrap_or(default)
}

pub(in crate::model) fn ints(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    attribute(node, name).map(|a| a.ints.clone())
}

pub(in crate::model) fn string<'a>(node: &'a NodeProto, name: &str, default: &'a str) -> &'a str {
    attribute(node, name).and_then(|a| str::from_utf8(a.s()).ok()).unwrap_or(default)
}

/// The axes a node names: an attribute in older operator sets, its second input in newer ones.
pub(in crate::model) fn axes<F>(
    node: &NodeProto,
    inputs: &Inputs<'_, F>,
    old: bool,
) -> Result<Option<Vec<i64>>, String> {
    let axes = match inputs.get(1) {
        _ if old => ints(node, "axes"),
        None => None,
        Some(_) => Some(list(inputs, 1)?.to_vec()),
    };
    match axes {
        Some(axes) if axes.len() > LARGEST_RANK => Err(format!("names {} axes", axes.len())),
        axes => Ok(axes),
    }
}

/// An input that must be constant integers.
pub(in crate::model) fn list<'a, F>(inputs: &'a Inputs<'_, F>, i: usize) -> Result<&'a [i64], String> {
    inputs
        .constant(i)
        .and_then(Tensor::as_ints)
        .ok_or_else(|| "has axes, a shape or a padding that is not a constant of integers".into())
}

/// The result of a node whose inputs are all constant, if it is one of the operations that exporters leave there.
pub(in crate::model) fn fold<F>(
    node: &NodeProto,
    inputs: &Inputs<'_, F>,
    opset: i64,
) -> Result<Option<Tensor>, String> {
    let op = node.op_type();
    if op == "Constant" {
        return constant(node).map(Some);
    }
    let Some(parts) = inputs.constants() else { return Ok(None) };
    let Some(&first) = parts.first() else { return Ok(None) };
    if parts.iter().map(|part| part.data.len()).sum::<usize>() > LARGEST_FOLDED {
        return Err("computes with constants that are too long to be followed".into());
    }
    let rank = first.dims.len();
    Ok(Some(match op {
        "Identity" => first.clone(),
        "Cast" => Tensor { dims: first.dims.clone(), data: cast(&first.data, int(node, "to", 0))? },
        "Shape" => Tensor::ints(first.dims.iter().map(|&n| n as i64).collect()),
        "Reshape" => {
            let zero_copies = int(node, "allowzero", 0) == 0;
            Tensor { dims: reshaped(first, list(inputs, 1)?, zero_copies)?, data: first.data.clone() }
        }
        "Squeeze" => {
            let axes = axes(node, inputs, opset < 13)?;
            let axes = axes.map(|axes| axes.iter().map(|&a| resolve(a, rank)).collect::<Result<Vec<_>, _>>());
            let axes = axes.transpose()?;
            let dropped = |i: usize, n: usize| n == 1 && axes.as_ref().is_none_or(|axes| axes.contains(&i));
            let kept = first.dims.iter().enumerate().filter(|&(i, &n)| !dropped(i, n)).map(|(_, &n)| n);
            Tensor { dims: kept.collect(), data: first.data.clone() }
        }
        "Unsqueeze" => {
            let axes = axes(node, inputs, opset < 13)?.ok_or("names no axes")?;
            let rank = rank + axes.len();
            let axes = axes.iter().map(|&a| resolve(a, rank)).collect::<Result<Vec<_>, _>>()?;
            let mut old = first.dims.iter().copied();
            let dims = (0..rank).map(|i| if axes.contains(&i) { Some(1) } else { old.next() });
            Tensor { dims: dims.collect::<Option<_>>().ok_or("repeats an axis")?, data: first.data.clone() }
        }
        "Transpose" => {
            let order = permutation(ints(node, "perm"), rank)?;
            let places: Vec<usize> = (0..first.data.len()).collect();
            let data = first.data.select(&permute(&places, &first.dims, &order));
            Tensor { dims: order.iter().map(|&i| first.dims[i]).collect(), data }
        }
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Neg" if first.as_ints().is_some() => {
            arithmetic(op, &parts)?
        }
        "Concat" => concat(&parts, int(node, "axis", 0))?,
        "Gather" => gather(first, inputs, int(node, "axis", 0))?,
        "Slice" if opset >= 10 => slice(first, inputs)?,
        "ConstantOfShape" => {
            let dims = list(inputs, 0)?.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
            let dims = dims.filter(|dims| dims.len() <= LARGEST_RANK).ok_or("has a shape that cannot be")?;
            let count = dims.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
            let count =
                count.filter(|&count| count <= LARGEST_FOLDED).ok_or("has a shape that is too large")?;
            match attribute(node, "value").and_then(|a| a.t.as_ref()).map(Tensor::read).transpose()? {
                None => Tensor::floats(dims, vec![0.0; count]),
                Some(value) if value.data.len() == 1 => {
                    Tensor { dims, data: value.data.select(&vec![0; count]) }
                }
                Some(_) => return Err("has a value that is not one number".into()),
            }
        }
        _ => return Ok(None),
    }))
}

/// True if the node hands its first input on as it is.
///
/// # Errors
/// A conversion to another type than f32, and a dropout that drops.
pub(in crate::model) fn hands_on<F>(node: &NodeProto, inputs: &Inputs<'_, F>) -> Result<bool, String> {
    match node.op_type() {
        "Identity" => Ok(true),
        "Cast" if int(node, "to", 0) == DataType::Float as i64 => Ok(true),
        "Cast" => Err("leaves float32".into()),
        "Dropout" => match inputs.get(2).map(|_| inputs.constant(2).and_then(Tensor::as_ints)) {
            None | Some(Some([0])) => Ok(true),
            _ => Err("is in training mode".into()),
        },
        _ => Ok(false),
    }
}

/// The part of a tensor's `dims` that a `Shape` node gives.
pub(in crate::model) fn shape(node: &NodeProto, dims: &[i64]) -> Tensor {
    let end = |name, default| {
        let at = int(node, name, default);
        let at = if at < 0 { at.saturating_add(dims.len() as i64) } else { at };
        at.clamp(0, dims.len() as i64) as usize
    };
    let (start, stop) = (end("start", 0), end("end", i64::MAX));
    Tensor::ints(dims.get(start..stop).unwrap_or_default().to_vec())
}

fn constant(node: &NodeProto) -> Result<Tensor, String> {
    let [value] = &node.attribute[..] else { return Err("has no value".into()) };
    match value.name() {
        "value" => Tensor::read(value.t.as_ref().ok_or("has no value")?),
        "value_float" => Ok(Tensor::floats([], vec![value.f()])),
        "value_floats" => Ok(Tensor::floats([value.floats.len()], value.floats.clone())),
        "value_int" => Ok(Tensor { dims: Vec::new(), data: Data::Ints(vec![value.i()]) }),
        "value_ints" => Ok(Tensor::ints(value.ints.clone())),
        other => Err(format!("has a `{other}`")),
    }
}

fn cast(data: &Data, to: i64) -> Result<Data, String> {
    let to = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok()).unwrap_or_default();
    Ok(match (to, data) {
        (DataType::Int64 | DataType::Int32, Data::Ints(x)) => Data::Ints(x.clone()),
        (DataType::Int64 | DataType::Int32, Data::Floats(x)) => {
            Data::Ints(x.iter().map(|&x| x as i64).collect())
        }
        (DataType::Float | DataType::Double, Data::Floats(x)) => Data::Floats(x.clone()),
        (DataType::Float | DataType::Double, Data::Ints(x)) => {
            Data::Floats(x.iter().map(|&x| x as f32).collect())
        }
        _ => return Err(format!("converts to {}", to.as_str_name())),
    })
}

fn reshaped(tensor: &Tensor, target: &[i64], zero_copies: bool) -> Result<Vec<usize>, String> {
    let wrong = || format!("gives {:?} the shape {target:?}", tensor.dims);
    if target.len() > LARGEST_RANK {
        return Err("has a shape of too many dimensions".into());
    }
    let mut dims = Vec::with_capacity(target.len());
    let mut known = 1usize;
    for (i, &dim) in target.iter().enumerate() {
        let dim = match dim {
            -1 => 1,
            0 if zero_copies => *tensor.dims.get(i).ok_or_else(wrong)?,
            dim => usize::try_from(dim).map_err(|_| wrong())?,
        };
        known = known.checked_mul(dim).ok_or_else(wrong)?;
        dims.push(dim);
    }
    let count = tensor.data.len();
    if let Some(open) = target.iter().position(|&dim| dim == -1) {
        dims[open] = count.checked_div(known).ok_or_else(wrong)?;
        known *= dims[open];
    }
    if known == count { Ok(dims) } else { Err(wrong()) }
}

/// Places of the entries of `dims` whose index on `axis` is one of `indices`, in this order.
fn places(dims: &[usize], axis: usize, indices: &[usize]) -> Result<Vec<usize>, String> {
    let (outer, inner): (usize, usize) = (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
    if outer.saturating_mul(indices.len()).saturating_mul(inner) > LARGEST_FOLDED {
        return Err("takes too many constants".into());
    }
    let run = |o: usize, i: usize| (o * dims[axis] + i) * inner..(o * dims[axis] + i + 1) * inner;
    Ok((0..outer).flat_map(|o| indices.iter().flat_map(move |&i| run(o, i))).collect())
}

fn gather<F>(tensor: &Tensor, inputs: &Inputs<'_, F>, axis: i64) -> Result<Tensor, String> {
    let axis = resolve(axis, tensor.dims.len())?;
    let length = tensor.dims[axis];
    let indices = list(inputs, 1)?.iter().map(|&i| resolve(i, length)).collect::<Result<Vec<_>, _>>()?;
    let data = tensor.data.select(&places(&tensor.dims, axis, &indices)?);
    let shape = inputs.constant(1).map_or(&[][..], |indices| &indices.dims);
    let dims = [&tensor.dims[..axis], shape, &tensor.dims[axis + 1..]].concat();
    Ok(Tensor { dims, data })
}

fn slice<F>(tensor: &Tensor, inputs: &Inputs<'_, F>) -> Result<Tensor, String> {
    let (starts, ends) = (list(inputs, 1)?, list(inputs, 2)?);
    let all_axes: Vec<i64> = (0..starts.len() as i64).collect();
    let axes = if inputs.get(3).is_some() { list(inputs, 3)? } else { &all_axes };
    let ones = vec![1; starts.len()];
    let steps = if inputs.get(4).is_some() { list(inputs, 4)? } else { &ones };
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > LARGEST_RANK {
        return Err("has starts, ends, axes and steps of different lengths".into());
    }
    let mut tensor = tensor.clone();
    for i in 0..starts.len() {
        let axis = resolve(axes[i], tensor.dims.len())?;
        let indices = steps_between(tensor.dims[axis] as i64, starts[i], ends[i], steps[i])?;
        tensor.data = tensor.data.select(&places(&tensor.dims, axis, &indices)?);
        tensor.dims[axis] = indices.len();
    }
    Ok(tensor)
}

/// The indices from `start` to before `end` in steps of `step`, on an axis of this length.
fn steps_between(length: i64, start: i64, end: i64, step: i64) -> Result<Vec<usize>, String> {
    let from_front = |i: i64| if i < 0 { i.saturating_add(length) } else { i };
    let (low, high) = match step {
        1.. => (0, length),
        0 => return Err("has a step of 0".into()),
        _ if length == 0 => return Ok(Vec::new()),
        _ => (-1, length - 1),
    };
    let (mut i, end) = (from_front(start).clamp(low.max(0), high.max(0)), from_front(end).clamp(low, high));
    let mut indices = Vec::new();
    while (step > 0 && i < end) || (step < 0 && i > end) {
        indices.push(i as usize);
        i = i.saturating_add(step);
    }
    Ok(indices)
}

/// Arithmetic on integers, as exporters leave it behind a `Shape`: number by number, one number going with many.
fn arithmetic(op: &str, parts: &[&Tensor]) -> Result<Tensor, String> {
    let (first, others) = parts.split_first().ok_or("has no input")?;
    let mut result = (*first).clone();
    if op == "Neg" {
        result.data = Data::Ints(numbers(first)?.iter().map(|x| -x).collect());
    }
    for other in others {
        let (left, right) = (numbers(&result)?, numbers(other)?);
        let longer = if result.data.len() >= other.data.len() { &result.dims } else { &other.dims };
        let count = left.len().max(right.len());
        let same = left.len() == right.len() && result.dims == other.dims;
        if !same && left.len() != 1 && right.len() != 1 {
            return Err("computes with constants of different shapes".into());
        }
        // Of two numbers the one with more axes gives the shape.
        let dims = if left.len() == right.len() && other.dims.len() > result.dims.len() {
            &other.dims
        } else {
            longer
        };
        let at = |numbers: &[i64], i: usize| if numbers.len() == 1 { numbers[0] } else { numbers[i] };
        let computed = (0..count).map(|i| compute(op, at(left, i), at(right, i)));
        let data = computed.collect::<Option<Vec<i64>>>().ok_or("computes a number that cannot be")?;
        result = Tensor { dims: dims.clone(), data: Data::Ints(data) };
    }
    Ok(result)
}

/// Integers that are known.
///
/// # Errors
/// Numbers that stand for those of windows or positions.
fn numbers(tensor: &Tensor) -> Result<&[i64], String> {
    let numbers = tensor.as_ints().ok_or("computes with constants of different types")?;
    if numbers.iter().any(|&number| number == BATCH || number == POSITIONS) {
        return Err("computes with a number of windows or positions that no file fixes".into());
    }
    Ok(numbers)
}

fn compute(op: &str, x: i64, y: i64) -> Option<i64> {
    match op {
        "Add" => x.checked_add(y),
        "Sub" => x.checked_sub(y),
        "Mul" => x.checked_mul(y),
        // Toward zero, as ONNX Runtime divides.
        "Div" => x.checked_div(y),
        "Min" => Some(x.min(y)),
        "Max" => Some(x.max(y)),
        _ => None,
    }
}

fn concat(parts: &[&Tensor], axis: i64) -> Result<Tensor, String> {
    let first = parts[0];
    let axis = resolve(axis, first.dims.len())?;
    let mut joined = Tensor { dims: first.dims.clone(), data: first.data.select(&[]) };
    joined.dims[axis] = 0;
    let outer: usize = first.dims[..axis].iter().product();
    let alike = |part: &Tensor| {
        part.dims.len() == first.dims.len()
            && part.dims.iter().zip(&first.dims).enumerate().all(|(i, (a, b))| i == axis || a == b)
    };
    if !parts.iter().all(|part| alike(part)) {
        return Err("joins constants of different shapes".into());
    }
    joined.dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
    for o in 0..outer {
        for part in parts {
            let run = part.data.len() / outer;
            match (&mut joined.data, &part.data) {
                (Data::Floats(to), Data::Floats(from)) => to.extend(&from[o * run..(o + 1) * run]),
                (Data::Ints(to), Data::Ints(from)) => to.extend(&from[o * run..(o + 1) * run]),
                _ => return Err("joins constants of different types".into()),
            }
        }
    }
    Ok(joined)
}
