//! FASTA to codes by every route, in bases a second, and the translation alone.
//!
//! `cargo bench --bench source`. The sequence is random: real genomes compress better, so that their gzip is read
//! somewhat faster.

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use bindscan::genome;
use bindscan::genome::GenomeOptions;
use bindscan::genome::sequence_source::SequenceSource;
use bindscan::seq::alphabet::encode_in_place;
use bindscan::seq::chunk::{Chunk, ChunkShape};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const BASES: usize = 16 << 20;
const SHAPE: ChunkShape = ChunkShape { own: 256 << 10, left: 0, right: 100, reach: 100 };

fn letters() -> Vec<u8> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    (0..BASES).map(|_| b"ACGTacgt"[(rng.next_u32() >> 29) as usize]).collect()
}

fn wrapped(letters: &[u8], width: usize) -> Vec<u8> {
    let lines = letters.chunks(width).flat_map(|line| [line, b"\n"].concat());
    b">contig\n".iter().copied().chain(lines).collect()
}

fn read_all(path: &Path) -> usize {
    let mut source = genome::open(path, &GenomeOptions::default()).unwrap().into_chunks(SHAPE);
    let mut chunk = Chunk::default();
    let mut bases = 0;
    while source.read_chunk(&mut chunk).unwrap() {
        bases += (chunk.own.end - chunk.own.start) as usize;
        black_box(&chunk.codes);
    }
    assert_eq!(bases, BASES);
    bases
}

fn routes(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let letters = letters();
    let text = wrapped(&letters, 60);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).unwrap();
    let mut bgzf = noodles::bgzf::io::Writer::new(Vec::new());
    bgzf.write_all(&text).unwrap();
    let inputs = [
        ("mapped, lines of 60", "60.fa", text),
        ("mapped, one line", "line.fa", wrapped(&letters, BASES)),
        ("gzip", "60.fa.gz", gzip.finish().unwrap()),
        ("bgzf", "60.fa.bgz", bgzf.finish().unwrap()),
    ];
    let mut group = c.benchmark_group("fasta");
    group.throughput(Throughput::Elements(BASES as u64)).sample_size(10);
    for (name, file, content) in inputs {
        let path = dir.path().join(file);
        fs::write(&path, content).unwrap();
        group.bench_function(name, |b| b.iter(|| read_all(&path)));
        if file == "60.fa" {
            let index = noodles::fasta::fs::index(&path).unwrap();
            let index_path = dir.path().join("60.fa.fai");
            noodles::fasta::fai::fs::write(index_path, &index).unwrap();
            group.bench_function("mapped, lines of 60, with .fai", |b| b.iter(|| read_all(&path)));
        }
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let letters = &letters()[..1 << 20];
    let mut codes = letters.to_vec();
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(letters.len() as u64));
    group.bench_function("in place", |b| {
        b.iter(|| {
            codes.copy_from_slice(letters);
            encode_in_place(&mut codes, false).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, encode, routes);
criterion_main!(benches);
