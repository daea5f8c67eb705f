//! What the stages around an engine cost: encoding, and the pipeline with an engine that computes nothing.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bindscan::Result;
use bindscan::engine::Engine;
use bindscan::engine::scanner::{EngineScanner, Scanner, chunk_shape};
use bindscan::genome;
use bindscan::io::line::LineSink;
use bindscan::io::output::Output;
use bindscan::model::{Activation, Alphabet, ModelSpec, PadKind, Strands};
use bindscan::scan::{self, Job, Overlaps};
use bindscan::scores::Scores;
use bindscan::seq::alphabet;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::simulate::Simulation;
use bindscan::track::site::{Columns, SiteLines, SiteSink};
use bindscan::track::{SiteFormat, Target};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LENGTH: u64 = 20_000_000;
const PLAN: WindowPlan =
    WindowPlan { window: 101, stride: 1, strands: StrandChoice::Both, context: Context::Padding };

/// Gives every window the score 0.
struct NullEngine(ModelSpec);

impl Engine for NullEngine {
    fn spec(&self) -> &ModelSpec {
        &self.0
    }

    fn description(&self) -> String {
        "null".into()
    }

    fn flanks(&self, _: &WindowPlan) -> (usize, usize) {
        (0, 0)
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        out.reset(chunk, plan, 1);
        Ok(())
    }
}

fn null_engine() -> NullEngine {
    NullEngine(ModelSpec {
        format: 1,
        name: "null".into(),
        window: PLAN.window,
        filter_length: None,
        padding: PadKind::None,
        alphabet: Alphabet::Dna,
        strands: Strands::Both,
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
    })
}

fn pipeline(criterion: &mut Criterion) {
    let genome = Simulation { length: LENGTH, contigs: 1, gc: 0.41, sites: 0, seed: 1 };
    let (name, bases, _) = genome.contig(0, &[]);
    let mut text = format!(">{name}\n").into_bytes();
    for line in bases.chunks(60) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();

    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(LENGTH)).sample_size(10);
    group.bench_function("encode", |b| b.iter(|| black_box(alphabet::encode(&bases).unwrap())));
    for threads in [1, 2] {
        group.bench_function(format!("null engine, {threads} workers"), |b| {
            b.iter(|| scan_with_null_engine(file.path(), threads));
        });
    }
    group.finish();
}

fn scan_with_null_engine(genome: &Path, threads: usize) {
    let targets = vec![Target { thresholds: [1.0; 2], ..Target::new("null", PLAN.window as u64) }];
    let scanner = || Box::new(EngineScanner::new(Box::new(null_engine()), PLAN)) as Box<dyn Scanner>;
    let shape = chunk_shape(65_536, &[scanner()]);
    let scanners = (0..threads).map(|_| vec![scanner()]).collect();
    let source = genome::open(genome, &genome::GenomeOptions::default()).unwrap().into_chunks(shape);
    let lines = SiteLines { format: SiteFormat::Bed, target: None, columns: Columns::default() };
    let sink = SiteSink::Lines(LineSink::new(Output::create(Path::new("/dev/null")).unwrap(), "").unwrap());
    let (overlaps, sites) = (Overlaps::Suppress, vec![(lines, sink)]);
    let summary = scan::run(
        Box::new(source),
        scanners,
        Job::new(targets, overlaps).sites(sites),
        |_, _| {},
        &AtomicBool::new(false),
    );
    assert_eq!(summary.unwrap().bases, LENGTH);
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
