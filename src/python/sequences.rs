//! Sequences from Python: letters, or one-hot arrays in PyTorch's layout.

use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArray3};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use crate::engine::scorer::encode;
use crate::seq::alphabet::{N, ascii_of_code};

/// The codes of some sequences: an array `[N, 4, L]`, a string, or an iterable of strings.
pub(super) fn codes(sequences: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    if let Ok(array) = sequences.extract::<PyReadonlyArray3<'_, f32>>() {
        return of_array(&array);
    }
    if let Ok(letters) = sequences.extract::<PyBackedStr>() {
        return Ok(vec![encode(letters.as_bytes())?]);
    }
    let mut all = Vec::with_capacity(sequences.len().unwrap_or_default());
    for (i, item) in sequences.try_iter()?.enumerate() {
        let item = item?;
        let letters: PyBackedStr = item
            .extract()
            .map_err(|_| super::request(format!("sequence {}: is neither a string nor one-hot", i + 1)))?;
        let codes = encode(letters.as_bytes());
        all.push(codes.map_err(|error| super::request(format!("sequence {}: {error}", i + 1)))?);
    }
    Ok(all)
}

/// Reads one-hot columns: a base has 1 in its channel and 0 in the others; a column whose values are all the same is N.
fn of_array(array: &PyReadonlyArray3<'_, f32>) -> PyResult<Vec<Vec<u8>>> {
    let array = array.as_array();
    let (count, channels, length) = array.dim();
    if channels != 4 {
        return Err(super::request(format!(
            "an array of shape ({count}, {channels}, {length}): one-hot sequences have the shape (N, 4, L), with the channels A, C, G, T"
        )));
    }
    let mut all = Vec::with_capacity(count);
    for (i, sequence) in array.outer_iter().enumerate() {
        let mut codes = Vec::with_capacity(length);
        for (at, column) in sequence.columns().into_iter().enumerate() {
            let values = [column[0], column[1], column[2], column[3]];
            let code = of_column(values).ok_or_else(|| {
                super::request(format!("sequence {}: column {} is not one-hot: {values:?}", i + 1, at + 1))
            })?;
            codes.push(code);
        }
        all.push(codes);
    }
    Ok(all)
}

fn of_column(values: [f32; 4]) -> Option<u8> {
    if values.iter().all(|&value| value == values[0] && value.is_finite()) {
        return Some(N);
    }
    let base = values.iter().position(|&value| value == 1.0)?;
    let others = values.iter().enumerate().filter(|(i, _)| *i != base);
    others.into_iter().all(|(_, &value)| value == 0.0).then_some(base as u8)
}

/// One-hot arrays `[N, 4, L]` of float32, with the channels A, C, G, T. N has `unknown` in each channel, and so has what
/// follows the end of a sequence shorter than the longest.
#[pyfunction]
#[pyo3(signature = (sequences, unknown = 0.25))]
pub(super) fn one_hot<'py>(
    py: Python<'py>,
    sequences: &Bound<'py, PyAny>,
    unknown: f32,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let sequences = codes(sequences)?;
    let longest = sequences.iter().map(Vec::len).max().unwrap_or_default();
    let mut values = vec![unknown; sequences.len() * 4 * longest];
    for (codes, rows) in sequences.iter().zip(values.chunks_mut((4 * longest).max(1))) {
        for (at, &code) in codes.iter().enumerate().filter(|(_, code)| **code < N) {
            (0..4).for_each(|channel| rows[channel * longest + at] = f32::from(channel == usize::from(code)));
        }
    }
    values.into_pyarray(py).reshape([sequences.len(), 4, longest])
}

/// The letters of sequences.
#[pyfunction]
pub(super) fn letters(sequences: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let letters = |codes: Vec<u8>| codes.into_iter().map(|code| char::from(ascii_of_code(code))).collect();
    Ok(codes(sequences)?.into_iter().map(letters).collect())
}
