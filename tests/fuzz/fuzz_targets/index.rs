//! Indexes (BAI, tabix, CSI): any bytes beside a sound file lead to records of it, or to an error in one line.
//!
//! The first byte chooses the indexed file, reads or calls, and the name of the index; the next two, the region.

#![no_main]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use bindscan::Result;
use bindscan::engine::kernel::{MatrixScanner, Simd};
use bindscan::engine::planned::ModelOutput;
use bindscan::engine::scanner::Scanners;
use bindscan::genome::random_access::Lookup;
use bindscan::io::input::RawInput;
use bindscan::io::output::Output;
use bindscan::model::motif::{self, PwmOptions};
use bindscan::reads::{Batch, ReadOptions, ReadSource};
use bindscan::seq::contig::RegionQuery;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::track::provenance::Provenance;
use bindscan::variants::{Annotation, Calls, Counts, Format, Watch, annotate};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Bases of the contig, and bases from one record to the next.
const LENGTH: u32 = 200_000;
const SPACING: u32 = 2_500;

const MOTIF: &[u8] =
    b"MEME version 4\n\nALPHABET= ACGT\n\nMOTIF m\nletter-probability matrix: alength= 4 w= 3\n\
    0.7 0.1 0.1 0.1\n0.1 0.2 0.3 0.4\n0.1 0.1 0.7 0.1\n";

/// A file compressed with a block for each of its parts.
fn compressed(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
    for part in parts {
        writer.write_all(&part).expect("memory takes all");
        writer.flush().expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

/// A read of eight bases.
fn read(place: u32) -> Vec<u8> {
    let mut record = [0, place].map(u32::to_le_bytes).concat();
    // Name, quality, bin, operations, flags.
    record.extend([2, 60, 0x49, 0x12, 1, 0, 0, 0]);
    record.extend([8, u32::MAX, u32::MAX, 0].map(u32::to_le_bytes).concat());
    record.extend(b"r\0");
    record.extend((8u32 << 4).to_le_bytes());
    record.extend([0x12, 0x48, 0x12, 0x48]);
    record.extend([30; 8]);
    [(record.len() as u32).to_le_bytes().to_vec(), record].concat()
}

fn bam() -> Vec<u8> {
    let text = format!("@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:c\tLN:{LENGTH}\n");
    let mut header = b"BAM\x01".to_vec();
    header.extend((text.len() as u32).to_le_bytes());
    header.extend(text.as_bytes());
    header.extend([1, 2].map(u32::to_le_bytes).concat());
    header.extend(b"c\0");
    header.extend(LENGTH.to_le_bytes());
    compressed(std::iter::once(header).chain((0..LENGTH).step_by(SPACING as usize).map(read)))
}

fn vcf() -> Vec<u8> {
    let header = format!(
        "##fileformat=VCFv4.2\n##contig=<ID=c,length={LENGTH}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    );
    let call = |place: u32| format!("c\t{}\t.\tA\tG\t.\t.\t.\n", place + 1).into_bytes();
    let calls = (0..LENGTH).step_by(SPACING as usize).map(call);
    compressed(std::iter::once(header.into_bytes()).chain(calls))
}

struct Files {
    directory: TempDir,
    genome: Lookup,
    matrix: MatrixScanner,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("genome.fa");
    let write =
        |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).expect("a temporary file");
    write("genome.fa", format!(">c\n{}\n", "A".repeat(LENGTH as usize)).as_bytes());
    write("a.bam", &bam());
    write("a.vcf.gz", &vcf());
    let genome = Lookup::open(&path, false).expect("a genome");
    let motif = motif::parse("m.meme", MOTIF).expect("a motif").remove(0);
    let model = motif.to_model(&PwmOptions::default()).expect("a model");
    let network = model.network.expect("a matrix is a network");
    let plan = WindowPlan { window: 3, stride: 1, strands: StrandChoice::Both, context: Context::Padding };
    let matrix = MatrixScanner::new(&[&network], &plan, Simd::detect());
    Files { directory, genome, matrix }
});

struct Silent;

impl Watch for Silent {
    fn progress(&mut self, _at: (u64, Option<u64>), _counts: &Counts) {}
    fn problem(&mut self, _message: &str) {}
}

fn read_reads(path: &Path, region: RegionQuery) -> Result<()> {
    let options = ReadOptions { regions: vec![region], threads: 1, ..ReadOptions::default() };
    let mut source = ReadSource::open(path, RawInput::open(path)?, options)?;
    let mut batch = Batch::default();
    while source.read_batch(100, &mut batch)? {}
    Ok(())
}

fn read_calls(path: &Path, region: RegionQuery) -> Result<()> {
    let Files { directory, genome, matrix } = &*FILES;
    let calls = Calls::open(path)?;
    let targets =
        [ModelOutput { name: "m".into(), scanner: 0, output: 0, window: 3, shortest: 3, symmetric: false }];
    let regions = genome.select(&[region])?;
    let annotation =
        Annotation { genome, targets: &targets, regions: Some(&regions), strict: false, check: false };
    let provenance = Provenance::default();
    let output = Output::create(&directory.path().join("out.tsv"))?;
    let sink = annotation.sink(&calls, output, (Format::Tsv, false), &provenance)?;
    let scanners: Scanners = vec![Box::new(matrix.clone())];
    let workers = vec![scanners];
    let never = AtomicBool::new(false);
    annotate(calls, &annotation, workers, &provenance, vec![sink], &mut Silent, &never)?;
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, start, bases], bytes)) = data.split_first_chunk() else { return };
    let (file, index) = [("a.bam", "bai"), ("a.bam", "csi"), ("a.vcf.gz", "tbi"), ("a.vcf.gz", "csi")]
        [usize::from(choice % 4)];
    let path = FILES.directory.path().join(file);
    let index = PathBuf::from(format!("{}.{index}", path.display()));
    fs::write(&index, bytes).expect("a temporary file");
    let start = u64::from(start) * 700;
    let region = RegionQuery::parse(&format!("c:{}-{}", start + 1, start + 1 + u64::from(bases) * 10));
    let done = if choice % 4 < 2 { read_reads(&path, region) } else { read_calls(&path, region) };
    if let Err(error) = done {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    fs::remove_file(index).expect("a temporary file");
});
