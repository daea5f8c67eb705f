//! Filters of a network as look-ups: where in a sequence they fit best, what a score owes to them, and which show the same
//! motif.

use crate::model::{Network, Pooling};
use crate::seq::alphabet::{ONE_HOT, reverse_complement_into};

/// A filter as a look-up: what each code adds at each position.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// `weights[position]` of A, C, G, T.
    pub(crate) weights: Vec<[f64; 4]>,
    columns: Vec<[f32; 5]>,
    bias: f32,
    /// An activation is never lower.
    least: f32,
}

/// The stretch of a sequence that activates a filter most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stretch {
    /// Its effect.
    pub(crate) activation: f32,
    /// Its start, on the strand on which it is read.
    pub(crate) start: usize,
    /// Its codes, on that strand; none if the filter is active nowhere.
    pub(crate) codes: Vec<u8>,
}

impl Filter {
    /// Filter number `k` of `network`.
    pub(crate) fn new(network: &Network, k: usize) -> Filter {
        let length = network.filter_length;
        let weight = |channel: usize, j: usize| f64::from(network.weights[(k * 4 + channel) * length + j]);
        let weights: Vec<[f64; 4]> =
            (0..length).map(|j| [0, 1, 2, 3].map(|channel| weight(channel, j))).collect();
        let column = |weights: &[f64; 4]| {
            ONE_HOT.map(|one_hot| {
                let sum: f64 = one_hot.iter().zip(weights).map(|(&x, weight)| f64::from(x) * weight).sum();
                sum as f32
            })
        };
        let columns = weights.iter().map(column).collect();
        let least = if network.rectify { 0.0 } else { f32::MIN };
        Filter { weights, columns, bias: network.biases[k], least }
    }

    fn activation(&self, window: &[u8]) -> f32 {
        let sum: f32 = self.columns.iter().zip(window).map(|(column, &code)| column[usize::from(code)]).sum();
        (self.bias + sum).max(self.least)
    }

    /// Mean activation over the places within `codes`; 0 if it does not fit.
    pub(crate) fn mean(&self, codes: &[u8]) -> f32 {
        let places = codes.windows(self.columns.len());
        let count = places.len().max(1) as f32;
        places.map(|window| self.activation(window)).sum::<f32>() / count
    }

    /// The stretch within `codes`, or on either strand of it, that activates the filter most; the first of equals. A
    /// sequence shorter than the filter activates it as little as any.
    pub(crate) fn strongest(&self, codes: &[u8], both_strands: bool) -> Stretch {
        let mut reverse = Vec::new();
        if both_strands {
            reverse_complement_into(codes, &mut reverse);
        }
        let length = self.columns.len();
        let windows = [codes, &reverse].into_iter().flat_map(|strand| strand.windows(length).enumerate());
        let mut best: (f32, usize, &[u8]) = (self.least, 0, &[]);
        for (start, window) in windows {
            let activation = self.activation(window);
            if activation > best.0 {
                best = (activation, start, window);
            }
        }
        Stretch { activation: best.0, start: best.1, codes: best.2.to_vec() }
    }
}

/// A stretch counts if it activates the filter by this share of its highest activation, or more.
const SHARE: f32 = 0.5;

/// Codes of the stretches that activate a filter by half of the highest activation or more.
pub(crate) fn active(stretches: &[Stretch]) -> Vec<&[u8]> {
    let highest = stretches.iter().map(|stretch| stretch.activation).fold(0.0, f32::max);
    let enough = |stretch: &&Stretch| {
        stretch.activation > 0.0 && stretch.activation >= SHARE * highest && !stretch.codes.is_empty()
    };
    stretches.iter().filter(enough).map(|stretch| &*stretch.codes).collect()
}

/// Counts of A, C, G, T at each of `length` positions of stretches; an N counts as a quarter of each.
pub(crate) fn counts(stretches: &[&[u8]], length: usize) -> Vec<[f64; 4]> {
    let mut counts = vec![[0.0; 4]; length];
    for stretch in stretches {
        for (column, &code) in counts.iter_mut().zip(*stretch) {
            let share = ONE_HOT[usize::from(code)].map(f64::from);
            column.iter_mut().zip(share).for_each(|(count, share)| *count += share);
        }
    }
    counts
}

/// By how much `output` falls if a filter is taken away, for each filter: `maxima` and `means` are their activations
/// over the window.
pub(crate) fn shares(network: &Network, output: usize, maxima: &[f32], means: &[f32]) -> Vec<f64> {
    let count = network.filters;
    let features: Vec<f32> = match network.pooling {
        Pooling::Max => maxima.to_vec(),
        Pooling::Average => means.to_vec(),
        Pooling::MaxAndAverage => [maxima, means].concat(),
    };
    let of = |layer: &crate::model::Dense, row: usize, feature: usize| {
        f64::from(layer.weights[row * layer.inputs + feature]) * f64::from(features[feature])
    };
    // Weights of a row of the first dense layer that belong to filter k.
    let owed =
        |layer, row, k: usize| (k..features.len()).step_by(count).map(|i| of(layer, row, i)).sum::<f64>();
    let Some(hidden) = &network.hidden else {
        return (0..count).map(|k| owed(&network.output, output, k)).collect();
    };
    let sums: Vec<f64> = (0..hidden.outputs)
        .map(|row| f64::from(hidden.bias[row]) + (0..count).map(|k| owed(hidden, row, k)).sum::<f64>())
        .collect();
    let weight = |row: usize| f64::from(network.output.weights[output * network.output.inputs + row]);
    let fall = |k: usize| {
        let of_row =
            |(row, &sum): (usize, &f64)| weight(row) * (sum.max(0.0) - (sum - owed(hidden, row, k)).max(0.0));
        sums.iter().enumerate().map(of_row).sum()
    };
    (0..count).map(fall).collect()
}

/// Lowest correlation of the weights of filters that show the same motif.
const ALIKE: f64 = 0.75;

/// A filter that shows a motif of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Distinct {
    /// Its rank among the filters that were compared.
    pub(crate) rank: usize,
    /// How many of those behind it show the same.
    pub(crate) alike: usize,
}

/// The filters, by their `weights[position]` of A, C, G, T, that are the first to show a motif.
pub(crate) fn distinct(filters: &[&[[f64; 4]]]) -> Vec<Distinct> {
    let mut found: Vec<Distinct> = Vec::new();
    for (rank, weights) in filters.iter().enumerate() {
        match found.iter_mut().find(|first| are_alike(filters[first.rank], weights)) {
            Some(first) => first.alike += 1,
            None => found.push(Distinct { rank, alike: 0 }),
        }
    }
    found
}

/// The words of a caption for the filters that show the same as the one before: nothing for none.
pub(crate) fn like_others(alike: usize) -> String {
    match alike {
        0 => String::new(),
        1 => ", like 1 other".into(),
        several => format!(", like {several} others"),
    }
}

/// True if two filters of one length look for the same, perhaps shifted or on the other strand: the correlation of their
/// weights, as far as they overlap, is high.
fn are_alike(a: &[[f64; 4]], b: &[[f64; 4]]) -> bool {
    let length = a.len();
    let least = (length / 2).max(1);
    [false, true].into_iter().any(|reverse| {
        let other = |channel: usize, j: usize| match reverse {
            false => b[j][channel],
            true => b[length - 1 - j][3 - channel],
        };
        (0..=2 * (length - least)).any(|shift| {
            // Column `j` of the one lies on column `j + by` of the other.
            let by = shift as isize - (length - least) as isize;
            let columns = (0..length).filter_map(|j| Some((j, j.checked_add_signed(by)?)));
            let pairs = columns.filter(|(_, other)| *other < length);
            let pairs =
                pairs.flat_map(|(j, at)| (0..4).map(move |channel| (a[j][channel], other(channel, at))));
            correlation(pairs) >= ALIKE
        })
    })
}

/// Pearson's correlation coefficient of pairs; 0 where one of them is the same everywhere.
fn correlation(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let [mut n, mut x, mut y, mut xx, mut yy, mut xy] = [0.0; 6];
    for (a, b) in pairs {
        (n, x, y) = (n + 1.0, x + a, y + b);
        (xx, yy, xy) = (xx + a * a, yy + b * b, xy + a * b);
    }
    let scale = ((n * xx - x * x) * (n * yy - y * y)).sqrt();
    if scale > 0.0 { (n * xy - x * y) / scale } else { 0.0 }
}

/// The lowest number of a filter that is this one or its exact reverse complement. Filters that are tied to their reverse
/// complements are one motif with two numbers.
pub(crate) fn first_orientation(network: &Network, k: usize) -> usize {
    let size = 4 * network.filter_length;
    let weights = |k: usize| network.weights[k * size..(k + 1) * size].iter();
    let is_complement =
        |&other: &usize| network.biases[other] == network.biases[k] && weights(other).eq(weights(k).rev());
    (0..k).find(is_complement).unwrap_or(k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::reference::window_scores;
    use crate::model::{Dense, Padding};

    #[test]
    fn a_share_is_what_the_score_loses_without_the_filter() {
        let number = |i: usize| ((i * 37 + 11) % 23) as f32 / 11.0 - 1.0;
        let numbers = |from: usize, count: usize| (from..from + count).map(number).collect::<Vec<f32>>();
        let (count, length) = (3, 4);
        for (pooling, hidden) in
            [(Pooling::Max, true), (Pooling::Average, false), (Pooling::MaxAndAverage, true)]
        {
            let features = count * pooling.features_per_filter();
            let layer = |inputs: usize, outputs: usize, from: usize| Dense {
                inputs,
                outputs,
                weights: numbers(from, inputs * outputs),
                bias: numbers(from + 3, outputs),
            };
            let network = Network {
                filters: count,
                filter_length: length,
                weights: numbers(5, count * 4 * length),
                biases: vec![0.1; count],
                rectify: true,
                padding: Padding::NONE,
                pooling,
                hidden: hidden.then(|| layer(features, 5, 1)),
                output: layer(if hidden { 5 } else { features }, 2, 2),
                sigmoid: false,
            };
            let codes: Vec<u8> = (0..30).map(|i| (i * i % 7 % 4) as u8).collect();
            let filters: Vec<Filter> = (0..count).map(|k| Filter::new(&network, k)).collect();
            let maxima: Vec<f32> =
                filters.iter().map(|filter| filter.strongest(&codes, false).activation).collect();
            let means: Vec<f32> = filters.iter().map(|filter| filter.mean(&codes)).collect();
            assert!(maxima.iter().all(|&x| x > 0.0));
            let shares = shares(&network, 1, &maxima, &means);
            for (k, share) in shares.into_iter().enumerate() {
                let mut without = network.clone();
                without.weights[k * 4 * length..(k + 1) * 4 * length].fill(0.0);
                without.biases[k] = 0.0;
                let fall =
                    window_scores(&network, &codes, false)[1] - window_scores(&without, &codes, false)[1];
                assert!((share - fall).abs() < 1e-4, "{pooling:?} {k}: {share} {fall}");
            }
        }
    }

    #[test]
    fn filters_that_show_the_same_are_one() {
        let column = |base: usize| std::array::from_fn(|channel| if channel == base { 3.0 } else { -1.0 });
        let motif = |bases: &[usize]| bases.iter().map(|&base| column(base)).collect::<Vec<[f64; 4]>>();
        let (first, shifted) = (motif(&[0, 1, 2, 2, 3, 0, 0, 1]), motif(&[1, 2, 2, 3, 0, 0, 1, 3]));
        let (turned, another) = (motif(&[2, 3, 3, 0, 1, 1, 2, 3]), motif(&[3, 3, 0, 0, 3, 3, 1, 1]));
        let filters: Vec<&[[f64; 4]]> = [&first, &another, &shifted, &turned].map(Vec::as_slice).to_vec();
        assert_eq!(distinct(&filters), [Distinct { rank: 0, alike: 2 }, Distinct { rank: 1, alike: 0 }]);
        assert_eq!([0, 1, 2].map(like_others), ["", ", like 1 other", ", like 2 others"]);
    }
}
