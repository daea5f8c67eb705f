//! One filter that is the motif of the bound sequences: a matrix of log-likelihood ratios.
//!
//! A network learns to tell bound sequences from unbound ones, and among the few unbound ones that it sees, hardly any have
//! a strong site. So it ranks the best sites of a genome badly, where a matrix, which multiplies the frequencies of bases at
//! sites, ranks them well. The two see different things, and their log-likelihood ratios are added. How much of the matrix's
//! is added was chosen with ChIP-exo summits on the odd-numbered yeast chromosomes.
//!
//! The matrix is fitted by expectation maximisation with at most one site a sequence (Bailey & Elkan 1994), each sequence's
//! best place being its site, from the filters that tell the classes best. Known motifs may be starts, too, and count as
//! 30 sites.

use rayon::prelude::*;

use crate::dataset::{Dataset, TargetKind};
use crate::model::{Network, Pooling, Strands};
use crate::seq::alphabet::N;

/// The motif that a network was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MotifFilter {
    /// Bound sequences that were looked at.
    pub sequences: usize,
    /// Those with a site, less those expected by chance.
    pub sites: f64,
    /// Factor of the motif's log-likelihood ratio that is added to the score.
    pub weight: f64,
}

/// Factor of the log-likelihood ratio of a matrix that is known well: where the filter is active, the matrix decides.
const MOST: f64 = 4.0;

/// Sites at which the factor is half of that: of fewer sites, the matrix is known less well.
const HALF: f64 = 30.0;

/// Sites that a known motif counts as.
const PRIOR: f64 = 30.0;

/// Sites that the background counts as in each column.
const PSEUDOCOUNT: f64 = 2.0;

/// Filters that a matrix is fitted from.
const STARTS: usize = 8;

/// Rounds of a fit, and those after which it may move.
const ROUNDS: usize = 8;
const MOVES: [usize; 3] = [2, 4, 6];

/// Columns that a matrix moves by, at most, to where the bases at its sites are more alike.
const FARTHEST: usize = 4;

/// A place is a site if it scores higher than this share of the unbound sequences does.
const CHANCE: f64 = 0.1;

/// The filter is active where the matrix scores higher than all but this share of the unbound sequences do. Below, the network
/// tells the classes better alone: with a tenth, AUC on held-out ENCODE training peaks falls by 0.003 to 0.013, so by less
/// than 0.001.
const ACTIVE: f64 = 0.005;

/// Of the fitted matrices, the one is taken that scores most bound sequences higher than all but this share of the unbound
/// ones.
const TAIL: f64 = 0.005;

/// Sequences of each class that are looked at, at most.
const LOOKED_AT: usize = 2_000;

/// True if a network of this form can be given a motif.
pub(crate) fn fits(dataset: &Dataset, pooling: Pooling, has_hidden: bool) -> bool {
    dataset.kind == TargetKind::Binary && dataset.outputs == 1 && pooling == Pooling::Max && !has_hidden
}

/// Adds the motif of the bound sequences to `network`, which is as it is fitted and reads `strands`; `None` if there is no
/// such motif. `known` are matrices of log-odds in bits.
pub(crate) fn add(
    network: &Network,
    strands: Strands,
    dataset: &Dataset,
    known: &[Network],
) -> Option<(Network, MotifFilter)> {
    let search = Search::new(dataset, network.filter_length, strands)?;
    let own = search.promising(network).into_iter().map(|matrix| (matrix, None));
    let known = known.iter().map(|motif| {
        let frequencies = frequencies(motif, network.filter_length);
        (Matrix::new(&frequencies, &search.background), Some(frequencies))
    });
    // Known motifs first: of equally good ones, the first is taken.
    let starts: Vec<_> = known.chain(own).collect();
    let fitted: Vec<Fitted> =
        starts.into_par_iter().filter_map(|(start, known)| search.fit(start, known.as_deref())).collect();
    let best = fitted.into_iter().reduce(|best, next| if next.power > best.power { next } else { best })?;
    let sites = (best.sites as f64 - CHANCE * search.bound.len() as f64) / (1.0 - CHANCE);
    let known = if best.known { PRIOR } else { 0.0 };
    let counted = sites.max(0.0) + known;
    let weight = MOST * counted / (counted + HALF);
    let network = search.append(&best.matrix, weight, network, dataset)?;
    Some((network, MotifFilter { sequences: search.bound.len(), sites, weight }))
}

/// Logarithms of the ratios of frequencies at sites and in the background: `[column][code]`, the last code being N.
#[derive(Debug, Clone)]
struct Matrix {
    columns: Vec<[f32; 5]>,
    /// For the other strand.
    reverse: Vec<[f32; 5]>,
}

impl Matrix {
    fn new(frequencies: &[[f64; 4]], background: &[f64; 4]) -> Matrix {
        let ratio =
            |column: &[f64; 4]| std::array::from_fn(|base| (column[base] / background[base]).ln() as f32);
        Matrix::from_weights(frequencies.iter().map(ratio))
    }

    fn from_weights(columns: impl Iterator<Item = [f32; 4]>) -> Matrix {
        let with_n = |[a, c, g, t]: [f32; 4]| [a, c, g, t, (a + c + g + t) / 4.0];
        let columns: Vec<[f32; 5]> = columns.map(with_n).collect();
        let reverse = columns.iter().rev().map(|&[a, c, g, t, n]| [t, g, c, a, n]).collect();
        Matrix { columns, reverse }
    }

    /// The best place on each strand, and its score.
    fn best(&self, codes: &[u8]) -> [(f32, usize); 2] {
        [&self.columns, &self.reverse].map(|columns| {
            let mut best = (f32::NEG_INFINITY, 0);
            for (place, codes) in codes.windows(columns.len()).enumerate() {
                let score = columns.iter().zip(codes).map(|(column, &code)| column[usize::from(code)]).sum();
                best = if score > best.0 { (score, place) } else { best };
            }
            best
        })
    }
}

/// A matrix that was fitted.
struct Fitted {
    matrix: Matrix,
    sites: usize,
    /// Share of the bound sequences that stand out.
    power: f64,
    known: bool,
}

/// The search for the motif of one data set.
struct Search<'a> {
    bound: Vec<&'a [u8]>,
    unbound: Vec<&'a [u8]>,
    background: [f64; 4],
    strands: Strands,
}

impl<'a> Search<'a> {
    /// `None` without sequences of both classes that hold a motif of this length.
    fn new(dataset: &'a Dataset, length: usize, strands: Strands) -> Option<Search<'a>> {
        let targets = dataset.target_column(0);
        let class = |wanted: bool| -> Vec<&'a [u8]> {
            let ranked = dataset.sequences.iter().zip(&targets);
            let of_class =
                ranked.filter(|(codes, target)| (**target > 0.5) == wanted && codes.len() >= length);
            let all: Vec<&[u8]> = of_class.map(|(codes, _)| &**codes).collect();
            let step = all.len().div_ceil(LOOKED_AT).max(1);
            all.into_iter().step_by(step).collect()
        };
        let (bound, unbound) = (class(true), class(false));
        let mut counts = [1.0; 4];
        for &code in unbound.iter().copied().flatten().filter(|&&code| code < N) {
            counts[usize::from(code)] += 1.0;
        }
        let total: f64 = counts.iter().sum();
        let background = counts.map(|count| count / total);
        let any = !bound.is_empty() && !unbound.is_empty();
        any.then_some(Search { bound, unbound, background, strands })
    }

    /// The best place, its score, and true if it is on the reverse strand.
    fn site(&self, matrix: &Matrix, codes: &[u8]) -> (f32, usize, bool) {
        let [(forward, at), (reverse, reverse_at)] = matrix.best(codes);
        if self.strands != Strands::Single && reverse > forward {
            (reverse, reverse_at, true)
        } else {
            (forward, at, false)
        }
    }

    fn scores(&self, matrix: &Matrix, sequences: &[&[u8]]) -> Vec<f32> {
        sequences.iter().map(|codes| self.site(matrix, codes).0).collect()
    }

    /// The filters that raise the scores of bound sequences most, as matrices.
    fn promising(&self, network: &Network) -> Vec<Matrix> {
        let length = network.filter_length;
        let weight = |filter: usize, base: usize, j: usize| network.weights[(filter * 4 + base) * length + j];
        let mut ranked: Vec<(f32, Matrix)> = (0..network.filters)
            .into_par_iter()
            .map(|filter| {
                let columns = (0..length).map(|j| std::array::from_fn(|base| weight(filter, base, j)));
                let matrix = Matrix::from_weights(columns);
                let mean = |sequences: &[&[u8]]| {
                    let active = |score: f32| f64::from((score + network.biases[filter]).max(0.0));
                    let scores = self.scores(&matrix, sequences);
                    scores.into_iter().map(active).sum::<f64>() / sequences.len() as f64
                };
                let rise = (mean(&self.bound) - mean(&self.unbound)) as f32;
                (network.output.weights[filter] * rise, matrix)
            })
            .collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        ranked.into_iter().take(STARTS).filter(|(gain, _)| *gain > 0.0).map(|(_, matrix)| matrix).collect()
    }

    /// Fits a matrix from a start. Frequencies that are known count as [`PRIOR`] sites. `None` without any site.
    fn fit(&self, start: Matrix, known: Option<&[[f64; 4]]>) -> Option<Fitted> {
        let (mut matrix, mut sites) = (start, 0);
        let length = matrix.columns.len();
        for round in 0..ROUNDS {
            let least = quantile(self.scores(&matrix, &self.unbound), 1.0 - CHANCE);
            // Counts in the columns of the matrix, and in those beside it.
            let mut counts = vec![[0.0; 4]; length + 2 * FARTHEST];
            sites = 0;
            for codes in &self.bound {
                let (score, place, reverse) = self.site(&matrix, codes);
                if score <= least {
                    continue;
                }
                sites += 1;
                for (column, counts) in counts.iter_mut().enumerate() {
                    let ahead = if reverse {
                        (length + FARTHEST - 1).wrapping_sub(column)
                    } else {
                        column.wrapping_sub(FARTHEST)
                    };
                    match codes.get(place.wrapping_add(ahead)) {
                        Some(&code) if code < N && reverse => counts[usize::from(N - 1 - code)] += 1.0,
                        Some(&code) if code < N => counts[usize::from(code)] += 1.0,
                        _ => {}
                    }
                }
            }
            if sites == 0 && known.is_none() {
                return None;
            }
            // Known columns stay where they are.
            let moves = MOVES.contains(&round) && known.is_none();
            let from = if moves { self.most_alike(&counts, length) } else { FARTHEST };
            let mut counts = counts[from..from + length].to_vec();
            for (j, column) in counts.iter_mut().enumerate() {
                let known = known.map(|known| known[j]);
                for (base, count) in column.iter_mut().enumerate() {
                    *count +=
                        PSEUDOCOUNT * self.background[base] + known.map_or(0.0, |known| PRIOR * known[base]);
                }
                let total: f64 = column.iter().sum();
                column.iter_mut().for_each(|count| *count /= total);
            }
            matrix = Matrix::new(&counts, &self.background);
        }
        let high = quantile(self.scores(&matrix, &self.unbound), 1.0 - TAIL);
        let standing_out =
            self.scores(&matrix, &self.bound).into_iter().filter(|&score| score > high).count();
        let power = standing_out as f64 / self.bound.len() as f64;
        Some(Fitted { matrix, sites, power, known: known.is_some() })
    }

    /// First of so many columns whose bases differ most from the background; the middle one of equally good ones.
    fn most_alike(&self, counts: &[[f64; 4]], length: usize) -> usize {
        let information = |column: &[f64; 4]| -> f64 {
            let total = column.iter().sum::<f64>() + PSEUDOCOUNT;
            let frequencies = column.iter().zip(&self.background).map(|(count, background)| {
                let frequency = (count + PSEUDOCOUNT * background) / total;
                frequency * (frequency / background).ln()
            });
            frequencies.sum()
        };
        best_run(&counts.iter().map(information).collect::<Vec<f64>>(), length, FARTHEST)
    }

    /// The network with one more filter. The mean score stays as it was.
    fn append(&self, matrix: &Matrix, weight: f64, network: &Network, dataset: &Dataset) -> Option<Network> {
        let threshold = quantile(self.scores(matrix, &self.unbound), 1.0 - ACTIVE);
        let active =
            |codes: &&[u8]| matrix.best(codes).map(|(score, _)| f64::from((score - threshold).max(0.0)));
        let feature = |[forward, reverse]: &[f64; 2]| match self.strands {
            Strands::Symmetric => forward + reverse,
            Strands::Both => forward.max(*reverse),
            Strands::Single => *forward,
        };
        let [of_bound, of_unbound] =
            [&self.bound, &self.unbound].map(|sequences| sequences.iter().map(active).collect::<Vec<_>>());
        // Sites that read alike on both strands count twice where strands are added.
        let best: f64 = of_bound.iter().map(|[forward, reverse]| forward.max(*reverse)).sum();
        let added: f64 = of_bound.iter().map(feature).sum();
        let twice = if self.strands == Strands::Symmetric { added / best } else { 1.0 };
        let weight = weight / twice;
        if !weight.is_finite() {
            return None;
        }
        let mean = |active: &[[f64; 2]]| active.iter().map(feature).sum::<f64>() / active.len() as f64;
        let bound = dataset.target_column(0).iter().filter(|&&target| target > 0.5).count() as f64;
        let share = bound / dataset.len() as f64;
        let shift = weight * (share * mean(&of_bound) + (1.0 - share) * mean(&of_unbound));

        let mut network = network.clone();
        network.filters += 1;
        for base in 0..4 {
            network.weights.extend(matrix.columns.iter().map(|column| column[base]));
        }
        network.biases.push(-threshold);
        network.output.inputs += 1;
        network.output.weights.push(weight as f32);
        network.output.bias[0] -= shift as f32;
        Some(network)
    }
}

/// The value that this share of the values does not exceed.
fn quantile(mut values: Vec<f32>, share: f64) -> f32 {
    let rank = ((values.len() as f64 * share) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// First of so many neighbours with the largest sum; of equally good runs, the one from `first` on, or else the first.
fn best_run(values: &[f64], length: usize, first: usize) -> usize {
    let sum = |from: usize| values[from..from + length].iter().sum::<f64>();
    (0..=values.len() - length).fold(first, |best, next| if sum(next) > sum(best) { next } else { best })
}

/// Frequencies of the bases in the columns of a matrix of log-odds in bits, cut or filled up to `length` columns: of a longer
/// one those are kept that matter most, a shorter one lies in the middle.
fn frequencies(motif: &Network, length: usize) -> Vec<[f64; 4]> {
    let width = motif.filter_length;
    let column = |j: usize| {
        let odds = [0, 1, 2, 3].map(|base| f64::from(motif.weights[base * width + j]).exp2());
        let total: f64 = odds.iter().sum();
        odds.map(|odds| odds / total)
    };
    let columns: Vec<[f64; 4]> = (0..width).map(column).collect();
    let used = width.min(length);
    let information =
        |column: &[f64; 4]| -> f64 { column.iter().map(|p| p * (4.0 * p).max(1e-9).log2()).sum() };
    let start = best_run(&columns.iter().map(information).collect::<Vec<f64>>(), used, 0);
    let before = (length - used) / 2;
    let mut filled = vec![[0.25; 4]; length];
    filled[before..before + used].copy_from_slice(&columns[start..start + used]);
    filled
}
