//! Any bytes as VCF: annotated records, in order and whole, or an error.
//!
//! The first byte says whether a header is put before the bytes, and what is written. To read BCF is left to its library.

#![no_main]

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use bindscan::engine::kernel::{MatrixScanner, Simd};
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::model::motif::{self, PwmOptions};
use bindscan::io::output::Output;
use bindscan::engine::scanner::Scanner;
use bindscan::io::input::RawInput;
use bindscan::genome::random_access::Lookup;
use bindscan::track::provenance::Provenance;
use bindscan::engine::planned::ModelOutput;
use bindscan::variants::{Annotation, Calls, Counts, Format, Watch, annotate};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const HEADER: &[u8] = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";

const MOTIF: &[u8] = b"MEME version 4\n\nALPHABET= ACGT\n\nMOTIF m\nletter-probability matrix: alength= 4 w= 3\n\
    0.7 0.1 0.1 0.1\n0.1 0.2 0.3 0.4\n0.1 0.1 0.7 0.1\n";

static GENOME: LazyLock<(TempDir, Lookup)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("genome.fa");
    std::fs::write(&path, ">a\nACGTNACGTTTACGACA\n>b\nAC\n>c\n").expect("a temporary file");
    let genome = Lookup::open(&path, false).expect("a genome");
    (directory, genome)
});

static MATRIX: LazyLock<MatrixScanner> = LazyLock::new(|| {
    let motif = motif::parse("m.meme", MOTIF).expect("a motif").remove(0);
    let model = motif.to_model(&PwmOptions::default()).expect("a model");
    let network = model.network.expect("a matrix is a network");
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
    let input = RawInput::from_stream(path, Cursor::new(text), None).expect("memory can be read");
    let Ok(calls) = Calls::new(path, input.into()) else { return };
    let (directory, genome) = &*GENOME;
    let targets = [ModelOutput {
        name: "m".into(),
        scanner: 0,
        output: 0,
        window: 3,
        shortest: 3,
        symmetric: false,
    }];
    let annotation = Annotation { genome, targets: &targets, regions: None, strict: first & 2 != 0, check: false };
    let (name, format, compressed) = match first & 12 {
        0 => ("out.vcf", Format::Vcf, false),
        4 => ("out.vcf.gz", Format::Vcf, true),
        8 => ("out.bcf", Format::Bcf, false),
        _ => ("out.tsv", Format::Tsv, false),
    };
    let out = directory.path().join(name);
    let provenance = Provenance::default();
    let output = Output::create(&out).expect("a temporary file");
    let Ok(sink) = annotation.sink(&calls, output, (format, compressed), &provenance) else { return };
    let outputs = vec![sink];
    let workers = vec![vec![Box::new(MATRIX.clone()) as Box<dyn Scanner>]];
    let never = AtomicBool::new(false);
    let done = annotate(calls, &annotation, workers, &provenance, outputs, &mut Silent, &never);
    if let (Ok(summary), 0) = (done, first & 12) {
        let written = std::fs::read(&out).expect("it is whole");
        let ends = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let header = written.windows(7).position(|start| start == b"\n#CHROM").expect("a header") + 1;
        assert_eq!(ends(&written[header..]), 1 + summary.counts.records);
    }
});
