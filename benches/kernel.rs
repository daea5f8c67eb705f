//! The compiled kernel: bases a second on one core, for the networks and plans that matter.

use std::hint::black_box;

use bindscan::engine::Engine;
use bindscan::engine::kernel::{KernelEngine, Simd};
use bindscan::model::{Activation, Alphabet, Dense, ModelSpec, Network, PadKind, Padding, Pooling, Strands};
use bindscan::scores::Scores;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Bases in the sequence that is scanned.
const BASES: usize = 500_000;

/// A case of the benchmark.
struct Case {
    name: &'static str,
    filters: usize,
    length: usize,
    pooling: Pooling,
    hidden: Option<usize>,
    /// N padding of a window's ends, as the published models have it.
    padded: bool,
    window: usize,
    stride: usize,
    strands: StrandChoice,
}

/// The plain case: 16 filters of length 24, maxima, one layer, window 101, every window, one strand.
const PLAIN: Case = Case {
    name: "16x24 w101",
    filters: 16,
    length: 24,
    pooling: Pooling::Max,
    hidden: None,
    padded: false,
    window: 101,
    stride: 1,
    strands: StrandChoice::Forward,
};

static CASES: [Case; 15] = [
    PLAIN,
    Case { name: "16x24 w24 (convolution and dense layer)", window: 24, ..PLAIN },
    Case { name: "16x24 w1000", window: 1000, ..PLAIN },
    Case { name: "16x24 w101 both strands", strands: StrandChoice::Both, ..PLAIN },
    Case { name: "16x24 w101 max+avg", pooling: Pooling::MaxAndAverage, ..PLAIN },
    Case { name: "16x24 w101 32 hidden", hidden: Some(32), ..PLAIN },
    Case { name: "16x24 w101 max+avg 32 hidden", pooling: Pooling::MaxAndAverage, hidden: Some(32), ..PLAIN },
    Case { name: "16x36 w101", length: 36, ..PLAIN },
    Case { name: "16x24 w101 stride 10", stride: 10, ..PLAIN },
    Case { name: "64x24 w101", filters: 64, ..PLAIN },
    Case { name: "1x12 w12 (matrix)", filters: 1, length: 12, window: 12, ..PLAIN },
    Case {
        name: "published 16x24 w36 both strands",
        padded: true,
        window: 36,
        strands: StrandChoice::Both,
        ..PLAIN
    },
    Case {
        name: "published 16x24 w36 max+avg 32 hidden both strands",
        padded: true,
        window: 36,
        pooling: Pooling::MaxAndAverage,
        hidden: Some(32),
        strands: StrandChoice::Both,
        ..PLAIN
    },
    Case {
        name: "published 16x24 w36 32 hidden both strands",
        padded: true,
        window: 36,
        hidden: Some(32),
        strands: StrandChoice::Both,
        ..PLAIN
    },
    Case {
        name: "published 16x36 w54 both strands",
        length: 36,
        padded: true,
        window: 54,
        strands: StrandChoice::Both,
        ..PLAIN
    },
];

/// Cases with a threshold, and how many windows there are to one that reaches it.
static THRESHOLDED: [(&Case, usize); 8] = [
    (&CASES[0], 10_000),
    (&CASES[0], 2),
    (&CASES[3], 10_000),
    (&CASES[5], 10_000),
    (&CASES[11], 10_000),
    (&CASES[11], 100),
    (&CASES[11], 2),
    (&CASES[13], 10_000),
];

impl Case {
    fn network(&self, rng: &mut Xoshiro256PlusPlus) -> Network {
        let mut numbers =
            |count: usize| (0..count).map(|_| rng.random_range(-0.5..0.5)).collect::<Vec<f32>>();
        let mut dense = |inputs: usize, outputs: usize| Dense {
            inputs,
            outputs,
            weights: numbers(inputs * outputs),
            bias: numbers(outputs),
        };
        let features = self.filters * self.pooling.features_per_filter();
        let hidden = self.hidden.map(|width| dense(features, width));
        let output = dense(self.hidden.unwrap_or(features), 1);
        let pad = if self.padded { self.length - 1 } else { 0 };
        Network {
            filters: self.filters,
            filter_length: self.length,
            weights: numbers(self.filters * 4 * self.length),
            biases: numbers(self.filters),
            rectify: true,
            padding: Padding { left: pad, right: pad, value: 0.25 },
            pooling: self.pooling,
            hidden,
            output,
            sigmoid: false,
        }
    }

    fn spec(&self) -> ModelSpec {
        ModelSpec {
            format: 1,
            name: "bench".into(),
            window: self.window,
            filter_length: Some(self.length),
            padding: if self.padded { PadKind::N } else { PadKind::None },
            alphabet: Alphabet::Dna,
            strands: Strands::Single,
            outputs: vec!["score".into()],
            activation: Activation::Identity,
            score_range: None,
            provenance: serde_json::Map::new(),
            channels: None,
            null: None,
            context: Context::Padding,
            thresholds: Vec::new(),
            bound: None,
            motif: None,
        }
    }

    fn plan(&self) -> WindowPlan {
        WindowPlan {
            window: self.window,
            stride: self.stride,
            strands: self.strands,
            context: Context::Padding,
        }
    }
}

/// Fitted filters are silent at most positions, and most count in favour of a site.
fn like_fitted(mut network: Network) -> Network {
    network.biases.iter_mut().for_each(|bias| *bias -= 3.0);
    network.output.weights.iter_mut().for_each(|weight| *weight = weight.abs());
    network
}

fn kernel(criterion: &mut Criterion) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let chunk = Chunk::whole("random", (0..BASES).map(|_| rng.random_range(0..4)).collect());
    for simd in Simd::available() {
        let mut group = criterion.benchmark_group(format!("kernel {simd}"));
        group.throughput(Throughput::Elements(BASES as u64)).sample_size(20);
        group.warm_up_time(std::time::Duration::from_millis(200));
        group.measurement_time(std::time::Duration::from_millis(800));
        for case in &CASES {
            let network = case.network(&mut rng);
            let mut engine = KernelEngine::new(case.spec(), network, simd).expect("a sound network");
            let (plan, mut scores) = (case.plan(), Scores::default());
            group.bench_function(case.name, |bencher| {
                bencher.iter(|| {
                    engine.score(black_box(&chunk), &plan, &mut scores).expect("a window that fits");
                });
            });
        }
        // Some again for a caller that wants the best of the scores, on networks that are like fitted ones.
        for (case, one_in) in THRESHOLDED {
            let network = like_fitted(case.network(&mut rng));
            let mut engine = KernelEngine::new(case.spec(), network, simd).expect("a sound network");
            let (plan, mut scores) = (case.plan(), Scores::default());
            engine.score(&chunk, &plan, &mut scores).expect("a window that fits");
            let mut sorted = [&scores.forward[..], &scores.reverse].concat();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let threshold = sorted[sorted.len() / one_in];
            group.bench_function(format!("{}, one in {one_in}", case.name), |bencher| {
                bencher.iter(|| {
                    let chunk = black_box(&chunk);
                    engine.score_above(chunk, &plan, threshold, &mut scores).expect("a window that fits");
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, kernel);
criterion_main!(benches);
