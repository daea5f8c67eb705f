//! Any bytes as VCF: annotated records, in order and whole, or an error.
//!
//! The first byte says whether a header is put before the bytes. BCF is left to its library.

#![no_main]

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use bindscan::engine::kernel::{MatrixScanner, Simd};
use bindscan::engine::{Context, StrandChoice, WindowPlan};
use bindscan::model::{Dense, Network, Padding, Pooling};
use bindscan::output::Output;
use bindscan::scan::Scanner;
use bindscan::source::input::RawInput;
use bindscan::source::lookup::Lookup;
use bindscan::track::Provenance;
use bindscan::track::line::LineSink;
use bindscan::variant::score::Target;
use bindscan::variant::{Annotation, Calls, Counts, Format, Watch, annotate};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const HEADER: &[u8] = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";

static GENOME: LazyLock<(TempDir, Lookup)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("genome.fa");
    std::fs::write(&path, ">a\nACGTNACGTTTACGACA\n>b\nAC\n>c\n").expect("a temporary file");
    let genome = Lookup::open(&path, false).expect("a genome");
    (directory, genome)
});

static MATRIX: LazyLock<MatrixScanner> = LazyLock::new(|| {
    let network = Network {
        detectors: 1,
        detector_length: 3,
        weights: (0..12).map(|i| (i as f32 * 0.7).sin()).collect(),
        thresholds: vec![0.0],
        rectify: false,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        output: Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![0.0] },
        sigmoid: false,
    };
    let plan = WindowPlan { window: 3, stride: 1, strands: StrandChoice::Both, context: Context::Padding };
    MatrixScanner::new(&[&network], &plan, Simd::detect())
});

struct Silent;

impl Watch for Silent {
    fn progress(&mut self, _at: (u64, Option<u64>), _counts: &Counts) {}
    fn problem(&mut self, _message: &str) {}
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let text = if first % 2 == 0 { [HEADER, bytes].concat() } else { bytes.to_vec() };
    if text.starts_with(b"BCF") || text.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let path = Path::new("fuzz.vcf");
    let input = RawInput::of_stream(path, Cursor::new(text), None).expect("memory can be read");
    let Ok(calls) = Calls::new(path, input.into()) else { return };
    let (directory, genome) = &*GENOME;
    let targets = [Target {
        name: "m".into(),
        scanner: 0,
        output: 0,
        window: 3,
        shortest: 3,
        symmetric: false,
    }];
    let annotation = Annotation { genome, targets: &targets, regions: None, strict: first & 2 != 0 };
    let out = directory.path().join(if first & 4 == 0 { "out.vcf" } else { "out.vcf.gz" });
    let output = Output::create(&out).expect("a temporary file");
    let provenance = Provenance::default();
    let header = annotation.header(&calls, Format::Vcf, &provenance);
    let sink = match first & 4 {
        0 => LineSink::new(output, &header),
        _ => LineSink::compressed(output, &header, bindscan::track::tabix::Layout::Vcf),
    };
    let outputs = vec![(Format::Vcf, sink.expect("a temporary file"))];
    let workers = vec![vec![Scanner::Matrices(MATRIX.clone())]];
    let never = AtomicBool::new(false);
    let done = annotate(calls, &annotation, workers, &provenance, outputs, &mut Silent, &never);
    if let (Ok(summary), 0) = (done, first & 4) {
        let written = std::fs::read(&out).expect("it is whole");
        let lines = written[header.len()..].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines as u64, summary.counts.records);
    }
});
