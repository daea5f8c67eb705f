//! Steps of a fit: 16 filters of 24 bases, batch 64, 101-base sequences, both strands, as the published protocol has
//! them. `scripts/compare trainer` sets them beside PyTorch's.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use bindscan::dataset::Dataset;
use bindscan::model::{Pooling, Strands};
use bindscan::train::deepbind::fit::{Examples, Fit, Settings};
use bindscan::train::deepbind::init::Start;
use bindscan::train::{Architecture, Optimizer, Penalty};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const STEPS: u64 = 100;

fn steps(c: &mut Criterion) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut sequences = |count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|_| (0..101).map(|_| rng.random_range(0..4)).collect()).collect()
    };
    let dataset = Dataset::from_classes(sequences(2000), sequences(2000)).unwrap();
    let ranks: Vec<u32> = (0..4000).collect();
    let base = Architecture {
        filters: 16,
        filter_length: 24,
        padded: true,
        pooling: Pooling::Max,
        hidden: 0,
        outputs: 1,
        strands: Strands::Both,
    };
    let settings = Settings {
        batch: 64,
        optimizer: Optimizer::Nesterov { momentum: 0.98 },
        rate: 1e-3,
        keep: 1.0,
        penalty: Penalty { filters: 1e-6, hidden: 1e-6, output: 1e-6 },
        start: Start { filter_scale: 0.05, dense_scale: None, kmers: 0.0 },
        averaged: false,
    };
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(STEPS));
    group.sample_size(20);
    let both = Pooling::MaxAndAverage;
    for (name, architecture) in [
        ("max", base),
        ("max, one strand", Architecture { strands: Strands::Single, ..base }),
        ("max, hidden 32", Architecture { hidden: 32, ..base }),
        ("max and average", Architecture { pooling: both, ..base }),
        ("max and average, hidden 32", Architecture { pooling: both, hidden: 32, ..base }),
        ("max, 64 filters", Architecture { filters: 64, ..base }),
    ] {
        let examples = Examples::new(&dataset, &architecture);
        let mut fit = Fit::new(&examples, &ranks, architecture, settings, 1);
        let cancel = AtomicBool::new(false);
        group.bench_function(name, |b| b.iter(|| black_box(fit.run(STEPS as usize, &cancel))));
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
