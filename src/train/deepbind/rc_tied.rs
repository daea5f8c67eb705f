//! Networks that give both strands of a sequence the same score.
//!
//! Filters are tied to their reverse complements: what follows the pool sees, for each filter, the sum of its
//! features on the two strands. A network of twice as many filters computes that from one strand.

use crate::model::{Dense, Network};

/// The network that gives, on one strand, what `half` gives with every feature summed over both strands: its filters,
/// then their reverse complements, and the same weights for the one as for the other.
pub fn unfold(half: &Network) -> Network {
    let count = half.filters;
    let mut weights = half.weights.clone();
    weights.reserve(weights.len());
    for filter in half.weights.chunks_exact(4 * half.filter_length) {
        // Turned round, A and T change places, and so do C and G, and all columns.
        weights.extend(filter.iter().rev());
    }
    let twice = |layer: &Dense| Dense {
        inputs: 2 * layer.inputs,
        outputs: layer.outputs,
        // Features come kind by kind, each with all filters.
        weights: layer.weights.chunks_exact(count).flat_map(|kind| [kind, kind].concat()).collect(),
        bias: layer.bias.clone(),
    };
    let (hidden, output) = match &half.hidden {
        Some(hidden) => (Some(twice(hidden)), half.output.clone()),
        None => (None, twice(&half.output)),
    };
    let biases = [&half.biases[..], &half.biases[..]].concat();
    Network { filters: 2 * count, weights, biases, hidden, output, ..half.clone() }
}
