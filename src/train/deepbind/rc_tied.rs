//! Networks that give both strands of a sequence the same score.
//!
//! Detectors are tied to their reverse complements: what follows the pool sees, for each detector, the sum of its
//! features on the two strands. A network of twice as many detectors computes that from one strand.

use crate::model::{Dense, Network};

/// The network that gives, on one strand, what `half` gives with every feature summed over both strands: its detectors,
/// then their reverse complements, and the same weights for the one as for the other.
pub fn unfold(half: &Network) -> Network {
    let count = half.detectors;
    let mut weights = half.weights.clone();
    weights.reserve(weights.len());
    for detector in half.weights.chunks_exact(4 * half.detector_length) {
        // Turned round, A and T change places, and so do C and G, and all columns.
        weights.extend(detector.iter().rev());
    }
    let twice = |layer: &Dense| Dense {
        inputs: 2 * layer.inputs,
        outputs: layer.outputs,
        // Features come kind by kind, each with all detectors.
        weights: layer.weights.chunks_exact(count).flat_map(|kind| [kind, kind].concat()).collect(),
        bias: layer.bias.clone(),
    };
    let (hidden, output) = match &half.hidden {
        Some(hidden) => (Some(twice(hidden)), half.output.clone()),
        None => (None, twice(&half.output)),
    };
    let thresholds = [&half.thresholds[..], &half.thresholds[..]].concat();
    Network { detectors: 2 * count, weights, thresholds, hidden, output, ..half.clone() }
}
