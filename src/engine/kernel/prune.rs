//! Filters and overhanging alignments that no sequence can make positive.
//!
//! Under a rectifier these contribute 0 wherever they are pooled, so they need not be computed. Fitted networks have many:
//! most alignments that overhang a window's end by more than half of the filter, and all alignments of filters that the fit
//! gave up. The highest activation is the sum of each column's greatest entry; a margin covers the rounding of the sums it
//! bounds.

use crate::engine::kernel::filters::{Column, Group};
use crate::engine::kernel::simd::WIDTH;
use crate::model::Network;

/// Bounds of one column of a filter.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    /// Upper bound of its share of the activation on padding alone, or 0.
    gain: f64,
    /// The greatest absolute value of what it adds.
    size: f64,
}

impl Reach {
    fn new(rows: impl Iterator<Item = f64>) -> Reach {
        rows.fold(Reach::default(), |Reach { gain, size }, x| Reach {
            gain: gain.max(x),
            size: size.max(x.abs()),
        })
    }
}

/// The most columns on padding with which a filter can still be positive, or `None` if it never is. The first
/// columns lie on padding first; `padded` is the activation on padding alone.
fn overhang(
    padded: f64,
    columns: impl DoubleEndedIterator<Item = Reach> + ExactSizeIterator,
) -> Option<usize> {
    let margin = (columns.len() + 4) as f64 * f64::from(f32::EPSILON);
    let (mut bound, mut size, mut on_padding) = (padded, padded.abs(), columns.len());
    let mut columns = columns.rev();
    while bound + margin * size <= 0.0 {
        let Reach { gain, size: more } = columns.next()?;
        bound += gain;
        size += more;
        on_padding -= 1;
    }
    Some(on_padding)
}

/// The most columns on padding with which one of 16 filters, rectified, can be positive: 0 where overhanging
/// alignments never are. `columns`: those that come to lie on padding first are first.
pub(crate) fn columns_on_padding(group: &Group, columns: &[Column]) -> usize {
    let of_lane = |lane: usize| {
        let reach = |column: &Column| Reach::new(column.iter().map(|row| f64::from(row.0[lane])));
        overhang(f64::from(group.padded.0[lane]), columns.iter().map(reach))
    };
    (0..WIDTH).filter_map(of_lane).max().unwrap_or(0)
}

/// The filters that can be positive, or all if activations are not rectified. Where there is padding, those that
/// are positive with like numbers of columns on it come together, so that groups of them are alike. Never empty.
pub(crate) fn active_filters(network: &Network) -> Vec<usize> {
    let all = 0..network.filters;
    if !network.rectify {
        return all.collect();
    }
    let mut live: Vec<(usize, usize)> = all.filter_map(|k| Some((k, both_ends(network, k)?))).collect();
    if network.padding.left + network.padding.right > 0 {
        live.sort_by_key(|&(_, on_padding)| std::cmp::Reverse(on_padding));
    }
    let order: Vec<usize> = live.into_iter().map(|(k, _)| k).collect();
    if order.is_empty() { vec![0] } else { order }
}

/// The sum of [`overhang`] at both ends.
fn both_ends(network: &Network, k: usize) -> Option<usize> {
    let length = network.filter_length;
    let weight = |j: usize, channel: usize| f64::from(network.weights[(k * 4 + channel) * length + j]);
    let pad =
        |j: usize| (0..4).map(|channel| weight(j, channel)).sum::<f64>() * f64::from(network.padding.value);
    let padded = f64::from(network.biases[k]) + (0..length).map(pad).sum::<f64>();
    let reach = |j: usize| {
        let Reach { gain, size } = Reach::new((0..4).map(|channel| weight(j, channel) - pad(j)));
        Reach { gain, size: size + pad(j).abs() }
    };
    let columns: Vec<Reach> = (0..length).map(reach).collect();
    Some(overhang(padded, columns.iter().copied())? + overhang(padded, columns.iter().rev().copied())?)
}
