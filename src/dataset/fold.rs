//! Parts of a data set, each held out once.

use std::collections::HashMap;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::dataset::{Dataset, TargetKind, identity};
use crate::seq::rng::shuffle;

/// Ranks of the examples in each of `folds` folds: those that the data set assigns, if there are as many, or at random,
/// class by class. At random, equal sequences (unless `stranded`, also reverse complements) come to the same fold, so that
/// what is held out has not been seen.
pub(crate) fn ranks(dataset: &Dataset, folds: usize, stranded: bool, seed: u64) -> Vec<Vec<u32>> {
    let mut parts = vec![Vec::new(); folds];
    if let Some(given) = &dataset.folds {
        let mut names = given.clone();
        names.sort_unstable();
        names.dedup();
        if names.len() == folds {
            for (rank, fold) in given.iter().enumerate() {
                parts[names.partition_point(|name| name < fold)].push(rank as u32);
            }
            return parts;
        }
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut ranks: Vec<u32> = (0..dataset.len() as u32).collect();
    shuffle(&mut ranks, &mut rng);
    if dataset.kind == TargetKind::Binary {
        // Stable: random within a class.
        ranks.sort_by_key(|&rank| dataset.targets[rank as usize * dataset.outputs] > 0.5);
    }
    let mut fold_of = HashMap::with_capacity(ranks.len());
    for rank in ranks {
        let next = fold_of.len() % folds;
        let codes = identity(&dataset.sequences[rank as usize], stranded);
        parts[*fold_of.entry(codes).or_insert(next)].push(rank);
    }
    parts
}
