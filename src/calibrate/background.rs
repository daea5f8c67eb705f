//! Background sequence: what a window looks like that nothing binds.

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::encode::N;
use crate::shuffle::{self, shuffle_kmers};
use crate::source::{Chunk, ChunkShape, SequenceSource};
use crate::{Error, Result};

/// Highest order of a [`Markov`] model.
pub const HIGHEST_ORDER: usize = shuffle::LONGEST - 1;

/// Bases of a piece of real sequence that is shuffled: long enough to have most k-mers, short enough to keep what is
/// local in a genome's composition.
const PIECE: usize = 16 << 10;

/// Most bases of real sequence that are kept for shuffling; more background than that shuffles them again.
const KEPT: usize = 64 << 20;

/// A Markov model of DNA: the probability of a base, given so many bases before it (the order).
///
/// It is kept as the counts of its k-mers, k = order + 1, so that it can be stored exactly. Each count is taken one
/// higher (Laplace), so that nothing is impossible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markov {
    /// `counts[kmer]`, 4^(order + 1) of them: a k-mer is read as a number to the base 4, its first base the highest digit.
    counts: Vec<u64>,
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

    /// Whether the counts are those of a model: for what is read from a file.
    pub(super) fn check(&self) -> Result<(), String> {
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
        let order = self.order();
        let kmers = self.counts.len();
        for stretch in codes.split(|&code| code >= N).filter(|stretch| stretch.len() > order) {
            let mut kmer = 0;
            for (i, &code) in stretch.iter().enumerate() {
                kmer = (kmer * 4 + usize::from(code)) % kmers;
                if i >= order {
                    self.counts[kmer] += 1;
                }
            }
        }
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

    /// How often each context occurs, as a probability.
    pub fn contexts(&self) -> Vec<f64> {
        let all = self.counts.iter().map(|&count| count as f64 + 1.0).sum::<f64>();
        let of_context = |counts: &[u64]| counts.iter().map(|&count| count as f64 + 1.0).sum::<f64>() / all;
        self.counts.chunks_exact(4).map(of_context).collect()
    }

    /// What bases are drawn with.
    fn dice(&self) -> Dice {
        let mut context = 0.0;
        let contexts = self.contexts().into_iter().map(|p| {
            context += p;
            context
        });
        let edges = |p: &[f64; 4]| [p[0], p[0] + p[1], p[0] + p[1] + p[2]].map(|p| (p * TWO_32) as u64);
        Dice { contexts: contexts.collect(), edges: self.probabilities().iter().map(edges).collect() }
    }
}

const TWO_32: f64 = (1u64 << 32) as f64;

/// A [`Markov`] model prepared for drawing.
#[derive(Debug, Clone)]
struct Dice {
    /// Cumulative probability of the contexts.
    contexts: Vec<f64>,
    /// For each context, where C, G and T begin in a number of 32 bits.
    edges: Vec<[u64; 3]>,
}

impl Dice {
    fn fill(&self, length: usize, rng: &mut impl Rng, out: &mut Vec<u8>) {
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

/// Background sequence of any length.
#[derive(Debug, Clone)]
pub struct Background {
    markov: Markov,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Drawn(Dice),
    Shuffled(Vec<Vec<u8>>),
}

impl Background {
    /// Sequence drawn from a Markov model.
    pub fn drawn(markov: Markov) -> Background {
        let dice = markov.dice();
        Background { markov, kind: Kind::Drawn(dice) }
    }

    /// Bases that are independent, each as likely as any other.
    pub fn uniform() -> Background {
        Background::drawn(Markov::new(0))
    }

    /// Sequence drawn from a Markov model of so high an `order`, fitted to everything in `source`; or, if `shuffled`,
    /// pieces of it that are shuffled so that each keeps its k-mers, k = order + 1. `seed` chooses the pieces where
    /// there are more than fit into memory.
    ///
    /// # Errors
    /// Whatever the source meets, and a source without k bases in a row.
    pub fn fitted(
        source: &mut dyn SequenceSource,
        order: usize,
        shuffled: bool,
        seed: u64,
    ) -> Result<Background> {
        let mut markov = Markov::new(order);
        let mut pieces = Pieces::new(seed);
        let mut chunk = Chunk::default();
        while source.read_chunk(&mut chunk)? {
            // Each k-mer that begins in the chunk's own stretch.
            let from = (chunk.own.start - chunk.start) as usize;
            let own = (chunk.own.end - chunk.own.start) as usize;
            let codes = &chunk.codes[from.min(chunk.codes.len())..];
            markov.count(&codes[..codes.len().min(own + order)]);
            if shuffled {
                codes[..codes.len().min(own)].chunks(PIECE).for_each(|piece| pieces.offer(piece, order + 1));
            }
        }
        if markov.counted() == 0 {
            let least =
                if order == 0 { "a base".to_owned() } else { format!("{} bases in a row", order + 1) };
            let message = format!("a background cannot be fitted to it: it has not even {least} without N");
            return Err(Error::Request(message));
        }
        if shuffled && pieces.kept.is_empty() {
            return Err(Error::Request("nothing in it is long enough to be shuffled".into()));
        }
        let kind = if shuffled { Kind::Shuffled(pieces.kept) } else { Kind::Drawn(markov.dice()) };
        Ok(Background { markov, kind })
    }

    /// The shape of the chunks that [`Background::fitted`] reads.
    pub fn chunk_shape() -> ChunkShape {
        ChunkShape { own: 64 * PIECE, left: 0, right: HIGHEST_ORDER, reach: HIGHEST_ORDER }
    }

    /// The Markov model: what sequence is drawn from, or what shuffled sequence would give.
    pub fn markov(&self) -> &Markov {
        &self.markov
    }

    /// Whether real sequence is shuffled.
    pub fn is_shuffled(&self) -> bool {
        matches!(self.kind, Kind::Shuffled(_))
    }

    /// Fills `out` with `length` bases. The same seed and block give the same ones; blocks are independent.
    pub fn fill(&self, seed: u64, block: u64, length: usize, out: &mut Vec<u8>) {
        let mut rng = stream(seed, block);
        match &self.kind {
            Kind::Drawn(dice) => dice.fill(length, &mut rng, out),
            Kind::Shuffled(pieces) => {
                out.clear();
                while out.len() < length {
                    let piece = &pieces[rng.random_range(0..pieces.len())];
                    out.extend(shuffle_kmers(piece, self.markov.order() + 1, &mut rng));
                }
                out.truncate(length);
            }
        }
    }
}

/// A stream of random numbers for each block.
fn stream(seed: u64, block: u64) -> Xoshiro256PlusPlus {
    let mut of_seed = Xoshiro256PlusPlus::seed_from_u64(seed);
    let key: u64 = of_seed.random();
    Xoshiro256PlusPlus::seed_from_u64(key ^ block.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Pieces of a genome, each as likely to be kept as any other where not all are (reservoir sampling).
struct Pieces {
    kept: Vec<Vec<u8>>,
    offered: usize,
    rng: Xoshiro256PlusPlus,
}

impl Pieces {
    fn new(seed: u64) -> Pieces {
        Pieces { kept: Vec::new(), offered: 0, rng: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }

    /// Takes the bases of `codes` that are not N, if there are `least` of them.
    fn offer(&mut self, codes: &[u8], least: usize) {
        let bases = codes.iter().filter(|&&code| code < N).count();
        if bases < least {
            return;
        }
        self.offered += 1;
        let place = if self.kept.len() < KEPT / PIECE {
            self.kept.push(Vec::new());
            self.kept.len() - 1
        } else {
            self.rng.random_range(0..self.offered)
        };
        if let Some(kept) = self.kept.get_mut(place) {
            *kept = codes.iter().copied().filter(|&code| code < N).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stretch in which C always follows A, and everything else is even.
    fn biased(length: usize) -> Vec<u8> {
        let mut codes = Vec::new();
        Dice { contexts: vec![1.0], edges: vec![[1 << 30, 2 << 30, 3 << 30]] }.fill(
            length,
            &mut stream(3, 0),
            &mut codes,
        );
        for i in 1..length {
            if codes[i - 1] == 0 {
                codes[i] = 1;
            }
        }
        codes
    }

    #[test]
    fn what_is_drawn_has_the_counts_it_was_fitted_to() {
        let mut markov = Markov::new(2);
        markov.count(&biased(200_000));
        let mut drawn = Vec::new();
        Background::drawn(markov.clone()).fill(1, 0, 400_000, &mut drawn);
        let mut again = Markov::new(2);
        again.count(&drawn);
        let share = |markov: &Markov, kmer: usize| markov.counts[kmer] as f64 / markov.counted() as f64;
        for kmer in 0..64 {
            assert!((share(&markov, kmer) - share(&again, kmer)).abs() < 2e-3, "{kmer}");
        }
    }

    #[test]
    fn an_n_parts_what_is_counted() {
        let mut markov = Markov::new(1);
        markov.count(&[0, 1, N, 2, N, 3, 3]);
        assert_eq!(markov.counted(), 2);
        assert_eq!((markov.counts[1], markov.counts[15]), (1, 1));
    }

    #[test]
    fn blocks_differ_and_a_seed_gives_the_same_ones() {
        let background = Background::uniform();
        let block = |seed, block| {
            let mut out = Vec::new();
            background.fill(seed, block, 1000, &mut out);
            out
        };
        assert_eq!(block(1, 0), block(1, 0));
        assert_ne!(block(1, 0), block(1, 1));
        assert_ne!(block(1, 0), block(2, 0));
    }
}
