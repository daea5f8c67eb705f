//! The filters of a network as look-up tables, for one strand.
//!
//! Three consecutive bases select one vector: the contribution of three consecutive columns of 16 filters. A filter of
//! length 24 takes eight look-ups at each position. The 64 triples of A, C, G and T come first (4 KB, so that the tables of
//! a filter fit the first-level cache), then the triples with an N: N needs no code path of its own.

use crate::engine::kernel::convolve::Tables;
use crate::engine::kernel::simd::{Lanes, Simd, WIDTH};
use crate::engine::kernel::triple::{TRIPLE, triple};
use crate::model::Network;
use crate::seq::alphabet::{ONE_HOT, complement};
use crate::seq::contig::Strand;

/// One column of 16 filters: a row for each code.
pub(crate) type Column = [Lanes; 8];

/// The filters of a network as one strand reads the forward sequence: for the reverse strand each is reversed
/// and complemented, and the padding is mirrored.
#[derive(Debug)]
pub(crate) struct Filters {
    /// Filters, 16 at a time; the last group is filled up with zeros.
    pub(crate) groups: Vec<Group>,
    /// Padding on the side of lower positions.
    pub(crate) before: usize,
    /// Padding on the side of higher positions.
    pub(crate) after: usize,
}

/// Sixteen filters.
#[derive(Debug)]
pub(crate) struct Group {
    /// Table i holds columns `3 i .. 3 i + 3`; the first one the bias too.
    pub(crate) tables: Tables,
    /// Activation of an alignment that lies on padding only.
    pub(crate) padded: Lanes,
    /// Change of an activation when a base takes the place of padding, for each column.
    pub(crate) columns: Vec<Column>,
    /// No activation, and no part of one, is greater than this in absolute value: what rounding errors are measured by.
    pub(crate) size: Lanes,
}

impl Filters {
    /// Tables of `network` for one strand, its filters in the order `order`.
    pub(crate) fn new(network: &Network, order: &[usize], strand: Strand, simd: Simd) -> Filters {
        let length = network.filter_length;
        let reverse = strand == Strand::Reverse;
        // Contribution of `code` at column `j` of filter `k`, in the direction of the forward sequence.
        let contribution = |k: usize, j: usize, code: usize| -> f64 {
            let (j, code) =
                if reverse { (length - 1 - j, usize::from(complement(code as u8))) } else { (j, code) };
            let weight = |channel: usize| f64::from(network.weights[(k * 4 + channel) * length + j]);
            (0..4).map(|channel| weight(channel) * f64::from(ONE_HOT[code][channel])).sum()
        };
        let groups = order.chunks(WIDTH).map(|filters| Group::new(network, filters, contribution, simd));
        let padding = network.padding;
        let (before, after) =
            if reverse { (padding.right, padding.left) } else { (padding.left, padding.right) };
        Filters { groups: groups.collect(), before, after }
    }
}

/// Tables of these columns of 16 filters, three a table; the first one includes `base`.
pub(crate) fn tables(base: &Lanes, columns: &[Column], simd: Simd) -> Tables {
    let mut tables = vec![[Lanes::ZERO; 256]; columns.len().div_ceil(TRIPLE)];
    for (i, (table, columns)) in tables.iter_mut().zip(columns.chunks(TRIPLE)).enumerate() {
        for codes in (0..125).map(|n: usize| [n / 25, n / 5 % 5, n % 5]) {
            let [a, b, c] = codes.map(|code| code as u8);
            let row = &mut table[usize::from(triple(a, b, c))];
            for (lane, x) in row.0.iter_mut().enumerate() {
                let base = if i == 0 { f64::from(base.0[lane]) } else { 0.0 };
                let added = columns.iter().zip(codes).map(|(column, code)| f64::from(column[code].0[lane]));
                // As below, no row is -0.
                *x = (base + added.sum::<f64>()) as f32 + 0.0;
            }
        }
    }
    Tables::new(&tables, simd)
}

impl Group {
    fn new(
        network: &Network,
        filters: &[usize],
        contribution: impl Fn(usize, usize, usize) -> f64,
        simd: Simd,
    ) -> Group {
        let length = network.filter_length;
        let lanes = |f: &dyn Fn(usize) -> f64| {
            let mut lanes = Lanes::ZERO;
            for (x, &filter) in lanes.0.iter_mut().zip(filters) {
                // Adding zero turns -0 into 0: a sum that starts from such a row is never -0, and so a maximum
                // over activations does not depend on the order in which they are seen.
                *x = f(filter) as f32 + 0.0;
            }
            lanes
        };
        let bias = |k: usize| f64::from(network.biases[k]);
        // Four channels of the padding's value are N times four times that value.
        let padding = 4.0 * f64::from(network.padding.value);
        let pad = |k: usize, j: usize| padding * contribution(k, j, 4);

        let mut tables = vec![[Lanes::ZERO; 256]; length.div_ceil(TRIPLE)];
        for (i, table) in tables.iter_mut().enumerate() {
            let columns = TRIPLE * i..length.min(TRIPLE * i + TRIPLE);
            for codes in (0..125).map(|n: usize| [n / 25, n / 5 % 5, n % 5]) {
                let [a, b, c] = codes.map(|code| code as u8);
                table[usize::from(triple(a, b, c))] = lanes(&|k| {
                    let base = if i == 0 { bias(k) } else { 0.0 };
                    base + columns.clone().zip(codes).map(|(j, code)| contribution(k, j, code)).sum::<f64>()
                });
            }
        }
        let mut columns = vec![[Lanes::ZERO; 8]; length];
        for (j, column) in columns.iter_mut().enumerate() {
            for (code, row) in column.iter_mut().enumerate().take(5) {
                *row = lanes(&|k| contribution(k, j, code) - pad(k, j));
            }
        }
        let padded = lanes(&|k| bias(k) + (0..length).map(|j| pad(k, j)).sum::<f64>());
        let size = lanes(&|k| {
            let greatest = |j: usize| (0..5).map(|code| contribution(k, j, code).abs()).fold(0.0, f64::max);
            bias(k).abs() + (0..length).map(|j| greatest(j) + pad(k, j).abs()).sum::<f64>()
        });
        Group { tables: Tables::new(&tables, simd), padded, columns, size }
    }
}
