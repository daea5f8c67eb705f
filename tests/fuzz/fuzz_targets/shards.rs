//! Regions, strides, bins, chunks and shards: merged shards, and a run in small chunks, give the bytes of one run.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use bindscan::Result;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::scanner::chunk_shape;
use bindscan::genome::shard::Shard;
use bindscan::genome::{self, GenomeOptions};
use bindscan::io::output::{self, Output};
use bindscan::merge::Shards;
use bindscan::model::motif::{self, PwmOptions};
use bindscan::model::{Model, deepbind};
use bindscan::scan::search::{Search, SiteChoice};
use bindscan::scan::{self, Job, Overlaps, shard_overlap};
use bindscan::seq::contig::RegionQuery;
use bindscan::track::outputs::Outputs;
use bindscan::track::provenance::{Provenance, ShardMark};
use bindscan::track::score::Summary;
use bindscan::track::site::Columns;
use bindscan::track::{Format, SiteFormat};
use libfuzzer_sys::arbitrary::{self, Unstructured};
use libfuzzer_sys::fuzz_target;

const MOTIFS: &[u8] = b"MEME version 4\n\nALPHABET= ACGT\n\n\
    MOTIF short\nletter-probability matrix: alength= 4 w= 3\n0.7 0.1 0.1 0.1\n0.1 0.2 0.3 0.4\n0.1 0.1 0.7 0.1\n\
    MOTIF long\nletter-probability matrix: alength= 4 w= 9\n0.7 0.1 0.1 0.1\n0.1 0.2 0.3 0.4\n0.1 0.1 0.7 0.1\n\
    0.1 0.7 0.1 0.1\n0.25 0.25 0.25 0.25\n0.1 0.1 0.1 0.7\n0.7 0.1 0.1 0.1\n0.1 0.2 0.3 0.4\n0.4 0.3 0.2 0.1\n";

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let motifs = motif::parse("m.meme", MOTIFS).expect("motifs");
    let model = |motif: &motif::Motif| motif.to_model(&PwmOptions::default()).expect("a model");
    let mut models: Vec<Model> = motifs.iter().map(model).collect();
    models.push(deepbind::parse("max.txt", include_bytes!("../../data/deepbind/max.txt")).expect("a model"));
    models
});

/// A scan that is done in several ways.
#[derive(Debug)]
struct Case {
    genome: PathBuf,
    model: usize,
    regions: Vec<String>,
    stride: usize,
    threshold: f32,
    bin: u64,
    mean: bool,
    sparse: bool,
    keep: bool,
    chunk: usize,
    track: &'static str,
    shards: u64,
}

impl Case {
    fn new(folder: &Path, input: &mut Unstructured<'_>) -> arbitrary::Result<Case> {
        let mut lengths = Vec::new();
        let mut text = String::new();
        for contig in 0..input.int_in_range(1..=3)? {
            let mut bases = String::new();
            for _ in 0..input.int_in_range(0..=6)? {
                // A word, so many times over.
                let word: String = (0..input.int_in_range(1..=5)?)
                    .map(|_| Ok(*input.choose(&['A', 'C', 'G', 'T', 'N'])?))
                    .collect::<arbitrary::Result<_>>()?;
                bases += &word.repeat(input.int_in_range(1..=60)?);
            }
            lengths.push(bases.len());
            text += &format!(">c{contig}\n{bases}\n");
        }
        let mut regions = Vec::new();
        for _ in 0..input.int_in_range(0..=3)? {
            let contig = input.choose_index(lengths.len())?;
            if lengths[contig] > 0 {
                let start = input.int_in_range(0..=lengths[contig] - 1)?;
                let end = input.int_in_range(start + 1..=lengths[contig])?;
                regions.push(format!("c{contig}:{}-{end}", start + 1));
            }
        }
        let genome = folder.join("genome.fa");
        fs::write(&genome, text).expect("a temporary file");
        Ok(Case {
            genome,
            model: input.choose_index(MODELS.len())?,
            regions,
            stride: *input.choose(&[1, 1, 2, 3, 7, 40])?,
            threshold: f32::from(input.int_in_range(-100i8..=40)?) / 10.0,
            bin: *input.choose(&[1, 2, 7, 100, 1_000, 100_000])?,
            mean: input.arbitrary()?,
            sparse: input.arbitrary()?,
            keep: input.arbitrary()?,
            chunk: input.int_in_range(1..=300)?,
            track: input.choose(&[
                "bed",
                "tsv",
                "gff3",
                "narrowPeak",
                "bedGraph",
                "bedGraph.gz",
                "bw",
                "bed.gz",
            ])?,
            shards: input.int_in_range(1..=9)?,
        })
    }

    fn scan(&self, chunk: usize, shard: Option<Shard>, name: &str) -> Result<PathBuf> {
        let path = self.genome.with_file_name(format!("{name}.{}", self.track));
        let plan = PlanOptions::default().stride(self.stride);
        let models = vec![Planned::new(MODELS[self.model].clone(), &plan)?];
        let mut search = Search::new(models, SiteChoice::Threshold(vec![self.threshold]), None, 1)?;
        let columns = Columns { p: false, q: false, read: false, spread: false, summit: !self.keep };
        let summary = if self.mean { Summary::Mean } else { Summary::Max };
        let outputs = Outputs::new(std::slice::from_ref(&path), None)?.columns(columns).summary(summary);
        let outputs = outputs.bin(self.bin).sparse(self.sparse);
        let regions = self.regions.iter().map(|text| RegionQuery::parse(text)).collect();
        let genome = genome::open(&self.genome, &GenomeOptions { mask_lowercase: false, regions })?;
        let digest = genome.digest().unwrap_or_default();
        let shape = chunk_shape(chunk, &search.workers[0]);
        let overlaps = if self.keep { Overlaps::Keep } else { Overlaps::Suppress };
        let source = match &shard {
            None => genome.into_chunks(shape),
            Some(shard) => {
                let mut source = genome.into_shard(shape, shard, outputs.seam_unit())?;
                let called = outputs.have_sites().then_some(overlaps);
                let scanners = &mut search.workers[0];
                shard_overlap::widen(&mut source, scanners, &search.targets, self.stride as u64, called)?;
                source
            }
        };
        let mark = |shard| ShardMark {
            shard,
            format: Format::Sites(SiteFormat::Bed),
            track: None,
            bin: None,
            rate: None,
            genome: digest,
            inputs: Vec::new(),
        };
        let provenance = Provenance { shard: shard.map(mark), ..Provenance::default() };
        let tracks = outputs.open(&search.targets, &search.strands(), &provenance)?;
        let job = Job::new(search.targets, overlaps).sites(tracks.sites).scores(tracks.scores);
        scan::run(Box::new(source), search.workers, job, |_, _| {}, &AtomicBool::new(false))?;
        Ok(path)
    }

    fn merged(&self) -> Result<PathBuf> {
        let of = self.shards;
        let shards: Result<Vec<PathBuf>> = (1..=of)
            .map(|number| self.scan(self.chunk, Some(Shard { number, of }), &format!("shard{number}")))
            .collect();
        let path = self.genome.with_file_name(format!("merged.{}", self.track));
        let merged =
            Shards::open(&shards?)?.write(Output::create(&path)?, false, self.track.ends_with(".gz"))?;
        output::publish(merged)?;
        Ok(path)
    }
}

fuzz_target!(|data: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let Ok(case) = Case::new(directory.path(), &mut Unstructured::new(data)) else { return };
    let bytes = |path: Result<PathBuf>| path.map(|path| fs::read(path).expect("it is whole"));
    let whole = bytes(case.scan(1 << 16, None, "whole"));
    let chunks = bytes(case.scan(case.chunk, None, "chunks"));
    let merged = bytes(case.merged());
    match (whole, chunks, merged) {
        (Ok(whole), Ok(chunks), Ok(merged)) => {
            assert!(whole == chunks, "in chunks: {case:?}");
            assert!(whole == merged, "in shards: {case:?}");
        }
        (Err(_), Err(_), Err(_)) => {}
        (whole, chunks, merged) => {
            panic!("{case:?}: {:?}, {:?}, {:?}", whole.err(), chunks.err(), merged.err());
        }
    }
});
