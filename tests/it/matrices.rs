//! Scanning with many matrices at once: thresholds lose no hit, for every instruction set of the machine.

use bindscan::engine::kernel::{MatrixScanner, Simd};
use bindscan::engine::scanner::{Scanner, Wanted};
use bindscan::model::{Dense, Network, Padding, Pooling};
use bindscan::scores::{Hit, HitRule, HitStrands, collect};
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn matrix(width: usize, rng: &mut Xoshiro256PlusPlus) -> Network {
    let output = Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![rng.random_range(-1.0..1.0)] };
    Network {
        filters: 1,
        filter_length: width,
        weights: (0..4 * width).map(|_| rng.random_range(-3.0..2.0)).collect(),
        biases: vec![0.0],
        rectify: false,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        output,
        sigmoid: false,
    }
}

/// Compares the hits with the scores that reach the threshold which this share of the scores lies below.
fn check(
    matrices: &[&Network],
    plan: &WindowPlan,
    chunk: &Chunk,
    quantile: f64,
    hit_strands: HitStrands,
) -> Result<(), TestCaseError> {
    for simd in Simd::available() {
        let mut scanner = MatrixScanner::new(matrices, plan, simd);
        let (mut thresholds, mut expected, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        scanner
            .score(chunk, |rank, scores| -> Result<(), ()> {
                let mut sorted = [&scores.forward[..], &scores.reverse].concat();
                sorted.sort_by(f32::total_cmp);
                let at = (sorted.len() as f64 * quantile) as usize;
                let lower = sorted.get(at / 2).copied().unwrap_or_default();
                let threshold = [sorted.get(at).copied().unwrap_or_default(), lower];
                let mut found: Vec<Hit> = Vec::new();
                let all = 0..scores.windows;
                collect(
                    scores,
                    0,
                    std::slice::from_ref(&all),
                    HitRule { thresholds: threshold, strands: hit_strands },
                    &mut found,
                )
                .unwrap();
                kept.push(all);
                found.iter_mut().for_each(|hit| hit.target = rank);
                thresholds.push(threshold);
                expected.push(found);
                Ok(())
            })
            .unwrap();
        let mut found = vec![Vec::new(); matrices.len()];
        let wanted: Vec<Wanted<'_>> = (0..matrices.len())
            .map(|output| Wanted {
                output,
                rule: HitRule { thresholds: thresholds[output], strands: hit_strands },
                kept: std::slice::from_ref(&kept[output]),
            })
            .collect();
        scanner.find_hits(chunk, &wanted, &mut found, &|_, _| unreachable!()).unwrap();
        prop_assert_eq!(&expected, &found, "{}", simd);
    }
    Ok(())
}

fn sequence(lengths: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![20 => 0..4u8, 1 => Just(4u8)], lengths)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn hits_are_the_scores_that_reach_their_threshold(
        widths in proptest::collection::vec(1..32usize, 1..40),
        quantile in prop_oneof![0.0..1.0f64, 0.99..1.0f64],
        strands in prop_oneof![Just(StrandChoice::Both), Just(StrandChoice::Forward), Just(StrandChoice::Reverse)],
        hit_strands in prop_oneof![Just(HitStrands::Better), Just(HitStrands::Each)],
        stride in prop_oneof![3 => Just(1usize), 1 => 2..9usize],
        // More than a tile, and more N than a span, now and then.
        bases in prop_oneof![4 => sequence(1..2000), 1 => sequence(4000..9000)],
        unknown in (0..6000usize, prop_oneof![0..300usize, 300..3000usize]),
        seed in any::<u64>(),
    ) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let matrices: Vec<Network> = widths.iter().map(|&width| matrix(width, &mut rng)).collect();
        let matrices: Vec<&Network> = matrices.iter().collect();
        let plan = WindowPlan { window: widths[0], stride, strands, context: Context::Padding };
        let mut codes = bases;
        codes.iter_mut().skip(unknown.0).take(unknown.1).for_each(|code| *code = 4);
        let chunk = Chunk::whole("contig", codes);
        check(&matrices, &plan, &chunk, quantile, hit_strands)?;
    }
}

#[test]
fn bases_between_n_lose_no_hit() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let matrices: Vec<Network> = [1, 2, 5, 12].map(|width| matrix(width, &mut rng)).into();
    let matrices: Vec<&Network> = matrices.iter().collect();
    // Every second base is N, or all but one; and a contig whose last base begins a span.
    let second = (0..1500).map(|i| if i % 2 == 0 { (i / 2 % 4) as u8 } else { 4 }).collect();
    let lone = (0..1500).map(|i| if i == 700 { 2 } else { 4 }).collect();
    let ends = (0..257).map(|i| if i < 256 { 0 } else { 1 }).collect();
    for codes in [second, lone, ends] {
        let chunk = Chunk::whole("contig", codes);
        for strands in [StrandChoice::Both, StrandChoice::Forward, StrandChoice::Reverse] {
            let plan = WindowPlan { window: 1, stride: 1, strands, context: Context::Padding };
            for quantile in [0.5, 0.9, 0.999] {
                check(&matrices, &plan, &chunk, quantile, HitStrands::Each).unwrap();
            }
        }
    }
}

#[test]
fn a_very_long_matrix_loses_no_hit() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let matrices = [1200, 700, 3].map(|width| matrix(width, &mut rng));
    let plan = WindowPlan { window: 1200, stride: 1, strands: StrandChoice::Both, context: Context::Padding };
    let chunk = Chunk::whole("contig", (0..3000).map(|_| rng.random_range(0..4)).collect());
    check(&matrices.each_ref(), &plan, &chunk, 0.99, HitStrands::Better).unwrap();
}
