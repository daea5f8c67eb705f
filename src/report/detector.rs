//! Detectors of a network as look-ups: where in a sequence they fit best, and what a score owes to them.

use crate::encode::{ONE_HOT, reverse_complement_into};
use crate::model::Network;

/// A detector as a look-up: what each code adds at each position.
#[derive(Debug, Clone)]
pub(crate) struct Detector {
    /// `weights[position]` of A, C, G, T.
    pub(crate) weights: Vec<[f64; 4]>,
    columns: Vec<[f32; 5]>,
    threshold: f32,
    /// An activation is never lower.
    least: f32,
}

/// The stretch of a sequence that activates a detector most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stretch {
    /// How much it does.
    pub(crate) activation: f32,
    /// Where it starts, on the strand on which it is read.
    pub(crate) start: usize,
    /// Its codes, on that strand; none if the detector is active nowhere.
    pub(crate) codes: Vec<u8>,
}

impl Detector {
    /// Detector number `k` of `network`.
    pub(crate) fn new(network: &Network, k: usize) -> Detector {
        let length = network.detector_length;
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
        Detector { weights, columns, threshold: network.thresholds[k], least }
    }

    fn activation(&self, window: &[u8]) -> f32 {
        let sum: f32 = self.columns.iter().zip(window).map(|(column, &code)| column[usize::from(code)]).sum();
        (self.threshold + sum).max(self.least)
    }

    /// The stretch within `codes`, or on either strand of it, that activates the detector most; the first of equals. A
    /// sequence shorter than the detector activates it as little as any.
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

/// How often A, C, G, T stand at each of `length` positions of stretches; an N counts as a quarter of each.
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
