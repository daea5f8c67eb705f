//! Background sequence: a model of sequence without binding sites, from which windows are drawn.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::genome::sequence_source::SequenceSource;
use crate::null::markov::{Dice, HIGHEST_ORDER, Markov};
use crate::pipeline;
use crate::seq::alphabet::N;
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::seq::contig::{Contig, Region, RegionQuery};
use crate::seq::shuffle::shuffle_kmers;
use crate::{Error, Result};

/// Bases of a piece of real sequence that is shuffled: long enough to have most k-mers, short enough to keep what is
/// local in a genome's composition.
const PIECE: usize = 16 << 10;

/// Bases of a block, the blocks at the start of a contig that are all counted, and how many there are for each that is
/// counted behind them.
const BLOCK: u64 = 64 * PIECE as u64;
const HEAD: u64 = 8;
const EVERY: u64 = 16;

/// Genomes of fewer bases are read as a whole.
const SMALL: u64 = 128 << 20;

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

    /// Sequence drawn from a Markov model of so high an `order`, fitted to `source`; or, if `shuffled`, pieces of it that
    /// are shuffled so that each keeps its k-mers, k = order + 1. `seed` chooses the pieces where there are more than fit
    /// into memory.
    ///
    /// The model is fitted to the first 8 MiB of each contig, and to every 16th MiB behind it, which counts 16 times: a
    /// source may leave out the rest ([`Background::regions`]). `threads` count; what comes out does not depend on their
    /// number.
    ///
    /// # Errors
    /// Whatever the source meets, and a source without k bases in a row.
    pub fn fitted(
        source: &mut dyn SequenceSource,
        order: usize,
        shuffled: bool,
        seed: u64,
        threads: usize,
        cancel: &AtomicBool,
    ) -> Result<Background> {
        let mut markov = Markov::new(order);
        let mut pieces = Pieces::new(seed);
        let count = |chunk: &Chunk, counted: &mut Counted| {
            count_chunk(chunk, order, counted);
            if shuffled {
                counted.codes.clear();
                counted.codes.extend_from_slice(own_codes(chunk, 0));
            }
            Ok(())
        };
        pipeline::run(
            |chunk: &mut Chunk| source.read_chunk(chunk),
            vec![count; threads.max(1)],
            |counted: &mut Counted| {
                if let Some(counts) = &counted.markov {
                    markov.add(counts, counted.weight);
                }
                if shuffled {
                    counted.codes.chunks(PIECE).for_each(|piece| pieces.offer(piece, order + 1));
                }
                Ok(())
            },
            cancel,
        )?;
        if markov.counted() == 0 {
            let least =
                if order == 0 { "a base".to_owned() } else { format!("{} bases in a row", order + 1) };
            let message = format!("a background cannot be fitted to it: it has not even {least} without N");
            return Err(Error::Data(message));
        }
        if shuffled && pieces.kept.is_empty() {
            return Err(Error::Data("nothing in it is long enough to be shuffled".into()));
        }
        let kind = if shuffled { Kind::Shuffled(pieces.kept) } else { Kind::Drawn(markov.dice()) };
        Ok(Background { markov, kind })
    }

    /// The shape of the chunks that [`Background::fitted`] reads.
    pub fn chunk_shape() -> ChunkShape {
        ChunkShape { own: BLOCK as usize, left: 0, right: HIGHEST_ORDER, reach: HIGHEST_ORDER }
    }

    /// The regions of an indexed genome that a model is fitted to; none if all of it is read, as it is not large.
    pub fn regions(contigs: &[Arc<Contig>]) -> Vec<RegionQuery> {
        let bases: u64 = contigs.iter().filter_map(|contig| contig.length).sum();
        if bases < SMALL {
            return Vec::new();
        }
        let mut regions = Vec::new();
        for contig in contigs {
            let length = contig.length.unwrap_or(0);
            let mut add = |start: u64, end: u64| {
                let end = Some(end.min(length));
                let region = Region { contig: contig.name.clone(), start, end };
                let text = format!("{} {start}", contig.name);
                let (interval, others) = (Some(Ok(region)), Vec::new());
                regions.push(RegionQuery { text, whole: None, interval, others, optional: false });
            };
            if length > 0 {
                add(0, HEAD * BLOCK);
            }
            for block in (HEAD..length.div_ceil(BLOCK)).filter(|&block| weight_of(block) > 0) {
                add(block * BLOCK, (block + 1) * BLOCK);
            }
        }
        regions
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

/// Weight of the k-mers of a block of a contig.
fn weight_of(block: u64) -> u64 {
    match block.checked_sub(HEAD) {
        None => 1,
        Some(behind) if behind % EVERY == EVERY / 2 => EVERY,
        Some(_) => 0,
    }
}

/// Counts of a chunk.
#[derive(Default)]
struct Counted {
    markov: Option<Markov>,
    weight: u64,
    /// Its codes, if they are to be shuffled.
    codes: Vec<u8>,
}

/// Codes of the positions that are the chunk's own, and of so many behind them.
fn own_codes(chunk: &Chunk, behind: usize) -> &[u8] {
    let from = (chunk.own.start - chunk.start) as usize;
    let own = (chunk.own.end - chunk.own.start) as usize;
    let codes = &chunk.codes[from.min(chunk.codes.len())..];
    &codes[..codes.len().min(own + behind)]
}

/// Counts the k-mers that begin in a chunk; of the blocks behind which something may be left out, those that lie wholly in
/// it.
fn count_chunk(chunk: &Chunk, order: usize, counted: &mut Counted) {
    let block = chunk.own.start / BLOCK;
    counted.weight = weight_of(block);
    let markov = counted.markov.get_or_insert_with(|| Markov::new(order));
    markov.clear();
    if counted.weight > 0 {
        markov.count(own_codes(chunk, if block + 1 < HEAD { order } else { 0 }));
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
    fn what_regions_leave_out_does_not_count() {
        let length = 70 * BLOCK + 5;
        let contig = Arc::new(Contig { id: 0, name: "c".into(), length: Some(length) });
        let of_contig = Background::regions(&[
            Arc::clone(&contig),
            Arc::new(Contig { length: Some(SMALL), ..(*contig).clone() }),
        ]);
        let blocks: Vec<(u64, u64)> = of_contig
            .iter()
            .filter_map(|query| query.interval.clone()?.ok())
            .map(|region| (region.start / BLOCK, region.end.unwrap().div_ceil(BLOCK)))
            .collect();
        assert_eq!(blocks[..5], [(0, 8), (16, 17), (32, 33), (48, 49), (64, 65)]);
        for block in 0..70 {
            let inside = blocks[..5].iter().any(|&(from, to)| (from..to).contains(&block));
            assert_eq!(weight_of(block) > 0, inside, "{block}");
        }
        assert!(Background::regions(&[contig]).is_empty());
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
