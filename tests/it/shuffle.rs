//! Shuffles that keep k-mers: what they keep, and that each is as likely as any other.

use std::collections::BTreeMap;

use bindscan::seq::alphabet::{N, encode};
use bindscan::seq::shuffle::{LONGEST, shuffle_kmers};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

fn kmers(codes: &[u8], k: usize) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    let whole = codes.windows(k).filter(|kmer| !kmer.contains(&N));
    whole.for_each(|kmer| *counts.entry(kmer.to_vec()).or_insert(0) += 1);
    counts
}

/// Every sequence with the k-mers of `codes` that begins as it does, by trying all of them.
fn all_walks(walk: &mut Vec<u8>, k: usize, left: &mut BTreeMap<Vec<u8>, usize>, found: &mut Vec<Vec<u8>>) {
    if left.values().all(|&count| count == 0) {
        found.push(walk.clone());
        return;
    }
    for next in 0..4 {
        walk.push(next);
        let edge = walk[walk.len() - k..].to_vec();
        if left.get(&edge).is_some_and(|&count| count > 0) {
            *left.get_mut(&edge).unwrap() -= 1;
            all_walks(walk, k, left, found);
            *left.get_mut(&edge).unwrap() += 1;
        }
        walk.pop();
    }
}

/// Chi-square against equal frequencies. The limit is 5 standard deviations above the mean, k - 1.
#[test]
fn every_sequence_is_reached_equally_often() {
    for (letters, k) in [("ACGACTACGTACAGACG", 3), ("AACAAGAATAACAAG", 3), ("ACGTTACGTAACGTCACGT", 4)] {
        let codes = encode(letters.as_bytes()).unwrap();
        let mut walks = Vec::new();
        all_walks(&mut codes[..k - 1].to_vec(), k, &mut kmers(&codes, k), &mut walks);
        assert!(walks.len() > 1, "{letters}");
        let mut counts: BTreeMap<Vec<u8>, usize> = walks.into_iter().map(|walk| (walk, 0)).collect();
        let each = 500;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        for _ in 0..each * counts.len() {
            let shuffled = shuffle_kmers(&codes, k, &mut rng);
            *counts.get_mut(&shuffled).expect("a sequence with the same k-mers") += 1;
        }
        let chi: f64 = counts.values().map(|&n| (n as f64 - each as f64).powi(2) / each as f64).sum();
        let freedom = (counts.len() - 1) as f64;
        assert!(chi < freedom + 5.0 * (2.0 * freedom).sqrt(), "{letters}: {chi} on {freedom}");
    }
}

proptest! {
    #[test]
    fn kmers_and_gaps_stay(codes in prop::collection::vec(0u8..5, 0..400), k in 1..=LONGEST, seed: u64) {
        let shuffled = shuffle_kmers(&codes, k, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        prop_assert_eq!(kmers(&shuffled, k), kmers(&codes, k));
        for (a, b) in codes.iter().zip(&shuffled) {
            prop_assert_eq!(*a == N, *b == N);
        }
    }

    #[test]
    fn repeats_are_no_trap(unit in prop::collection::vec(0u8..4, 1..4), length in 1usize..3000, k in 2..=LONGEST) {
        let codes: Vec<u8> = unit.iter().copied().cycle().take(length).chain([0, 1, 2, 3]).collect();
        let shuffled = shuffle_kmers(&codes, k, &mut Xoshiro256PlusPlus::seed_from_u64(1));
        prop_assert_eq!(kmers(&shuffled, k), kmers(&codes, k));
    }
}
