//! Background sequence: what a window looks like that nothing binds.

use crate::null::markov::{Dice, HIGHEST_ORDER, Markov};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::genome::sequence_source::SequenceSource;
use crate::seq::alphabet::N;
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::seq::shuffle::shuffle_kmers;
use crate::{Error, Result};

/// Bases of a piece of real sequence that is shuffled: long enough to have most k-mers, short enough to keep what is
/// local in a genome's composition.
const PIECE: usize = 16 << 10;

/// Most bases of real sequence that are kept for shuffling; more background than that shuffles them again.
const KEPT: usize = 64 << 20;

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

    /// True if real sequence is shuffled.
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
