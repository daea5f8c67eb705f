//! Tensors of an ONNX file as plain numbers.

use std::ops::Deref;
use std::sync::OnceLock;

use prost::bytes::Bytes;

use super::proto::TensorProto;
use super::proto::tensor_proto::DataType;

/// A constant tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each dimension; none for a scalar.
    pub dims: Vec<usize>,
    /// The numbers.
    pub data: Data,
}

/// The numbers of a [`Tensor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Weights; float16, bfloat16 and float64 are converted.
    Floats(Floats),
    /// Shapes, axes, padding.
    Ints(Vec<i64>),
}

/// Numbers that stay where a file has them, as bytes, until they are looked at: most walks over a graph need the lengths of
/// its weights only.
#[derive(Clone)]
pub struct Floats {
    /// Little-endian numbers, unless they were never bytes.
    raw: Bytes,
    numbers: OnceLock<Vec<f32>>,
}

impl Floats {
    fn from_raw(raw: &Bytes) -> Result<Floats, String> {
        if !raw.len().is_multiple_of(size_of::<f32>()) {
            return Err(not_a_multiple(raw.len(), size_of::<f32>()));
        }
        Ok(Floats { raw: raw.clone(), numbers: OnceLock::new() })
    }

    /// Appends numbers.
    pub(super) fn extend(&mut self, more: &[f32]) {
        let mut numbers = self.numbers.take().unwrap_or_else(|| self.read());
        numbers.extend_from_slice(more);
        *self = numbers.into();
    }

    fn read(&self) -> Vec<f32> {
        self.raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn count(&self) -> usize {
        self.numbers.get().map_or(self.raw.len() / size_of::<f32>(), Vec::len)
    }
}

impl From<Vec<f32>> for Floats {
    fn from(numbers: Vec<f32>) -> Floats {
        Floats { raw: Bytes::new(), numbers: numbers.into() }
    }
}

impl FromIterator<f32> for Floats {
    fn from_iter<I: IntoIterator<Item = f32>>(numbers: I) -> Floats {
        numbers.into_iter().collect::<Vec<_>>().into()
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.numbers.get_or_init(|| self.read())
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Floats) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Floats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Floats(x) => x.count(),
            Data::Ints(x) => x.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers at these places.
    ///
    /// # Panics
    /// If a place is past the end.
    pub fn select(&self, places: &[usize]) -> Data {
        match self {
            Data::Floats(x) => Data::Floats(places.iter().map(|&i| x[i]).collect()),
            Data::Ints(x) => Data::Ints(places.iter().map(|&i| x[i]).collect()),
        }
    }
}

impl Tensor {
    /// A float tensor.
    pub fn floats(dims: impl Into<Vec<usize>>, data: Vec<f32>) -> Tensor {
        Tensor { dims: dims.into(), data: Data::Floats(data.into()) }
    }

    /// An integer vector.
    pub fn ints(data: Vec<i64>) -> Tensor {
        Tensor { dims: vec![data.len()], data: Data::Ints(data) }
    }

    /// Reads a tensor of floats or of 32- or 64-bit integers.
    ///
    /// # Errors
    /// Another element type, a negative dimension, a wrong number of values.
    pub fn read(proto: &TensorProto) -> Result<Tensor, String> {
        let mut count = 1usize;
        let mut dims = Vec::with_capacity(proto.dims.len());
        for &dim in &proto.dims {
            let dim = usize::try_from(dim).map_err(|_| format!("dimension {dim}"))?;
            count = count.checked_mul(dim).ok_or_else(|| format!("dimensions {:?}", proto.dims))?;
            dims.push(dim);
        }
        let data = read_data(proto)?;
        if data.len() != count {
            return Err(format!("{} values for the dimensions {:?}", data.len(), proto.dims));
        }
        Ok(Tensor { dims, data })
    }

    /// The message for an initialiser of this name, values as little-endian raw bytes.
    pub fn write(&self, name: &str) -> TensorProto {
        let (data_type, raw): (DataType, Vec<u8>) = match &self.data {
            Data::Floats(x) => (DataType::Float, x.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Data::Ints(x) => (DataType::Int64, x.iter().flat_map(|x| x.to_le_bytes()).collect()),
        };
        TensorProto {
            name: Some(name.to_owned()),
            dims: self.dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(data_type as i32),
            raw_data: Some(raw.into()),
            ..TensorProto::default()
        }
    }

    /// The numbers, if they are floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Floats(x) => Some(x),
            Data::Ints(_) => None,
        }
    }

    /// The numbers, if they are integers.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Floats(_) => None,
            Data::Ints(x) => Some(x),
        }
    }
}

/// An axis counted from the front, or from the back if negative.
pub(in crate::model) fn resolve(axis: i64, rank: usize) -> Result<usize, String> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|&i| i < rank)
        .ok_or_else(|| format!("names axis {axis} of {rank}"))
}

/// An order of axes, checked; the reverse if none is given.
pub(in crate::model) fn permutation(order: Option<Vec<i64>>, rank: usize) -> Result<Vec<usize>, String> {
    let Some(order) = order else { return Ok((0..rank).rev().collect()) };
    let order = order.iter().map(|&axis| resolve(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let complete = order.len() == rank && (0..rank).all(|i| order.contains(&i));
    if complete { Ok(order) } else { Err("does not name every axis once".into()) }
}

/// Row-major `data` with its axes of these lengths put in another order.
pub(crate) fn permute<T: Copy>(data: &[T], lengths: &[usize], order: &[usize]) -> Vec<T> {
    let mut strides = vec![1; lengths.len()];
    for i in (1..lengths.len()).rev() {
        strides[i - 1] = strides[i] * lengths[i];
    }
    let source = |mut target: usize| {
        let mut index = 0;
        for &axis in order.iter().rev() {
            index += target % lengths[axis] * strides[axis];
            target /= lengths[axis];
        }
        index
    };
    (0..data.len()).map(|i| data[source(i)]).collect()
}

fn read_data(proto: &TensorProto) -> Result<Data, String> {
    let element = DataType::try_from(proto.data_type()).unwrap_or(DataType::Undefined);
    let raw = proto.raw_data.as_deref();
    Ok(match element {
        DataType::Float => Data::Floats(match &proto.raw_data {
            Some(raw) => Floats::from_raw(raw)?,
            None => proto.float_data.clone().into(),
        }),
        DataType::Double => Data::Floats(
            match raw {
                Some(raw) => from_raw(raw, |bytes| f64::from_le_bytes(bytes) as f32)?,
                None => proto.double_data.iter().map(|&x| x as f32).collect(),
            }
            .into(),
        ),
        DataType::Float16 => Data::Floats(
            match raw {
                Some(raw) => from_raw(raw, |bytes| half_to_float(u16::from_le_bytes(bytes)))?,
                None => proto.int32_data.iter().map(|&bits| half_to_float(bits as u16)).collect(),
            }
            .into(),
        ),
        DataType::Bfloat16 => Data::Floats(
            match raw {
                Some(raw) => from_raw(raw, |bytes| bfloat_to_float(u16::from_le_bytes(bytes)))?,
                None => proto.int32_data.iter().map(|&bits| bfloat_to_float(bits as u16)).collect(),
            }
            .into(),
        ),
        DataType::Int64 => Data::Ints(match raw {
            Some(raw) => from_raw(raw, i64::from_le_bytes)?,
            None => proto.int64_data.clone(),
        }),
        DataType::Int32 => Data::Ints(match raw {
            Some(raw) => from_raw(raw, |bytes| i64::from(i32::from_le_bytes(bytes)))?,
            None => proto.int32_data.iter().copied().map(i64::from).collect(),
        }),
        DataType::Bool => Data::Ints(match raw {
            Some(raw) => raw.iter().copied().map(i64::from).collect(),
            None => proto.int32_data.iter().copied().map(i64::from).collect(),
        }),
        other => return Err(format!("element type {}", other.as_str_name())),
    })
}

fn from_raw<const SIZE: usize, T>(raw: &[u8], convert: impl Fn([u8; SIZE]) -> T) -> Result<Vec<T>, String> {
    let (values, rest) = raw.as_chunks::<SIZE>();
    if !rest.is_empty() {
        return Err(not_a_multiple(raw.len(), SIZE));
    }
    Ok(values.iter().map(|&bytes| convert(bytes)).collect())
}

fn not_a_multiple(bytes: usize, size: usize) -> String {
    format!("{bytes} bytes, which is not a multiple of {size}")
}

/// bfloat16, the upper half of a binary32, to binary32.
fn bfloat_to_float(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// IEEE 754 binary16 to binary32.
fn half_to_float(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (fraction + 1024.0) * 2f32.powi(exponent - 25),
    }
}
