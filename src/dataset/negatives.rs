//! Sequences that are not bound, to tell the bound ones from: shuffles that keep the dinucleotides, and windows of
//! the genome that match in GC content ([`crate::dataset::peaks`]).

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::seq::shuffle::shuffle_kmers;
use crate::{Error, Result};

/// Dinucleotide-preserving shuffles of the positives: `per_positive` times as many, rounded, each positive in its turn.
/// The same seed gives the same shuffles.
///
/// # Errors
/// A ratio that is no positive number.
pub fn shuffles(positives: &[Vec<u8>], per_positive: f64, seed: u64) -> Result<Vec<Vec<u8>>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = wanted(positives.len(), per_positive)?;
    let turns = positives.iter().cycle().take(if positives.is_empty() { 0 } else { count });
    Ok(turns.map(|codes| shuffle_kmers(codes, 2, &mut rng)).collect())
}

/// Number of negatives for a number of positives: at least one.
///
/// # Errors
/// A ratio that is no positive number.
pub fn wanted(positives: usize, per_positive: f64) -> Result<usize> {
    if !(per_positive > 0.0 && per_positive.is_finite()) {
        return Err(Error::Request(format!("{per_positive} negatives per positive: more than 0 are needed")));
    }
    Ok(((positives as f64 * per_positive).round() as usize).max(1))
}
