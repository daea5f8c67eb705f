//! Dinucleotide shuffles: what they keep, and that each is as likely as any other.

use std::collections::{BTreeMap, BTreeSet};

use bindscan::dataset::negatives::shuffles;
use bindscan::seq::alphabet::N;
use bindscan::seq::shuffle::shuffle_kmers;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::codes;

fn dinucleotides(codes: &[u8]) -> BTreeMap<(u8, u8), usize> {
    let mut counts = BTreeMap::new();
    codes.windows(2).for_each(|pair| *counts.entry((pair[0], pair[1])).or_insert(0) += 1);
    counts
}

/// Every sequence with the dinucleotides of `codes` that begins as it does, by trying all of them.
fn all_walks(codes: &[u8]) -> BTreeSet<Vec<u8>> {
    fn extend(walk: &mut Vec<u8>, left: &mut BTreeMap<(u8, u8), usize>, walks: &mut BTreeSet<Vec<u8>>) {
        if left.values().all(|&count| count == 0) {
            walks.insert(walk.clone());
            return;
        }
        for next in 0..4 {
            let edge = (*walk.last().expect("never empty"), next);
            if left.get(&edge).is_some_and(|&count| count > 0) {
                *left.get_mut(&edge).expect("present") -= 1;
                walk.push(next);
                extend(walk, left, walks);
                walk.pop();
                *left.get_mut(&edge).expect("present") += 1;
            }
        }
    }
    let mut walks = BTreeSet::new();
    extend(&mut vec![codes[0]], &mut dinucleotides(codes), &mut walks);
    walks
}

/// Chi-square against equal frequencies. The limit is 5 standard deviations above the mean, k - 1.
#[test]
fn every_sequence_is_reached_equally_often() {
    for letters in ["ACAGATACCA", "AACCGGTTAACG", "ACGTACCGTT", "GAGAGGAAGC", "TTTTATTCTT", "ACACACACACACAGA"]
    {
        let sequence = codes(letters);
        let walks = all_walks(&sequence);
        assert!(walks.len() > 1, "{letters}");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut counts: BTreeMap<Vec<u8>, usize> = walks.iter().map(|walk| (walk.clone(), 0)).collect();
        let each = 400;
        for _ in 0..each * walks.len() {
            let shuffled = shuffle_kmers(&sequence, 2, &mut rng);
            *counts
                .get_mut(&shuffled)
                .unwrap_or_else(|| panic!("{shuffled:?} is no shuffle of {letters}")) += 1;
        }
        let expected = each as f64;
        let chi: f64 = counts.values().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
        let freedom = (walks.len() - 1) as f64;
        assert!(
            chi < freedom + 5.0 * (2.0 * freedom).sqrt(),
            "{letters}: {chi} with {freedom} degrees of freedom"
        );
    }
}

#[test]
fn what_cannot_change_does_not() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for letters in ["", "A", "AC", "AAAAAAA", "ACGT", "NNN", "ANCNG", "N", "ACGTNNACGT"] {
        assert_eq!(shuffle_kmers(&codes(letters), 2, &mut rng), codes(letters), "{letters}");
    }
}

/// Two letters that alternate, and one way out at the end: the last edges must be found at once.
#[test]
fn long_repeats_take_no_longer() {
    let mut sequence = codes("AC").repeat(200_000);
    sequence.extend(codes("CCGA").repeat(3));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let shuffled = shuffle_kmers(&sequence, 2, &mut rng);
    assert_eq!(dinucleotides(&shuffled), dinucleotides(&sequence));
}

#[test]
fn ratio_and_seed_are_kept_to() {
    let positives: Vec<Vec<u8>> =
        vec![codes("ACGATCGATTGCAACG"), codes("GGCATTAGCATCGGA"), codes("TTAGACCATGACA")];
    for (ratio, count) in [(1.0, 3), (2.5, 8), (0.34, 1), (0.01, 1)] {
        assert_eq!(shuffles(&positives, ratio, 3).unwrap().len(), count);
    }
    let made = shuffles(&positives, 2.0, 3).unwrap();
    assert_eq!(made, shuffles(&positives, 2.0, 3).unwrap());
    assert_ne!(made, shuffles(&positives, 2.0, 4).unwrap());
    assert!(made.iter().zip(positives.iter().cycle()).all(|(a, b)| dinucleotides(a) == dinucleotides(b)));
    for ratio in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(shuffles(&positives, ratio, 3).is_err());
    }
    assert!(shuffles(&[], 1.0, 3).unwrap().is_empty());
}

proptest! {
    #[test]
    fn dinucleotides_ends_and_n_are_kept(sequence in prop::collection::vec(0u8..5, 0..200), seed: u64) {
        let shuffled = shuffle_kmers(&sequence, 2, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        prop_assert_eq!(shuffled.len(), sequence.len());
        let stretches = |codes: &[u8]| codes.split(|&code| code == N).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (before, after) = (stretches(&sequence), stretches(&shuffled));
        prop_assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(&after) {
            prop_assert_eq!(dinucleotides(a), dinucleotides(b));
            prop_assert_eq!((a.first(), a.last()), (b.first(), b.last()));
        }
        let again = shuffle_kmers(&sequence, 2, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        prop_assert_eq!(shuffled, again);
    }

    #[test]
    fn seeds_differ(sequence in prop::collection::vec(0u8..4, 60..200), seed: u64) {
        let shuffled = |seed| shuffle_kmers(&sequence, 2, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        prop_assert_ne!(shuffled(seed), shuffled(seed.wrapping_add(1)));
    }
}
