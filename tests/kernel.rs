//! The compiled kernel against the reference engine, on random networks, plans and sequences, for every instruction
//! set of the machine; and against itself, bit for bit, however the input is cut.

use bindscan::engine::Engine;
use bindscan::engine::kernel::{KernelEngine, Simd};
use bindscan::engine::reference::ReferenceEngine;
use bindscan::model::{Dense, ModelSpec, Network, Padding, Pooling};
use bindscan::scores::Scores;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn uniform(rng: &mut Xoshiro256PlusPlus, count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-scale..scale)).collect()
}

fn dense(rng: &mut Xoshiro256PlusPlus, inputs: usize, outputs: usize) -> Dense {
    let scale = 1.0 / (inputs as f32).sqrt();
    Dense {
        inputs,
        outputs,
        weights: uniform(rng, inputs * outputs, scale),
        bias: uniform(rng, outputs, 0.5),
    }
}

/// Shape of a random network.
#[derive(Debug, Clone)]
struct Shape {
    filters: usize,
    length: usize,
    rectify: bool,
    padding: Padding,
    pooling: Pooling,
    hidden: Option<usize>,
    /// Networks side by side: hidden units see the filters of their own alone.
    members: usize,
    outputs: usize,
    sigmoid: bool,
    /// Number added to each activation: where it is far below 0, most are never positive.
    shift: f32,
    seed: u64,
}

impl Shape {
    fn network(&self) -> Network {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let features = self.filters * self.pooling.features_per_filter();
        let network = Network {
            filters: self.filters,
            filter_length: self.length,
            weights: uniform(&mut rng, self.filters * 4 * self.length, 1.0),
            biases: uniform(&mut rng, self.filters, 1.0).iter().map(|x| x + self.shift).collect(),
            rectify: self.rectify,
            padding: self.padding,
            pooling: self.pooling,
            hidden: self.hidden.map(|width| self.separated(dense(&mut rng, features, width))),
            output: dense(&mut rng, self.hidden.unwrap_or(features), self.outputs),
            sigmoid: self.sigmoid,
        };
        network.check().expect("a sound network");
        network
    }

    fn separated(&self, mut layer: Dense) -> Dense {
        for (at, weight) in layer.weights.iter_mut().enumerate() {
            let (unit, filter) = (at / layer.inputs, at % layer.inputs % self.filters);
            if unit * self.members / layer.outputs != filter * self.members / self.filters {
                *weight = 0.0;
            }
        }
        layer
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let size = prop_oneof![8 => 1..40usize, 1 => 60..75usize];
    let padding = prop_oneof![
        Just((0, 0, 0.0)),
        (0..75usize, 0..75usize, prop_oneof![Just(0.25f32), Just(0.0)]),
        (1..2usize, 1..2usize, Just(0.25f32)),
    ];
    let pooling = prop_oneof![Just(Pooling::Max), Just(Pooling::Average), Just(Pooling::MaxAndAverage)];
    (prop_oneof![4 => 1..20usize, 1 => 30..50usize], size, any::<bool>(), padding, pooling).prop_flat_map(
        |(filters, length, rectify, (left, right, value), pooling)| {
            let (left, right) = match (left, right) {
                (1, 1) => (length - 1, length - 1),
                (left, right) => (left % (length + 3), right % (length + 3)),
            };
            let padding = Padding { left, right, value };
            let shift = prop_oneof![Just(0.0f32), -20.0..0.0f32];
            (proptest::option::of((1..40usize, 1..4usize)), 1..10usize, any::<bool>(), shift, any::<u64>())
                .prop_map(move |(hidden, outputs, sigmoid, shift, seed)| Shape {
                    filters,
                    length,
                    rectify,
                    padding,
                    pooling,
                    hidden: hidden.map(|(width, _)| width),
                    members: hidden.map_or(1, |(_, members)| members),
                    outputs,
                    sigmoid,
                    shift,
                    seed,
                })
        },
    )
}

/// A network, a plan that fits it, and a sequence.
#[derive(Debug, Clone)]
struct Case {
    shape: Shape,
    plan: WindowPlan,
    codes: Vec<u8>,
}

fn cases() -> impl Strategy<Value = Case> {
    let strands =
        prop_oneof![Just(StrandChoice::Both), Just(StrandChoice::Forward), Just(StrandChoice::Reverse)];
    let context = prop_oneof![Just(Context::Padding), Just(Context::Flank)];
    let bases = prop_oneof![6 => 0..4u8, 1 => 0..5u8];
    let run = prop_oneof![
        5 => proptest::collection::vec(bases, 1..120),
        1 => (1..60usize).prop_map(|length| vec![4; length]),
    ];
    let sequence = proptest::collection::vec(run, 0..10).prop_map(|runs| runs.concat());
    let window = prop_oneof![5 => 0..60usize, 1 => 250..600usize];
    let stride = prop_oneof![3 => Just(1usize), 2 => 1..12usize, 1 => 1..200usize];
    (shapes(), window, stride, strands, context, sequence).prop_map(
        |(shape, extra, stride, strands, context, codes)| {
            let Padding { left, right, .. } = shape.padding;
            let window = shape.length.saturating_sub(left + right).max(1) + extra;
            Case { shape, plan: WindowPlan { window, stride, strands, context }, codes }
        },
    )
}

fn spec(network: &Network) -> ModelSpec {
    ModelSpec::from_network("test", network)
}

fn kernel(network: &Network, simd: Simd) -> KernelEngine {
    KernelEngine::new(spec(network), network.clone(), simd).expect("a sound network")
}

fn score(engine: &mut impl Engine, chunk: &Chunk, plan: &WindowPlan) -> Scores {
    let mut scores = Scores::default();
    engine.score(chunk, plan, &mut scores).expect("a window that fits");
    scores
}

fn assert_close(expected: &[f32], found: &[f32], simd: Simd) -> Result<(), TestCaseError> {
    prop_assert_eq!(expected.len(), found.len());
    for (i, (&e, &f)) in expected.iter().zip(found).enumerate() {
        prop_assert!((e - f).abs() <= 1e-4 * e.abs().max(1.0), "{simd}: {e} but {f} at {i}");
    }
    Ok(())
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|x| x.to_bits()).collect()
}

/// The piece of `whole` that owns the window starts `own`, with just the bases that it needs.
fn piece(whole: &Chunk, own: std::ops::Range<u64>, plan: &WindowPlan, flanks: (usize, usize)) -> Chunk {
    let length = whole.codes.len() as u64;
    let start = own.start.saturating_sub(flanks.0 as u64);
    let end = (own.end + plan.window as u64 - 1).min(length);
    let stop = (end + flanks.1 as u64).min(length);
    let codes = whole.codes[start as usize..stop as usize].to_vec();
    Chunk { start, codes, own, end, first: false, last: false, ..whole.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_the_reference_on_every_instruction_set(case in cases()) {
        let network = case.shape.network();
        let chunk = Chunk::whole("contig", case.codes);
        let expected = score(&mut ReferenceEngine::new(spec(&network), network.clone()), &chunk, &case.plan);
        let mut first: Option<Scores> = None;
        for simd in Simd::available() {
            let found = score(&mut kernel(&network, simd), &chunk, &case.plan);
            prop_assert_eq!((found.start, found.windows, found.outputs), (expected.start, expected.windows, expected.outputs));
            assert_close(&expected.forward, &found.forward, simd)?;
            assert_close(&expected.reverse, &found.reverse, simd)?;
            let first = first.get_or_insert_with(|| found.clone());
            prop_assert_eq!(bits(&first.forward), bits(&found.forward), "{} gives other bits", simd);
            prop_assert_eq!(bits(&first.reverse), bits(&found.reverse), "{} gives other bits", simd);
        }
    }

    #[test]
    fn gives_the_same_bits_however_the_contig_is_cut(case in cases(), cuts in proptest::collection::vec(0..1000u64, 0..6)) {
        let network = case.shape.network();
        let chunk = Chunk::whole("contig", case.codes);
        let plan = &case.plan;
        let mut engine = kernel(&network, Simd::detect());
        let whole = score(&mut engine, &chunk, plan);
        let length = chunk.codes.len() as u64;
        let mut edges: Vec<u64> = cuts.into_iter().map(|cut| cut * length / 1000).chain([0, length]).collect();
        edges.sort_unstable();
        let (mut forward, mut reverse) = (vec![Vec::new(); whole.outputs], vec![Vec::new(); whole.outputs]);
        for own in edges.windows(2) {
            let part = piece(&chunk, own[0]..own[1], plan, engine.flanks(plan));
            let scores = score(&mut engine, &part, plan);
            for output in 0..whole.outputs {
                let range = output * scores.windows..(output + 1) * scores.windows;
                forward[output].extend(scores.forward.get(range.clone()).into_iter().flatten());
                reverse[output].extend(scores.reverse.get(range).into_iter().flatten());
            }
        }
        prop_assert_eq!(bits(&whole.forward), bits(&forward.concat()));
        prop_assert_eq!(bits(&whole.reverse), bits(&reverse.concat()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_threshold_changes_no_score_that_reaches_it(
        mut case in cases(),
        quantile in 0.0..1.0f64,
        kind in 0..7u8,
    ) {
        if kind < 2 {
            case.shape.pooling = Pooling::Max;
            case.shape.hidden = None;
            case.shape.padding = Padding::NONE;
            case.plan.window += case.shape.length + 40;
            case.plan.stride = 1 + case.plan.stride % 5;
        } else if kind < 4 {
            let both = case.shape.padding.left;
            case.shape.padding = Padding { right: both, ..case.shape.padding };
            case.shape.pooling = Pooling::Max;
            case.plan.window += case.shape.length;
            case.plan.stride = 1 + case.plan.stride % 5;
        } else if kind < 6 {
            case.shape.hidden = case.shape.hidden.or(Some(12));
            case.shape.outputs = 1 + case.shape.outputs % 2;
            case.plan.stride = 1 + case.plan.stride % 5;
        }
        let network = case.shape.network();
        let chunk = Chunk::whole("contig", case.codes);
        for simd in Simd::available() {
            let mut engine = kernel(&network, simd);
            let all = score(&mut engine, &chunk, &case.plan);
            let mut sorted = [all.forward.clone(), all.reverse.clone()].concat();
            sorted.sort_by(f32::total_cmp);
            let Some(&threshold) = sorted.get((sorted.len() as f64 * quantile) as usize) else { return Ok(()) };
            let mut some = Scores::default();
            engine.score_above(&chunk, &case.plan, threshold, &mut some).expect("a window that fits");
            for (all, some) in [(&all.forward, &some.forward), (&all.reverse, &some.reverse)] {
                prop_assert_eq!(all.len(), some.len());
                for (a, s) in all.iter().zip(some) {
                    let pruned = *s == f32::NEG_INFINITY && *a < threshold;
                    prop_assert!(pruned || a.to_bits() == s.to_bits(), "{simd}: {a} became {s} at {threshold}");
                }
            }
        }
    }
}

/// The published models' semantics: N padding of m - 1 columns, windows of 1.5 m and sequences shorter than that.
#[test]
fn published_semantics_on_short_sequences() {
    for length in [4, 14, 24] {
        let padding = Padding { left: length - 1, right: length - 1, value: 0.25 };
        let shape = Shape {
            filters: 16,
            length,
            rectify: true,
            padding,
            pooling: Pooling::MaxAndAverage,
            hidden: Some(32),
            members: 1,
            outputs: 1,
            sigmoid: false,
            shift: 0.0,
            seed: 7,
        };
        let network = shape.network();
        let mut reference = ReferenceEngine::new(spec(&network), network.clone());
        for simd in Simd::available() {
            let mut engine = kernel(&network, simd);
            for bases in 1..2 * length {
                let chunk = Chunk::whole("s", (0..bases).map(|i| (i * i % 5) as u8).collect());
                let window = bases.min(length * 3 / 2);
                let plan =
                    WindowPlan { window, stride: 1, strands: StrandChoice::Both, context: Context::Padding };
                let (expected, found) =
                    (score(&mut reference, &chunk, &plan), score(&mut engine, &chunk, &plan));
                assert_close(&expected.forward, &found.forward, simd).unwrap();
                assert_close(&expected.reverse, &found.reverse, simd).unwrap();
            }
        }
    }
}

/// NEON is part of 64-bit Arm as Rust's targets define it, so the tests above run it there.
#[cfg(target_arch = "aarch64")]
#[test]
fn neon_is_among_the_instruction_sets() {
    let names: Vec<_> = Simd::available().iter().map(Simd::name).collect();
    assert_eq!(names, ["neon", "scalar"]);
}
