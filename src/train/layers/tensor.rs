//! Numbers on their way through a network, and the products of matrices.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// `values[(row * positions + position) * channels + channel]`, a row for each window; without positions there is one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) values: Vec<f32>,
    pub(crate) rows: usize,
    pub(crate) positions: usize,
    pub(crate) channels: usize,
}

impl Tensor {
    pub(crate) fn zeros(rows: usize, positions: usize, channels: usize) -> Tensor {
        Tensor { values: vec![0.0; rows * positions * channels], rows, positions, channels }
    }

    /// Of the same shape.
    pub(crate) fn like(&self) -> Tensor {
        Tensor::zeros(self.rows, self.positions, self.channels)
    }

    /// All positions of all windows, a row each.
    pub(crate) fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.values, self.rows * self.positions, self.channels)
    }

    /// One position of all windows, a row for each of them.
    pub(crate) fn position(&self, position: usize) -> Matrix<'_> {
        Matrix {
            values: &self.values[position * self.channels..],
            rows: self.rows,
            columns: self.channels,
            step: self.width(),
            turned: false,
        }
    }

    /// Numbers of a window.
    pub(crate) fn width(&self) -> usize {
        self.positions * self.channels
    }
}

/// A matrix in a slice, row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Numbers from one row to the next.
    step: usize,
    turned: bool,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Matrix<'a> {
        Matrix { values, rows, columns, step: columns, turned: false }
    }

    /// With rows that lie `step` numbers apart.
    pub(crate) fn spaced(values: &'a [f32], rows: usize, columns: usize, step: usize) -> Matrix<'a> {
        Matrix { step, ..Matrix::new(values, rows, columns) }
    }

    /// The transposed matrix.
    pub(crate) fn turned(self) -> Matrix<'a> {
        Matrix { turned: !self.turned, ..self }
    }

    fn view(self) -> ArrayView2<'a, f32> {
        let shape = (self.rows, self.columns).strides((self.step, 1));
        let view = ArrayView2::from_shape(shape, self.values).expect("a matrix within its slice");
        if self.turned { view.reversed_axes() } else { view }
    }
}

/// A matrix in a slice, to be written.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    step: usize,
}

impl<'a> MatrixMut<'a> {
    pub(crate) fn new(values: &'a mut [f32], rows: usize, columns: usize) -> MatrixMut<'a> {
        MatrixMut { values, rows, columns, step: columns }
    }

    /// With rows that lie `step` numbers apart.
    pub(crate) fn spaced(values: &'a mut [f32], rows: usize, columns: usize, step: usize) -> MatrixMut<'a> {
        MatrixMut { values, rows, columns, step }
    }

    /// Adds `a · b`.
    pub(crate) fn add_product(self, a: Matrix<'_>, b: Matrix<'_>) {
        if self.rows == 0 {
            return;
        }
        let shape = (self.rows, self.columns).strides((self.step, 1));
        let mut c = ArrayViewMut2::from_shape(shape, self.values).expect("a matrix within its slice");
        general_mat_mul(1.0, &a.view(), &b.view(), 1.0, &mut c);
    }
}

/// Adds the rows of a matrix to `sums`.
pub(crate) fn add_rows(values: &[f32], sums: &mut [f32]) {
    for row in values.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}
