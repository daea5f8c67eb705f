//! Markov models of background sequence.

use crate::Result;
use crate::seq::alphabet::N;
use crate::seq::shuffle;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Highest order of a [`Markov`] model.
pub const HIGHEST_ORDER: usize = shuffle::LONGEST - 1;

/// Longest k-mers that are counted two at a time: histograms of the words of k + 1 bases fit the first-level cache.
const LONGEST_PAIRED: usize = 4;

/// Places whose k-mers are counted together, a multiple of 4.
const COUNTED_TOGETHER: usize = 1024;

/// A Markov model of DNA: the probability of a base, given so many bases before it (the order).
///
/// It is kept as the counts of its k-mers, k = order + 1, so that it can be stored exactly. Each count is taken one
/// higher (Laplace), so that nothing is impossible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markov {
    /// `counts[kmer]`, 4^(order + 1) of them: a k-mer is read as a number to the base 4, its first base the highest digit.
    pub(crate) counts: Vec<u64>,
}

impl Markov {
    /// A model without counts: every base as likely as any other.
    ///
    /// # Panics
    /// If `order` is above [`HIGHEST_ORDER`].
    pub fn new(order: usize) -> Markov {
        assert!(order <= HIGHEST_ORDER, "order {order} is too high");
        Markov { counts: vec![0; 4usize.pow(order as u32 + 1)] }
    }

    /// Bases that the next one depends on.
    pub fn order(&self) -> usize {
        self.counts.len().ilog(4) as usize - 1
    }

    /// True if the counts are those of a model: for what is read from a file.
    pub(crate) fn check(&self) -> Result<(), String> {
        let orders = 0..=HIGHEST_ORDER;
        let shaped = orders.into_iter().any(|order| self.counts.len() == 4usize.pow(order as u32 + 1));
        let sum = self.counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
        if !shaped || sum.is_none() {
            return Err("its background has counts that are no k-mers'".into());
        }
        Ok(())
    }

    /// Counts the k-mers of a stretch; those with an N are left out.
    pub fn count(&mut self, codes: &[u8]) {
        let k = self.order() + 1;
        if k > LONGEST_PAIRED || codes.len() < COUNTED_TOGETHER {
            return self.count_each(codes);
        }
        // Words of k + 1 bases hold two k-mers each. Two histograms, so that an addition need not wait for the last one.
        let words = 4 * self.counts.len();
        let mut histograms = vec![0u32; 2 * words];
        let (even, odd) = histograms.split_at_mut(words);
        let mut block = [0u16; COUNTED_TOGETHER];
        let starts = (codes.len() + 1).saturating_sub(k);
        for from in (0..starts).step_by(COUNTED_TOGETHER) {
            let seen = &codes[from..codes.len().min(from + COUNTED_TOGETHER + k - 1)];
            let whole = seen.len() == COUNTED_TOGETHER + k - 1;
            if !whole || seen.iter().fold(0, |most, &code| code.max(most)) >= N {
                self.count_each(seen);
                continue;
            }
            block.fill(0);
            for bases in seen.windows(COUNTED_TOGETHER).take(k) {
                block.iter_mut().zip(bases).for_each(|(word, &code)| *word = *word << 2 | u16::from(code));
            }
            // The last word of a block would end beyond it; only every second one is used.
            for (i, word) in block.iter_mut().enumerate().take(COUNTED_TOGETHER - 1) {
                *word = *word << 2 | u16::from(seen[i + k]);
            }
            for words in block.chunks_exact(4) {
                even[usize::from(words[0])] += 1;
                odd[usize::from(words[2])] += 1;
            }
        }
        for (word, count) in
            even.iter().zip(odd).enumerate().map(|(word, (x, y))| (word, u64::from(*x) + u64::from(*y)))
        {
            self.counts[word >> 2] += count;
            self.counts[word % (words / 4)] += count;
        }
    }

    fn count_each(&mut self, codes: &[u8]) {
        let order = self.order();
        let last = self.counts.len() - 1;
        // The number of k-mers is a power of two.
        let next = |kmer: usize, code: u8| (kmer << 2 | usize::from(code)) & last;
        for stretch in codes.split(|&code| code >= N).filter(|stretch| stretch.len() > order) {
            let (head, rest) = stretch.split_at(order);
            let mut kmer = head.iter().fold(0, |kmer, &code| next(kmer, code));
            for &code in rest {
                kmer = next(kmer, code);
                self.counts[kmer] += 1;
            }
        }
    }

    /// Adds the counts of another model of the same order, each taken `weight` times.
    pub(crate) fn add(&mut self, other: &Markov, weight: u64) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += weight * count);
    }

    /// Forgets what was counted.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// k-mers counted.
    pub fn counted(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Probabilities of A, C, G and T after each context; contexts are numbered as k-mers are.
    pub fn probabilities(&self) -> Vec<[f64; 4]> {
        let of_context = |counts: &[u64]| {
            let all: f64 = counts.iter().map(|&count| count as f64 + 1.0).sum();
            std::array::from_fn(|base| (counts[base] as f64 + 1.0) / all)
        };
        self.counts.chunks_exact(4).map(of_context).collect()
    }

    /// Probability of each context.
    pub fn contexts(&self) -> Vec<f64> {
        let all = self.counts.iter().map(|&count| count as f64 + 1.0).sum::<f64>();
        let of_context = |counts: &[u64]| counts.iter().map(|&count| count as f64 + 1.0).sum::<f64>() / all;
        self.counts.chunks_exact(4).map(of_context).collect()
    }

    /// Random numbers with which bases are drawn.
    pub(crate) fn dice(&self) -> Dice {
        let mut context = 0.0;
        let contexts = self.contexts().into_iter().map(|p| {
            context += p;
            context
        });
        let edges = |p: &[f64; 4]| [p[0], p[0] + p[1], p[0] + p[1] + p[2]].map(|p| (p * TWO_32) as u64);
        Dice { contexts: contexts.collect(), edges: self.probabilities().iter().map(edges).collect() }
    }
}

pub(crate) const TWO_32: f64 = (1u64 << 32) as f64;

/// A [`Markov`] model prepared for drawing.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    /// Cumulative probability of the contexts.
    pub(crate) contexts: Vec<f64>,
    /// For each context, where C, G and T begin in a number of 32 bits.
    pub(crate) edges: Vec<[u64; 3]>,
}

impl Dice {
    pub(crate) fn fill(&self, length: usize, rng: &mut impl Rng, out: &mut Vec<u8>) {
        let draw: f64 = rng.random();
        let mut context = self.contexts.partition_point(|&p| p <= draw).min(self.contexts.len() - 1);
        out.clear();
        while out.len() < length {
            let bits: u64 = rng.random();
            for draw in [bits & 0xFFFF_FFFF, bits >> 32] {
                let [c, g, t] = self.edges[context];
                let base = usize::from(draw >= c) + usize::from(draw >= g) + usize::from(draw >= t);
                out.push(base as u8);
                context = (context * 4 + base) % self.edges.len();
            }
        }
        out.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn kmers_are_counted_alike_one_by_one_and_two_by_two(
            order in 0usize..5, length in 0usize..5000, modulus in 1u64..9000, seed in 0u64..1000
        ) {
            let random = |i: usize| (i as u64 + seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
            let code = |i: usize| if random(i) % modulus == 1 { N } else { (random(i) >> 40) as u8 % 4 };
            let codes: Vec<u8> = (0..length).map(code).collect();
            let (mut counted, mut expected) = (Markov::new(order), Markov::new(order));
            counted.count(&codes);
            expected.count_each(&codes);
            prop_assert_eq!(counted, expected);
        }
    }
}
