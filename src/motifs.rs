//! First-layer filters as motifs: the sites that activate each filter, averaged to a matrix.
//!
//! A filter's motif depends on the sequences that it is shown. [`learned`](sites::learn) looks for its sites in them, and
//! averages those to a matrix.

use crate::model::motif::reverse_complement;
use crate::model::onnx::ModelProto;
use crate::model::onnx::recognize;
use crate::model::onnx::recognize::Transfer;
use crate::model::{Input, Model, Network};

pub mod report;
pub mod sequences;
pub mod sites;
mod table;
mod trim;

pub use self::sites::{Learned, Method};
pub use self::trim::Trim;

/// A filter of the first layer, a convolution on one-hot bases.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Rank in the layer, from 0; of several layers side by side, one after another.
    pub rank: usize,
    /// `weights[position]` of A, C, G, T.
    pub weights: Vec<[f32; 4]>,
    /// Bias, including that of a normalisation that follows the convolution.
    pub bias: f32,
    /// Activation function.
    pub transfer: Transfer,
}

/// The filters of a model's first layer.
///
/// # Errors
/// A graph whose first layer is no convolution on the one-hot input, in one line.
pub fn filters(model: &Model) -> Result<Vec<Filter>, String> {
    match &model.network {
        Ok(network) => Ok(from_network(network)),
        Err(_) => from_graph(&model.graph, &model.input),
    }
}

fn from_network(network: &Network) -> Vec<Filter> {
    let layer = recognize::FirstLayer {
        filters: network.filters,
        length: network.filter_length,
        weights: network.weights.clone(),
        biases: network.biases.clone(),
        transfer: Transfer::Proportional,
    };
    from_layers(&[layer])
}

fn from_graph(graph: &ModelProto, input: &Input) -> Result<Vec<Filter>, String> {
    Ok(from_layers(&recognize::first_layers(graph, input)?))
}

fn from_layers(layers: &[recognize::FirstLayer]) -> Vec<Filter> {
    let each = layers.iter().flat_map(|layer| {
        (0..layer.filters).map(move |k| {
            let weight = |channel: usize, j: usize| layer.weights[(k * 4 + channel) * layer.length + j];
            let column = |j: usize| [0, 1, 2, 3].map(|channel| weight(channel, j));
            let weights = (0..layer.length).map(column).collect();
            Filter { rank: 0, weights, bias: layer.biases[k], transfer: layer.transfer }
        })
    });
    each.enumerate().map(|(rank, filter)| Filter { rank, ..filter }).collect()
}

impl Filter {
    /// Bases that it sees.
    pub fn length(&self) -> usize {
        self.weights.len()
    }

    /// The filter that gives on the reverse complement of a stretch what this one gives on the stretch.
    fn reversed(&self) -> Filter {
        Filter { weights: reverse_complement(&self.weights), ..self.clone() }
    }

    /// True if both give the same sums.
    fn is_same(&self, other: &Filter) -> bool {
        let bits = |filter: &Filter| -> Vec<u32> {
            filter.weights.iter().flatten().chain([&filter.bias]).map(|x| (x + 0.0).to_bits()).collect()
        };
        bits(self) == bits(other)
    }
}

/// The filters without those that are the reverse complement of an earlier one, as every second one is in a network that
/// treats both strands alike, and how many those are. Where both strands are read they show nothing more.
pub fn without_complements(filters: Vec<Filter>) -> (Vec<Filter>, usize) {
    let all = filters.len();
    let mut kept: Vec<Filter> = Vec::with_capacity(all);
    for filter in filters {
        let reversed = filter.reversed();
        if !kept.iter().any(|other| other.is_same(&reversed)) {
            kept.push(filter);
        }
    }
    let left_out = all - kept.len();
    (kept, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_half() {
        let value = |transfer: Transfer, x: f64| match transfer {
            Transfer::Proportional => x,
            Transfer::Exponential => x.exp(),
            Transfer::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Transfer::Tanh => x.tanh(),
            Transfer::Softplus => x.exp().ln_1p(),
        };
        for transfer in [
            Transfer::Proportional,
            Transfer::Exponential,
            Transfer::Sigmoid,
            Transfer::Tanh,
            Transfer::Softplus,
        ] {
            for highest in [-3.0f32, -0.1, 0.2, 1.0, 6.0] {
                let Some(half) = transfer.half(highest) else {
                    assert!(highest < 0.0 && !transfer.is_positive(highest));
                    continue;
                };
                let (got, want) = (value(transfer, half.into()), value(transfer, highest.into()) / 2.0);
                assert!((got - want).abs() < 1e-5 * want.max(1.0), "{transfer:?} {highest}: {got} {want}");
            }
            assert_eq!(transfer.half(f32::NEG_INFINITY), None);
        }
    }

    #[test]
    fn a_filter_that_is_another_turned_round_is_left_out() {
        let filter = |rank, weights: &[[f32; 4]]| Filter {
            rank,
            weights: weights.to_vec(),
            bias: 0.5,
            transfer: Transfer::Proportional,
        };
        let first = filter(0, &[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 0.0]]);
        let turned = filter(1, &[[-0.0, 7.0, 6.0, 5.0], [4.0, 3.0, 2.0, 1.0]]);
        let palindrome = filter(2, &[[1.0, 0.0, 0.0, 2.0], [2.0, 0.0, 0.0, 1.0]]);
        let (kept, left_out) = without_complements(vec![first.clone(), turned, palindrome.clone()]);
        assert_eq!((kept, left_out), (vec![first, palindrome], 1));
    }
}
