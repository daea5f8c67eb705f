//! Motifs that the filters of a network have learned: the stretches that activate them.

use std::collections::HashSet;

use crate::dataset::metric::{auc, spearman};
use crate::dataset::{Dataset, TargetKind};
use crate::model::Network;
use crate::report::filter::{Filter, Stretch, active, counts};

/// One filter, seen through the data.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterProfile {
    /// Rank of the filter in the network, from 0.
    pub filter: usize,
    /// Stretches that `counts` are made of.
    pub sites: usize,
    /// `counts[position]`: how often A, C, G, T stand there in the stretches that activate the filter.
    pub counts: Vec<[f64; 4]>,
    /// `weights[position]` of A, C, G, T.
    pub weights: Vec<[f64; 4]>,
    /// Accuracy of the filter's highest activation on its own: AUC for classes, Spearman's coefficient for
    /// numbers. `None` if it is the same everywhere.
    pub alone: Option<f64>,
}

/// Sequences that are looked at, of the bound (or highest) and of the others: the first so many.
const SEQUENCES: usize = 1000;

/// Looks at every filter of `network`, the most telling first.
///
/// For each of the bound sequences (of numbers: the sequences with the highest ones) the stretch that activates the
/// filter most is found, on both strands if so asked and only where it lies within the sequence; those with half of
/// the highest activation or more are counted. Only the first output of `dataset` is used, and 1,000 sequences of each
/// kind. On both strands a filter that is another's reverse complement shows nothing more, and is left out.
pub fn profiles(network: &Network, dataset: &Dataset, both_strands: bool) -> Vec<FilterProfile> {
    let targets = dataset.target_column(0);
    let rows = rows_to_look_at(&targets, dataset.kind);
    let chosen: Vec<f32> = rows.iter().map(|&row| targets[row]).collect();
    let front = rows.len() / 2;
    let mut known = HashSet::new();
    let mut is_new = |&filter: &usize| {
        let (forward, reverse) = orientations(network, filter);
        let shown = both_strands && known.contains(&reverse);
        known.insert(forward);
        !shown
    };
    let mut profiles: Vec<FilterProfile> = (0..network.filters)
        .filter(&mut is_new)
        .map(|filter| {
            let look_up = Filter::new(network, filter);
            let best: Vec<Stretch> =
                rows.iter().map(|&row| look_up.strongest(&dataset.sequences[row], both_strands)).collect();
            let activations: Vec<f32> = best.iter().map(|stretch| stretch.activation).collect();
            let alone = match dataset.kind {
                TargetKind::Binary => auc(&activations, &chosen),
                TargetKind::Real => spearman(&activations, &chosen),
            };
            // Bound sequences or high numbers come first.
            let bound = match dataset.kind {
                TargetKind::Binary => chosen.iter().take_while(|&&target| target > 0.5).count(),
                TargetKind::Real => front,
            };
            let (sites, counts) = count(&best[..bound], network.filter_length);
            FilterProfile { filter, sites, counts, weights: look_up.weights, alone }
        })
        .collect();
    let middle = if dataset.kind == TargetKind::Binary { 0.5 } else { 0.0 };
    let telling = |profile: &FilterProfile| profile.alone.map_or(0.0, |alone| (alone - middle).abs());
    profiles.sort_by(|a, b| telling(b).total_cmp(&telling(a)).then(a.filter.cmp(&b.filter)));
    profiles
}

/// The bits of a filter's weights and bias, and those of its reverse complement.
fn orientations(network: &Network, filter: usize) -> (Vec<u32>, Vec<u32>) {
    let size = 4 * network.filter_length;
    let weights = &network.weights[filter * size..(filter + 1) * size];
    let bias = network.biases[filter].to_bits();
    let bits = |weights: &mut dyn Iterator<Item = &f32>| {
        weights.map(|weight| weight.to_bits()).chain([bias]).collect()
    };
    // As in `symmetric::unfold`.
    (bits(&mut weights.iter()), bits(&mut weights.iter().rev()))
}

/// Classes: the first bound ones, then the first unbound ones. Numbers: the highest, then the lowest.
fn rows_to_look_at(targets: &[f32], kind: TargetKind) -> Vec<usize> {
    let mut present: Vec<usize> = (0..targets.len()).filter(|&row| !targets[row].is_nan()).collect();
    present.sort_by(|&a, &b| targets[b].total_cmp(&targets[a]));
    match kind {
        TargetKind::Binary => {
            let (bound, unbound) = present.split_at(present.partition_point(|&row| targets[row] > 0.5));
            bound.iter().take(SEQUENCES).chain(unbound.iter().take(SEQUENCES)).copied().collect()
        }
        TargetKind::Real => {
            let half = SEQUENCES.min(present.len() / 2);
            present[..half].iter().chain(&present[present.len() - half..]).copied().collect()
        }
    }
}

/// Number of stretches that activate the filter enough, and their bases.
fn count(stretches: &[Stretch], length: usize) -> (usize, Vec<[f64; 4]>) {
    let active = active(stretches);
    (active.len(), counts(&active, length))
}
